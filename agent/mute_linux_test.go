package agent

import (
	"net"
	"strings"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/topics"
)

// TestACancelDoesNotWaitForAMuteServer that takes connections and says nothing: neither
// restic's own end nor a lock that cannot be looked for keeps whoever cancelled waiting.
func TestACancelDoesNotWaitForAMuteServer(t *testing.T) {
	for kind, url := range map[string]string{"rest": "rest:http://%/vault/", "sftp": "sftp://%//vault"} {
		t.Run(kind, func(t *testing.T) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			came := make(chan struct{})
			go func() {
				var all []net.Conn
				for {
					c, err := l.Accept()
					if err != nil {
						break
					}
					if all = append(all, c); len(all) == 1 {
						close(came)
					}
				}
				for _, c := range all {
					c.Close()
				}
			}()
			defer l.Close()
			w := newWorld(t)
			w.grace = 300 * time.Millisecond
			w.vault()
			w.enroll()
			w.run()
			run := w.backup()
			run.Repository.URL = topics.Secret(strings.Replace(url, "%", l.Addr().String(), 1))
			id := w.order(run)
			select {
			case <-came:
			case <-time.After(time.Minute):
				t.Fatal("nobody came to the server")
			}
			asked := time.Now()
			w.cancel(id)
			end := w.awaitEnd(id)
			took := time.Since(asked)
			t.Logf("%s: %v", kind, took.Round(10*time.Millisecond))
			if end.State != topics.Cancelled || end.Cause != topics.CauseCancelled {
				t.Errorf("it ended %+v", end)
			}
			if took > 15*time.Second {
				t.Errorf("it took %v", took)
			}
			if err := left(id); err != nil {
				t.Error(err)
			}
		})
	}
}
