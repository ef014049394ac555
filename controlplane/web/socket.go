package web

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/coder/websocket"

	"github.com/restic-manager/restic-manager/controlplane/problem"
	"github.com/restic-manager/restic-manager/controlplane/web/session"
	"github.com/restic-manager/restic-manager/lobby"
)

// parting is how long a WebSocket may take to end as it should.
const parting = time.Second

// sockets are the WebSockets that speak MQTT: the HTTP server does not know of them.
type sockets struct {
	mu     sync.Mutex
	closed bool
	open   sync.WaitGroup
}

func (o *sockets) begin() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.closed {
		o.open.Add(1)
	}
	return !o.closed
}

// EndSockets lets in no MQTT over WebSocket any more and returns when the last client is
// gone, which is when the broker has ended.
func (s *Server) EndSockets() {
	s.sockets.mu.Lock()
	s.sockets.closed = true
	s.sockets.mu.Unlock()
	s.sockets.open.Wait()
}

// upgrades hands who wants to speak MQTT over a WebSocket to the public broker. It asks
// for the user and password of a consumer; a cookie that comes with the request is not
// looked at. Anything else goes on to the routes.
func (s *Server) upgrades(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mqtt, old := names(r.Header, "Sec-WebSocket-Protocol", "mqtt"), names(r.Header, "Sec-WebSocket-Protocol", "mqttv3.1")
		if r.Method != http.MethodGet || r.URL.Path != "/mqtt" || s.Socket.Attach == nil || !mqtt && !old {
			next.ServeHTTP(w, r)
			return
		}
		switch {
		case !names(r.Header, "Upgrade", "websocket"):
			s.fail(w, r, &problem.Problem{Kind: problem.Invalid, Title: "A proxy on the way drops the WebSocket",
				Say: "The request asks for MQTT over WebSocket, and came without the header Upgrade.",
				Do: "Have the reverse proxy pass it on for /mqtt: in nginx, proxy_http_version 1.1, proxy_set_header Upgrade $http_upgrade and " +
					"proxy_set_header Connection upgrade."})
			return
		case !mqtt:
			s.fail(w, r, &problem.Problem{Kind: problem.Invalid, Title: "This version of MQTT is not spoken",
				Say: "The WebSocket asks for MQTT 3.1; MQTT 3.1.1 and 5 are spoken, as the subprotocol mqtt.", Do: "Use a newer client."})
			return
		}
		if err := s.mayUpgrade(r); err != nil {
			s.fail(w, r, err)
			return
		}
		s.carry(w, r)
	})
}

// names reports whether one of the words of a header is that one.
func names(h http.Header, header, word string) bool {
	for _, line := range h.Values(header) {
		for w := range strings.SplitSeq(line, ",") {
			if strings.EqualFold(strings.TrimSpace(w), word) {
				return true
			}
		}
	}
	return false
}

// mayUpgrade refuses pages of other sites, and passwords in clear.
func (s *Server) mayUpgrade(r *http.Request) error {
	if err := session.OwnOrigin(r, s.Socket.Origins); err != nil {
		return &problem.Problem{Kind: problem.Forbidden, Title: "This page is one of another site", Err: err,
			Say: "It is none of this server's, and pages of that site may not connect here, so the WebSocket was not opened.",
			Do:  "Whoever runs the server may allow them, with --mqtt-origin."}
	}
	ap, err := netip.ParseAddrPort(r.RemoteAddr)
	near := err == nil && ap.Addr().Unmap().IsLoopback() && s.Socket.Here // and no proxy says that it came from elsewhere
	if session.Secure(r) || near || s.Socket.Clear {
		return nil
	}
	return &problem.Problem{Kind: problem.Forbidden, Title: "This connection is not encrypted",
		Say: "A password of MQTT would go over the network in clear.",
		Do:  "Use the address with https, as wss://. Whoever runs the server may allow it all the same, with --mqtt-insecure."}
}

// carry serves one client of MQTT on a request's connection, until it is gone.
func (s *Server) carry(w http.ResponseWriter, r *http.Request) {
	if !s.sockets.begin() {
		s.fail(w, r, problem.Unknown(errors.New("the server is being stopped")))
		return
	}
	defer s.sockets.open.Done()
	c, err := websocket.Accept(w, r, &websocket.AcceptOptions{
		Subprotocols: []string{"mqtt"}, InsecureSkipVerify: true, // mayUpgrade has verified
		CompressionMode: websocket.CompressionDisabled,
	})
	if err != nil {
		return // it has answered
	}
	lobby.Leave(r.Context()) // the broker has its own
	defer func() { _ = c.CloseNow() }()
	// The broker wants a connection whose reading can end before its writing does, which a
	// WebSocket is not: between the two is a pipe. The request's context ends when the
	// server stops, and the broker has something to say in parting.
	stream := websocket.NetConn(context.WithoutCancel(r.Context()), c, websocket.MessageBinary)
	c.SetReadLimit(s.Socket.Largest)
	inside, outside := net.Pipe()
	var both sync.WaitGroup
	both.Go(func() {
		_, _ = io.Copy(outside, stream)
		_ = outside.Close()
	})
	both.Go(func() {
		if _, err := io.Copy(stream, outside); err == nil || errors.Is(err, io.ErrClosedPipe) {
			_ = c.Close(websocket.StatusNormalClosure, "")
		}
	})
	s.Socket.Attach(remote{inside, r.RemoteAddr})
	hurry := time.AfterFunc(parting, func() { _ = c.CloseNow() })
	both.Wait()
	hurry.Stop()
}

// A remote connection is one from an address that the connection itself does not know.
type remote struct {
	net.Conn
	addr string
}

func (c remote) RemoteAddr() net.Addr { return from(c.addr) }

type from string

func (from) Network() string  { return "tcp" }
func (f from) String() string { return string(f) }
