package evil

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"

	"github.com/restic-manager/restic-manager/agent"
	e2e "github.com/restic-manager/restic-manager/e2e/world"
	"github.com/restic-manager/restic-manager/topics"
)

// A door serves HTTP on connections that the broker's port hands over.
type door struct {
	addr  net.Addr
	conns chan net.Conn
	done  chan struct{}
	web   *http.Server
}

func newDoor(addr net.Addr, h http.Handler) *door {
	return &door{
		addr:  addr,
		conns: make(chan net.Conn),
		done:  make(chan struct{}),
		web:   &http.Server{Handler: h, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, 0)},
	}
}

func (d *door) give(c net.Conn) {
	select {
	case d.conns <- c:
	case <-d.done:
		c.Close()
	}
}

func (d *door) Accept() (net.Conn, error) {
	select {
	case c := <-d.conns:
		return c, nil
	case <-d.done:
		return nil, net.ErrClosed
	}
}
func (d *door) Close() error   { return nil }
func (d *door) Addr() net.Addr { return d.addr }

func (d *door) run(ctx context.Context) error {
	ended := make(chan error, 1)
	go func() { ended <- d.web.Serve(d) }()
	<-ctx.Done()
	close(d.done)
	err := d.web.Close()
	<-ended
	return err
}

// clientTLS is how the holder of an identity shakes hands.
func clientTLS(i agent.Identity) *tls.Config {
	pool := x509.NewCertPool()
	pool.AddCert(e2e.Must(x509.ParseCertificate(i.CA)))
	return &tls.Config{RootCAs: pool, ServerName: topics.ServerName, NextProtos: []string{topics.ALPNMQTT},
		Certificates: []tls.Certificate{{Certificate: [][]byte{i.Certificate}, PrivateKey: e2e.Must(x509.ParsePKCS8PrivateKey(i.TLSKey))}}}
}

// dialAs answers once the server has taken the certificate or refused it: in
// TLS 1.3 a client only hears of that with the first thing it reads.
func dialAs(address string, i agent.Identity) (*tls.Conn, error) {
	c, err := tls.DialWithDialer(&net.Dialer{Timeout: 10 * time.Second}, "tcp", address, clientTLS(i))
	if err != nil {
		return nil, err
	}
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	return c, nil
}

// A hello is a CONNECT.
type hello struct {
	id, user, password, will string
	retain                   bool
}

// connect sends a CONNECT and answers with the return code.
func connect(c net.Conn, h hello) (byte, error) {
	p := packets.NewControlPacket(packets.Connect).(*packets.ConnectPacket)
	p.ProtocolName, p.ProtocolVersion, p.CleanSession, p.Keepalive = "MQTT", 4, true, 30
	p.ClientIdentifier = h.id
	if h.user != "" {
		p.UsernameFlag, p.Username = true, h.user
	}
	if h.password != "" {
		p.PasswordFlag, p.Password = true, []byte(h.password)
	}
	if h.will != "" {
		p.WillFlag, p.WillTopic, p.WillMessage, p.WillQos, p.WillRetain = true, h.will, []byte("{}"), 1, h.retain
	}
	if err := p.Write(c); err != nil {
		return 0, err
	}
	answer, err := packets.ReadPacket(c)
	if err != nil {
		return 0, err
	}
	ack, ok := answer.(*packets.ConnackPacket)
	if !ok {
		return 0, fmt.Errorf("answered with %T", answer)
	}
	return ack.ReturnCode, nil
}

// publish sends a message at QoS 1 and reports whether it was acknowledged.
func publish(c net.Conn, topic string, payload []byte, retain bool) (bool, error) {
	p := packets.NewControlPacket(packets.Publish).(*packets.PublishPacket)
	p.TopicName, p.Payload, p.Qos, p.MessageID, p.Retain = topic, payload, 1, 7, retain
	if err := p.Write(c); err != nil {
		return false, nil // it was cut off
	}
	for {
		answer, err := packets.ReadPacket(c)
		var late net.Error
		switch {
		case errors.As(err, &late) && late.Timeout():
			return false, err
		case err != nil:
			return false, nil
		}
		if _, ok := answer.(*packets.PubackPacket); ok {
			return true, nil
		}
	}
}

// subscribe answers with the code of one filter; 0x80 is no.
func subscribe(c net.Conn, filter string) (byte, error) {
	p := packets.NewControlPacket(packets.Subscribe).(*packets.SubscribePacket)
	p.Topics, p.Qoss, p.MessageID = []string{filter}, []byte{1}, 8
	if err := p.Write(c); err != nil {
		return 0x80, nil
	}
	for {
		answer, err := packets.ReadPacket(c)
		if errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed) {
			return 0x80, nil
		}
		if err != nil {
			return 0x80, err
		}
		if ack, ok := answer.(*packets.SubackPacket); ok {
			return ack.ReturnCodes[0], nil
		}
	}
}
