package evil

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"

	"github.com/restic-manager/restic-manager/agent"
	"github.com/restic-manager/restic-manager/controlplane"
	"github.com/restic-manager/restic-manager/controlplane/password"
	e2e "github.com/restic-manager/restic-manager/e2e/world"
	"github.com/restic-manager/restic-manager/protocol"
	"github.com/restic-manager/restic-manager/seal"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/store/storetest"
	"github.com/restic-manager/restic-manager/topics"
)

func init() { roles["flood"] = runFlood }

// A speaker has the keys of a host and says what it likes.
type speaker struct {
	agent.Identity
	conn    net.Conn
	channel *seal.Channel
	session topics.Session
	seq     uint64 // of the last event
	n       uint64 // of the last other message
	id      uint16 // of the last packet

	receipts chan topics.Received
}

// newSpeaker connects and is welcomed.
func newSpeaker(address string, i agent.Identity) (*speaker, error) {
	key, err := seal.ParseKey(i.SealKey)
	if err != nil {
		return nil, err
	}
	s := &speaker{Identity: i, session: topics.Session{Epoch: time.Now().UnixMilli(), N: 1}, receipts: make(chan topics.Received, 1000)}
	if s.channel, err = seal.NewChannel(key, i.PlaneKey, seal.Agent, string(i.Host)); err != nil {
		return nil, err
	}
	c, err := healthy(address, i)
	if err != nil {
		return nil, err
	}
	_ = c.SetDeadline(time.Time{})
	s.conn = c
	go s.hear()
	if err := s.birth(); err != nil {
		return nil, err
	}
	return s, s.say(topics.Event{Hello: &topics.Hello{Session: s.session, Facts: topics.Facts{Hostname: "raw"}}})
}

func (s *speaker) birth() error {
	name := topics.Topic{Kind: topics.KindBirth, Host: s.Host}.String()
	return s.send(topics.KindBirth, "", topics.Encode(topics.Birth{Session: s.session, Protocol: topics.Protocol,
		MAC: s.channel.Sign(name, s.session.Signed(topics.Born))}), false)
}

// hear reads what comes, and keeps the receipts.
func (s *speaker) hear() {
	defer close(s.receipts)
	for {
		p, err := packets.ReadPacket(s.conn)
		if err != nil {
			return
		}
		m, is := p.(*packets.PublishPacket)
		if !is {
			continue
		}
		t, err := topics.Parse(m.TopicName)
		if err != nil || t.Kind != topics.KindReceipt {
			continue
		}
		plain, err := s.channel.Open(m.TopicName, m.Payload)
		if err != nil {
			continue
		}
		if r, err := topics.Decode[topics.Receipt](plain); err == nil {
			select {
			case s.receipts <- r.Received:
			default:
			}
		}
	}
}

func (s *speaker) send(k topics.Kind, job topics.JobID, payload []byte, sealed bool) error {
	name := topics.Topic{Kind: k, Host: s.Host, Job: job}.String()
	if sealed {
		payload = s.channel.Seal(name, payload)
	}
	s.id = s.id%60_000 + 1
	p := packets.NewControlPacket(packets.Publish).(*packets.PublishPacket)
	p.TopicName, p.Payload, p.Qos, p.MessageID, p.Retain = name, payload, 1, s.id, topics.Topic{Kind: k}.Entry().Retained
	return p.Write(s.conn)
}

// say sends the next events.
func (s *speaker) say(events ...topics.Event) error {
	b := topics.Encode(topics.Events{Epoch: s.session.Epoch, First: s.seq + 1, Events: events})
	s.seq += uint64(len(events))
	return s.send(topics.KindEvent, "", b, true)
}

func (s *speaker) stamp() topics.Stamp {
	s.n++
	return topics.Stamp{Session: s.session, N: s.n}
}

// round says one event and waits for its receipt.
func (s *speaker) round(e topics.Event) (time.Duration, error) {
	began := time.Now()
	if err := s.say(e); err != nil {
		return 0, err
	}
	limit := time.NewTimer(30 * time.Second)
	defer limit.Stop()
	for {
		select {
		case r, open := <-s.receipts:
			if !open {
				return 0, errors.New("the connection ended")
			}
			if r.Epoch == s.session.Epoch && r.Seq >= s.seq {
				return time.Since(began), nil
			}
		case <-limit.C:
			return 0, errors.New("no receipt in half a minute")
		}
	}
}

// runFlood has a thief say everything there is to say, as fast as it can: ADDRESS
// IDENTITY JOB GROUP, until a file IDENTITY.end is there. How much it said it writes
// beside the identity.
func runFlood(ctx context.Context, args []string) error {
	if err := syscall.Setpriority(syscall.PRIO_PROCESS, 0, 10); err != nil { // it is another machine's processor
		return err
	}
	var i agent.Identity
	if err := json.Unmarshal(e2e.Must(os.ReadFile(args[1])), &i); err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	go func() {
		for ; ctx.Err() == nil; time.Sleep(20 * time.Millisecond) {
			if _, err := os.Stat(args[1] + ".end"); err == nil {
				stop()
			}
		}
	}()
	job, group := topics.JobID(args[2]), topics.SourceGroupID(args[3])
	said := 0
	for session := int64(0); ctx.Err() == nil; session++ {
		s, err := newSpeaker(args[0], i)
		if err != nil {
			continue
		}
		context.AfterFunc(ctx, func() { s.conn.Close() })
		for n := 0; err == nil && ctx.Err() == nil; n++ {
			err = s.flood(n%10, job, group)
			said++
		}
		s.conn.Close()
	}
	return os.WriteFile(args[1]+".said", fmt.Append(nil, said), 0o600)
}

// flood sends one message of a kind that somebody who wants to be a nuisance sends.
func (s *speaker) flood(kind int, job topics.JobID, group topics.SourceGroupID) error {
	some := func() topics.JobID { return topics.JobID(fmt.Sprintf("invented-%012d", rand.Int64N(1e12))) }
	var events []topics.Event
	switch kind {
	case 0, 1: // slots nobody planned
		for range 200 {
			id := topics.ScheduleID("never-there")
			if kind == 1 {
				id = topics.ScheduleID(string(group)) // the schedule is called like the group
			}
			at := time.Now().UnixMilli()
			slot := topics.Slot{Schedule: id, At: at - rand.Int64N(1e10)/60_000*60_000}
			events = append(events, topics.Event{At: at, Fired: &topics.Fired{Job: some(), Group: group,
				Repository: topics.RepositoryID(group), Slot: slot}})
		}
	case 2: // lines of a job that never ends
		l := topics.Log{Job: job, First: int(s.seq) * 400}
		for range 400 {
			l.Lines = append(l.Lines, topics.Line{Text: strings.Repeat("x", 100)})
		}
		events = append(events, topics.Event{Log: &l})
	case 3: // parts of its report
		r := topics.Report{Job: job, Part: 1 + rand.IntN(topics.MaxParts)}
		for range 100 {
			r.Matches = append(r.Matches, topics.Match{Path: strings.Repeat("y", 400)})
		}
		events = append(events, topics.Event{Report: &r})
	case 4: // a listing of what is not there, and an end that never was
		r := topics.Report{Job: job, Part: 1 + rand.IntN(topics.MaxParts)}
		for n := range 100 {
			r.Snapshots = append(r.Snapshots, topics.Snapshot{ID: fmt.Sprintf("%064x", rand.Int64()+int64(n))})
		}
		events = append(events, topics.Event{Report: &r}, topics.Event{Finished: &topics.Finished{Job: some(), State: topics.Failed}})
	case 5: // hello, again and again
		for range 200 {
			events = append(events, topics.Event{Hello: &topics.Hello{Session: s.session, Jobs: []topics.JobID{job}}})
		}
	case 6: // signs of life, and progress of nothing
		for range 50 {
			err := errors.Join(s.send(topics.KindHeartbeat, "", topics.Encode(topics.Heartbeat{Stamp: s.stamp()}), true),
				s.send(topics.KindProgress, some(), topics.Encode(topics.Progress{Stamp: s.stamp()}), true))
			if err != nil {
				return err
			}
		}
		return nil
	case 7: // what no version knows
		return s.send(topics.KindEvent, "", fmt.Appendf(nil, `{"epoch":%d,"first":%d,"events":[{"wibble":{}},{"wobble":1}]}`, s.session.Epoch,
			s.seq+1), true)
	case 8: // out of order, and of no time
		for range 20 {
			b := topics.Encode(topics.Events{Epoch: s.session.Epoch, First: s.seq + 1 + rand.Uint64N(1e9), Events: []topics.Event{
				{Accepted: &topics.Accepted{Job: some()}}}})
			if err := s.send(topics.KindEvent, "", b, true); err != nil {
				return err
			}
		}
		return nil
	default: // nothing at all, and births
		return errors.Join(s.send(topics.KindEvent, "", []byte("garbage"), false), s.birth())
	}
	return s.say(events...)
}

// An ordeal is a control plane with an honest host, one whose keys somebody has, and
// somebody who looks at pages.
type ordeal struct {
	tb     testing.TB
	store  *store.Store
	site   string
	token  string
	agents string
	honest *speaker
	thief  agent.Identity
	job    topics.JobID         // of the thief's host, a search that was asked for
	group  topics.SourceGroupID // and what it backs up
}

func newOrdeal(tb testing.TB) *ordeal {
	tb.Helper()
	ctx, stop := context.WithCancel(context.Background())
	dir, log := tb.TempDir(), &e2e.Text{}
	storetest.Make(tb, filepath.Join(dir, "data"), store.Open)
	c := e2e.Must(controlplane.New(ctx, controlplane.Config{
		Data:   filepath.Join(dir, "data"),
		HTTP:   "127.0.0.1:0",
		Agents: "127.0.0.1:0",
		MQTT:   "127.0.0.1:0",
		Log:    slog.New(slog.NewTextHandler(log, nil)),
		Timing: controlplane.DefaultTiming(),
		Logs:   controlplane.DefaultLogs(),
		Limits: protocol.DefaultLimits(),
	}))
	ended := make(chan error, 1)
	go func() { ended <- c.Run(ctx) }()
	tb.Cleanup(func() {
		stop()
		if err := errors.Join(<-ended, c.Close()); err != nil {
			tb.Error(err)
		}
		if tb.Failed() {
			tb.Logf("the control plane's log:\n%.8000s", log.String())
		}
	})
	o := &ordeal{tb: tb, store: c.Store, site: "http://" + c.HTTPAddr(), agents: c.AgentsAddr(), token: password.NewKey("rma_")}
	row := store.APIToken{ID: topics.NewID(time.Now()), Name: "nightly", Role: store.Admin, KeyHash: password.HashKey(o.token)}
	if _, err := c.Store.AddAPIToken(ctx, store.Maker{Name: "test"}, row); err != nil {
		tb.Fatal(err)
	}
	enrol := func(name string) agent.Identity {
		_, token, err := c.Desk.Issue(ctx, "test", name, time.Hour)
		if err != nil {
			tb.Fatal(err)
		}
		state := filepath.Join(tb.TempDir(), "state")
		if _, err := (agent.Enrolment{Server: o.agents, Token: token.Reveal(), State: state, Policy: agent.Policy{}}).Run(ctx); err != nil {
			tb.Fatal(err)
		}
		var i agent.Identity
		if err := json.Unmarshal(e2e.Must(os.ReadFile(filepath.Join(state, "identity.json"))), &i); err != nil {
			tb.Fatal(err)
		}
		return i
	}
	honest := enrol("attic")
	o.thief = enrol("cellar")
	o.honest = e2e.Must(newSpeaker(o.agents, honest))
	tb.Cleanup(func() { o.honest.conn.Close() })
	for _, h := range []topics.HostID{honest.Host, o.thief.Host} {
		o.group = topics.SourceGroupID(topics.NewID(time.Now()))
		if err := c.Store.AddRepository(ctx, "test",
			store.Repository{ID: topics.RepositoryID(o.group), Name: "of " + string(h), Location: "/srv/vault"},
			store.RepositoryAccess{URL: "/srv/vault", Password: "correct horse"}); err != nil {
			tb.Fatal(err)
		}
		e2e.Must(c.Store.PutSourceGroup(ctx, "test", store.SourceGroup{ID: o.group, Host: h, Name: "home",
			Repository: topics.RepositoryID(o.group), Paths: store.List{"/home"}}))
	}
	e2e.Must(c.Store.PutSchedule(ctx, "test", o.thief.Host, "minutely", topics.ScheduleID(o.group), func(sc *store.Schedule) error {
		sc.Cron, sc.Zone, sc.Enabled, sc.Groups = "*/7 * * * *", "UTC", true, []topics.SourceGroupID{o.group}
		return nil
	}))
	j, _, err := c.Jobs.Ask(ctx, "test", o.thief.Host, topics.FindJob, topics.RepositoryID(o.group), topics.Operation{Pattern: "*"})
	if err != nil {
		tb.Fatal(err)
	}
	o.job = j.ID
	return o
}

// ask makes a request and returns how long it took.
func (o *ordeal) ask(method, path, body string) (time.Duration, error) {
	r := e2e.Must(http.NewRequest(method, o.site+path, strings.NewReader(body)))
	r.Header.Set("Authorization", "Bearer "+o.token)
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	began := time.Now()
	a, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, err
	}
	defer a.Body.Close()
	if _, err := io.Copy(io.Discard, a.Body); err != nil {
		return 0, err
	}
	if a.StatusCode >= 300 {
		return 0, fmt.Errorf("%s %s: %s", method, path, a.Status)
	}
	return time.Since(began), nil
}

// waits are how long each of some things of one kind took, the shortest first.
type waits []time.Duration

func (w waits) median() time.Duration { return w[len(w)/2] }
func (w waits) p99() time.Duration    { return w[len(w)*99/100] }

// measured returns, for a while, how long the honest host's events took, what somebody
// read, and what somebody changed: as long as it takes to have enough of each.
func (o *ordeal) measured(lasts time.Duration) (event, read, click waits) {
	o.tb.Helper()
	const least = 20
	until, latest := time.Now().Add(lasts), time.Now().Add(lasts+2*time.Minute)
	measure := func(every time.Duration, once func() (time.Duration, error)) *[]time.Duration {
		took := &[]time.Duration{}
		for time.Now().Before(until) || len(*took) < least && time.Now().Before(latest) {
			d, err := once()
			if err != nil {
				o.tb.Error(err)
				break
			}
			*took = append(*took, d)
			time.Sleep(every - min(d, every))
		}
		return took
	}
	var all sync.WaitGroup
	var events, reads, clicks *[]time.Duration
	n := 0
	all.Go(func() {
		events = measure(20*time.Millisecond, func() (time.Duration, error) {
			n++
			return o.honest.round(topics.Event{Configured: &topics.Configured{Revision: int64(n)}})
		})
	})
	all.Go(func() {
		reads = measure(20*time.Millisecond, func() (time.Duration, error) { return o.ask("GET", "/api/hosts", "") })
	})
	all.Go(func() {
		clicks = measure(50*time.Millisecond, func() (time.Duration, error) {
			return o.ask("PATCH", "/api/hosts/"+string(o.honest.Host), fmt.Sprintf(`{"overdue_days":%d}`, 1+rand.IntN(9)))
		})
	})
	all.Wait()
	sorted := func(took *[]time.Duration) waits {
		if len(*took) < least {
			o.tb.Fatalf("only %d were measured", len(*took))
		}
		slices.Sort(*took)
		return *took
	}
	return sorted(events), sorted(reads), sorted(clicks)
}

// flooded runs while a thief floods, and returns how many messages that were.
func (o *ordeal) flooded(do func()) (said int64) {
	o.tb.Helper()
	file := filepath.Join(o.tb.TempDir(), "stolen.json")
	if err := os.WriteFile(file, e2e.Must(json.Marshal(o.thief)), 0o600); err != nil {
		o.tb.Fatal(err)
	}
	done, _ := spawn(o.tb, "", "flood", o.agents, file, string(o.job), string(o.group))
	e2e.Await(o.tb, "the flood to begin", func() error {
		if e2e.Must(o.store.Host(context.Background(), o.thief.Host)).ReceivedSeq < 100 {
			return errors.New("little was received")
		}
		return nil
	})
	do()
	if err := os.WriteFile(file+".end", nil, 0o600); err != nil {
		o.tb.Fatal(err)
	}
	<-done
	said, _ = strconv.ParseInt(string(e2e.Must(os.ReadFile(file+".said"))), 10, 64)
	return said
}

// TestOneFloodHoldsUpNobody has a thief say everything there is as fast as it can: others'
// events and clicks do not wait for it, its host shows what was not taken, and what it
// stored is bounded. How long they take by how much is for BenchmarkFlood: on a machine
// that does something else at the time, one of few takes long without any flood.
func TestOneFloodHoldsUpNobody(t *testing.T) {
	lasts := 3 * time.Second
	if soak {
		lasts = time.Minute
	}
	o := newOrdeal(t)
	event, read, click := o.measured(3 * time.Second)
	var events, reads, clicks waits
	said := o.flooded(func() { events, reads, clicks = o.measured(lasts) })
	t.Logf("p99 without and with a flood of %d messages: event %v and %v, page %v and %v, click %v and %v", said, event.p99(),
		events.p99(), read.p99(), reads.p99(), click.p99(), clicks.p99())
	if usual := max(events.median(), reads.median(), clicks.median()); usual > 10*time.Second {
		t.Errorf("somebody usually waited %v", usual)
	}
	asides := map[string]uint64{}
	for _, a := range e2e.Must(o.store.Asides(t.Context(), o.thief.Host)) {
		asides[a.Reason] = a.N
	}
	for _, why := range []protocol.Aside{protocol.AsideSchedule, protocol.AsideSlot, protocol.AsideJob} {
		if asides[string(why)] == 0 {
			t.Errorf("nothing was set aside because of %q: %v", why, asides)
		}
	}
	if a := e2e.Must(o.store.Asides(t.Context(), o.honest.Host)); len(a) > 0 {
		t.Errorf("of the honest host %+v was set aside", a)
	}
	if open := e2e.Must(o.store.OpenJobs(t.Context(), o.thief.Host)); len(open) > topics.MaxJobsAtOnce+1 {
		t.Errorf("%d jobs of the thief's host are open", len(open))
	}
	if bytes, _, err := o.store.LogSize(t.Context()); err != nil || bytes > 65<<20 {
		t.Errorf("%d MiB of logs and reports are stored, %v", bytes>>20, err)
	}
}

// BenchmarkFlood reports how much longer than without a flood others wait during one.
func BenchmarkFlood(b *testing.B) {
	o := newOrdeal(b)
	for b.Loop() {
		event, read, click := o.measured(10 * time.Second)
		var events, reads, clicks waits
		said := o.flooded(func() { events, reads, clicks = o.measured(10 * time.Second) })
		for _, of := range []struct {
			what          string
			without, with waits
		}{{"event", event, events}, {"page", read, reads}, {"click", click, clicks}} {
			b.ReportMetric(float64(of.with.p99())/float64(of.without.p99()), "x-"+of.what)
			b.ReportMetric(of.with.p99().Seconds()*1000, of.what+"-p99-ms")
		}
		b.ReportMetric(float64(said), "messages")
	}
}
