package uplink

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"

	"github.com/coder/websocket"
)

// webSocket speaks WebSocket over a connection that is made, with the protocol of MQTT.
func webSocket(ctx context.Context, a address, socket net.Conn) (net.Conn, error) {
	used := false
	client := &http.Client{Transport: &http.Transport{
		DialContext: func(context.Context, string, string) (net.Conn, error) {
			if used {
				return nil, errors.New("a second connection for one WebSocket")
			}
			used = true
			return socket, nil
		},
		DisableKeepAlives: true,
	}, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	// TLS is made already, so that its errors are those of any other connection.
	ws, answer, err := websocket.Dial(ctx, "ws://"+a.hostport()+a.path, &websocket.DialOptions{HTTPClient: client,
		Subprotocols: []string{"mqtt"}, CompressionMode: websocket.CompressionDisabled, Host: a.hostport()})
	if answer != nil && answer.Body != nil && err != nil {
		_, _ = io.CopyN(io.Discard, answer.Body, 1<<10)
	}
	if err != nil {
		if answer != nil {
			err = errors.Join(errors.New("bad handshake: "+answer.Status), err)
		}
		return nil, err
	}
	ws.SetReadLimit(1 << 20)
	return websocket.NetConn(context.WithoutCancel(ctx), ws, websocket.MessageBinary), nil
}
