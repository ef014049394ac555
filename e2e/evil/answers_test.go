package evil

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"

	"github.com/restic-manager/restic-manager/agent"
	"github.com/restic-manager/restic-manager/controlplane/queries"
	e2e "github.com/restic-manager/restic-manager/e2e/world"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
)

// answers says a part of an answer to a query, in the speaker's own topic.
func (s *speaker) answers(id topics.QueryID, a topics.Answer) (again func() error, err error) {
	a.Stamp = s.stamp()
	name := topics.Topic{Kind: topics.KindAnswer, Host: s.Host, Query: id}.String()
	payload := s.channel.Seal(name, topics.Encode(a))
	again = func() error {
		s.id = s.id%60_000 + 1
		p := packets.NewControlPacket(packets.Publish).(*packets.PublishPacket)
		p.TopicName, p.Payload, p.Qos, p.MessageID = name, payload, 1, s.id
		return p.Write(s.conn)
	}
	return again, again()
}

// TestAnAgentThatTurnedAnswersNobodyElsesQuestions has the keys of one host, and answers
// what another was asked, what nobody asked, the same twice, and without an end.
func TestAnAgentThatTurnedAnswersNobodyElsesQuestions(t *testing.T) {
	t.Parallel()
	p := newPlane(t, 0)
	victim, stolen := p.enrol("attic", agent.Policy{}), p.enrol("cellar", agent.Policy{})
	victim.start()
	group := victim.group()
	good := victim.backup()
	if good.State != topics.Succeeded {
		t.Fatalf("the backup %s: %s", good.State, good.Message)
	}
	s := e2e.Must(newSpeaker(p.agents, stolen.identity()))
	defer s.conn.Close()
	e2e.Await(t, "the thief to be welcomed", func() error {
		if p.host(stolen.id).HelloN == 0 {
			return errors.New("not yet")
		}
		return nil
	})
	refused := func(n uint64) {
		t.Helper()
		e2e.Await(t, fmt.Sprintf("%d answers to be refused and counted", n), func() error {
			if got := p.host(stolen.id).Refused; got != n {
				return fmt.Errorf("%d are", got)
			}
			return nil
		})
	}
	evil := topics.Answer{Part: 1, Last: true, Entries: []topics.Node{{Name: "planted", Path: "/planted", Type: "file"}}}

	// What nobody asked; and that once more, byte for byte.
	again, err := s.answers(topics.QueryID(topics.NewID(time.Now())), evil)
	if err != nil {
		t.Fatal(err)
	}
	refused(1)
	if err := again(); err != nil {
		t.Fatal(err)
	}
	refused(2)

	// What the victim is asked meanwhile, it answers itself.
	page, err := queries.Client{Data: filepath.Join(p.dir, "data")}.Files(t.Context(), queries.FilesQuery{Repository: group.Repository,
		Snapshot: good.SnapshotID, Path: "/"})
	if err != nil || len(page.Entries) == 0 || strings.Contains(fmt.Sprint(page.Entries), "planted") {
		t.Errorf("the victim's directory is %+v, %v", page, err)
	}

	// Without an end.
	must := func(_ func() error, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	for i := range 50 {
		long := strings.Repeat("x", 20_000)
		must(s.answers(topics.QueryID(topics.NewID(time.Now())), topics.Answer{Part: i + 1,
			Entries: []topics.Node{{Name: long, Path: "/" + long, Type: "file"}}}))
	}
	refused(2 + 50)
	if h := p.host(victim.id); h.Refused != 0 {
		t.Errorf("%d messages are held against the victim", h.Refused)
	}
	if n := len(e2e.Must(p.store.AuditEntries(t.Context(), store.AuditFilter{Action: "query.files"}, 10))); n != 1 {
		t.Errorf("%d entries about one question", n)
	}
}
