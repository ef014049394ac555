package fleet

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"github.com/restic-manager/restic-manager/controlplane/password"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
)

// BenchmarkPublishedAgain is how long it takes after a start until a consumer of everything
// has the state of every host: the first time, when nothing was ever said, and once more.
func BenchmarkPublishedAgain(b *testing.B) {
	for _, hosts := range sizes() {
		b.Run(fmt.Sprintf("hosts=%d", hosts), func(b *testing.B) {
			dir := databaseOf(b, Size{Hosts: hosts, Days: 2}, fmt.Sprintf("hosts%ddays2", hosts)) // history is not published
			b.ReportMetric(0, "ns/op")
			for _, what := range []string{"s-first", "s-again"} {
				b.ReportMetric(published(b, dir, hosts).Seconds(), what)
			}
		})
	}
}

func published(b *testing.B, dir string, hosts int) time.Duration {
	b.Helper()
	p := plane(b, dir)
	name, key := "bench-"+topics.NewID(time.Now()), password.NewKey("rmm_")
	err := p.Store.AddMQTTUser(b.Context(), store.Maker{Name: "test"}, store.MQTTUser{Name: name, KeyHash: password.HashKey(key)})
	if err != nil {
		b.Fatal(err)
	}
	list := must(p.Store.Hosts(b.Context()))
	shown := 0
	for _, h := range list {
		if h.RevokedAt == 0 && h.RetiredAt == 0 {
			shown++
		}
	}
	began := time.Now()
	ctx, stop := context.WithCancel(b.Context())
	ended := make(chan error, 1)
	go func() { ended <- p.Run(ctx) }()
	defer func() {
		stop()
		if err := <-ended; err != nil {
			b.Error(err)
		}
		if err := p.Close(); err != nil {
			b.Error(err)
		}
	}()
	var mu sync.Mutex
	has, all := map[string]bool{}, make(chan struct{})
	c := mqtt.NewClient(mqtt.NewClientOptions().AddBroker("tcp://" + p.MQTTAddr()).SetClientID(name).SetUsername(name).SetPassword(key).
		SetConnectRetry(true).SetConnectRetryInterval(50 * time.Millisecond).SetAutoReconnect(false))
	if k := c.Connect(); !k.WaitTimeout(time.Minute) || k.Error() != nil {
		b.Fatalf("connect: %v", k.Error())
	}
	defer c.Disconnect(0)
	k := c.Subscribe(topics.ConsumersRead, 1, func(_ mqtt.Client, m mqtt.Message) {
		mu.Lock()
		defer mu.Unlock()
		if strings.Contains(m.Topic(), "/pub/host/") && strings.HasSuffix(m.Topic(), "/state") && len(m.Payload()) > 0 && !has[m.Topic()] {
			if has[m.Topic()] = true; len(has) == shown {
				close(all)
			}
		}
	})
	if !k.WaitTimeout(time.Minute) || k.Error() != nil {
		b.Fatalf("subscribe: %v", k.Error())
	}
	select {
	case <-all:
	case <-time.After(10 * time.Minute):
		mu.Lock()
		defer mu.Unlock()
		b.Fatalf("of %d hosts of %d it has %d", shown, hosts, len(has))
	}
	return time.Since(began)
}
