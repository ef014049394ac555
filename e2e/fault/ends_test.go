package fault

import (
	"encoding/json"
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

// ends is a consumer that is connected whenever the control plane is there, and hears how
// jobs end.
type ends struct {
	mu    sync.Mutex
	heard map[topics.JobID]int
}

// hearEnds has a consumer hear the ends of all jobs until the test is over.
func (w *world) hearEnds() *ends {
	w.t.Helper()
	e, key := &ends{heard: map[topics.JobID]int{}}, password.NewKey("rmm_")
	err := w.store.AddMQTTUser(w.t.Context(), store.Maker{Name: "test"}, store.MQTTUser{Name: "listener", KeyHash: password.HashKey(key)})
	if err != nil {
		w.t.Fatal(err)
	}
	c := mqtt.NewClient(mqtt.NewClientOptions().AddBroker("tcp://" + w.mqtt).SetClientID("listener").SetUsername("listener").
		SetPassword(key).SetConnectRetry(true).SetConnectRetryInterval(100 * time.Millisecond).SetMaxReconnectInterval(100 * time.Millisecond).
		SetOnConnectHandler(func(c mqtt.Client) {
			c.Subscribe(topics.Root+"/pub/host/+/job/+", 1, func(_ mqtt.Client, m mqtt.Message) {
				var v topics.JobPublic
				if m.Qos() == 1 && json.Unmarshal(m.Payload(), &v) == nil && v.State.Ended() && strings.HasSuffix(m.Topic(), string(v.ID)) {
					e.mu.Lock()
					e.heard[v.ID]++
					e.mu.Unlock()
				}
			})
		}))
	c.Connect()
	w.t.Cleanup(func() { c.Disconnect(0) })
	return e
}

// mustHave insists that each of these ends was heard, and that those that were heard again
// are no more than the control planes that were killed.
func (e *ends) mustHave(t *testing.T, jobs []store.Job, killed int) {
	t.Helper()
	await(t, "the end of every job to be heard", func() error {
		e.mu.Lock()
		defer e.mu.Unlock()
		for _, j := range jobs {
			if e.heard[j.ID] == 0 {
				return fmt.Errorf("that of %s, which is %s, was not", j.ID, j.State)
			}
		}
		return nil
	})
	e.mu.Lock()
	defer e.mu.Unlock()
	again := 0
	for _, n := range e.heard {
		again += n - 1
	}
	if again > killed {
		t.Errorf("%d ends were heard again after %d kills", again, killed)
	}
}
