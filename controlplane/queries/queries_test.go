package queries

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/hosts"
	"github.com/restic-manager/restic-manager/controlplane/jobs"
	"github.com/restic-manager/restic-manager/seal"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/store/storetest"
	"github.com/restic-manager/restic-manager/topics"
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

const vault = topics.RepositoryID("vault-0001")

// A world is an asker on a real database, with hosts that the test answers for.
type world struct {
	*Asker
	t        *testing.T
	presence *hosts.Presence
	engine   *jobs.Engine

	mu   sync.Mutex
	sent []asked
	news chan struct{}
}

type asked struct {
	host topics.HostID
	id   topics.QueryID
	q    topics.Query
}

// Query is where queries go to.
func (w *world) Query(host topics.HostID, id topics.QueryID, q topics.Query) bool {
	if !w.presence.Reachable(host) {
		return false
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.sent = append(w.sent, asked{host, id, q})
	select {
	case w.news <- struct{}{}:
	default:
	}
	return true
}

func (w *world) Opening(ctx context.Context, host topics.HostID, r topics.RepositoryID, place topics.HostID) (topics.Repository, error) {
	return w.engine.Opening(ctx, host, r, place)
}

func (w *world) Start(ctx context.Context, a jobs.Actor, r jobs.Request) (store.Job, bool, error) {
	return w.engine.Start(ctx, a, r)
}

// await returns the nth query that was sent.
func (w *world) await(n int) asked {
	w.t.Helper()
	for limit := time.After(time.Minute); ; {
		w.mu.Lock()
		if len(w.sent) > n {
			defer w.mu.Unlock()
			return w.sent[n]
		}
		w.mu.Unlock()
		select {
		case <-w.news:
		case <-limit:
			w.t.Fatalf("query %d was not sent", n)
		}
	}
}

func (w *world) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.sent)
}

func (w *world) exec(query string, args ...any) {
	w.t.Helper()
	if err := w.Store.SlotStep(w.t.Context(), func(tx store.Slots) error {
		ctx, x := tx.Tx()
		_, err := x.ExecContext(ctx, query, args...)
		return err
	}); err != nil {
		w.t.Fatal(query, err)
	}
}

// saved notes a snapshot of a host.
func (w *world) saved(host topics.HostID, digit string, at int) string {
	id := strings.Repeat(digit, 64)
	w.exec(`INSERT INTO snapshots (repository, id, host, hostname, job, source_group, time, paths, tags, username, tree,
		original, files, bytes, place) VALUES ($1, $2, $3, 'x', 'job', 'group', $4, '[]', '[]', '', '', '', 1, 1, '')`, vault, id, host, at)
	return id
}

func (w *world) online(id topics.HostID, n uint64) {
	s := topics.Session{Epoch: 1, N: n}
	w.presence.Born(id, s)
	w.presence.Greeted(id, s)
}

const attic, barn, keep = topics.HostID("attic-0001"), topics.HostID("barn-00001"), topics.HostID("keep-00001")

// newWorld has three hosts: attic and barn back up into one repository, keep is its keeper.
func newWorld(t *testing.T, change ...func(*Config)) *world {
	t.Helper()
	ctx := t.Context()
	s := storetest.Open(t, store.Open)
	w := &world{t: t, presence: hosts.NewPresence(hosts.DefaultTiming(), time.Now, nil), news: make(chan struct{}, 1)}
	log := slog.New(slog.DiscardHandler)
	w.engine = jobs.New(jobs.Config{Store: s, Presence: w.presence, Hub: jobs.NewHub(), Log: log, Timing: jobs.DefaultTiming(), Now: time.Now})
	limits := DefaultLimits()
	limits.Poll = 5 * time.Millisecond
	c := Config{Store: s, Jobs: w, Presence: w.presence, Log: log, Limits: limits}
	for _, f := range change {
		f(&c)
	}
	w.Asker = New(c)
	for i, id := range []topics.HostID{attic, barn, keep} {
		hash := sha256.Sum256([]byte(id))
		if err := s.AddEnrollToken(ctx, store.EnrollToken{ID: "token-" + string(id), KeyHash: hash[:], CreatedBy: "test",
			ExpiresAt: s.Now() + 60_000}); err != nil {
			t.Fatal(err)
		}
		must(s.Enroll(ctx, hash[:], store.Host{ID: id, SealKey: must(seal.NewKey()).Public(), Hostname: []string{"attic", "barn", "keep"}[i]}))
		w.online(id, 1)
	}
	if err := s.AddRepository(ctx, "test", store.Repository{ID: vault, Name: "vault", Location: "rest:https://nas/data", Keeper: keep},
		store.RepositoryAccess{URL: "rest:https://nas/data", Password: "first password"}); err != nil {
		t.Fatal(err)
	}
	for i, id := range []topics.HostID{attic, barn} {
		must(s.PutSourceGroup(ctx, "test", store.SourceGroup{ID: topics.SourceGroupID(fmt.Sprintf("group-%04d", i)), Host: id,
			Name: "all", Repository: vault, Paths: store.List{"/data"}}))
	}
	w.exec(`UPDATE hosts SET can = '["queries"]'`)
	return w
}

var (
	anna  = jobs.Actor{Name: "anna", Role: store.Admin}
	rosa  = jobs.Actor{Name: "rosa", Role: store.Restorer}
	otto  = jobs.Actor{Name: "otto", Role: store.Operator}
	vicky = jobs.Actor{Name: "vicky", Role: store.Viewer}
)

// files asks in the background.
func (w *world) files(ctx context.Context, who jobs.Actor, q FilesQuery) chan result {
	out := make(chan result, 1)
	go func() {
		page, err := w.Files(ctx, who, q)
		out <- result{page, err}
	}()
	return out
}

type result struct {
	page FilesPage
	err  error
}

func (w *world) get(c chan result) result {
	w.t.Helper()
	select {
	case r := <-c:
		return r
	case <-time.After(time.Minute):
		w.t.Fatal("no answer came")
		return result{}
	}
}

func cause(err error) topics.Cause {
	var r *Refused
	if errors.As(err, &r) {
		return r.Cause
	}
	return ""
}

func nodes(dir string, names ...string) (all []Node) {
	for _, n := range names {
		all = append(all, Node{Name: n, Path: strings.TrimSuffix(dir, "/") + "/" + n, Type: "file"})
	}
	return all
}

func TestWhoAsksTheSameWaitsTogetherAndTheLastOneEndsIt(t *testing.T) {
	w := newWorld(t)
	id := w.saved(attic, "a", 1)
	q := FilesQuery{Repository: vault, Snapshot: id, Path: "/etc"}
	one, leave := context.WithCancel(t.Context())
	other, leaveToo := context.WithCancel(t.Context())
	first := w.files(one, anna, q)
	sent := w.await(0)
	if sent.host != attic || sent.q.Repository.Password.Reveal() != "first password" || sent.q.Path != "/etc" || sent.q.Limit != 30 {
		t.Errorf("sent %+v to %s", sent.q, sent.host)
	}
	second := w.files(other, otto, q)
	for w.waiters() != 2 {
		time.Sleep(time.Millisecond)
	}
	leave()
	if r := w.get(first); !errors.Is(r.err, context.Canceled) {
		t.Errorf("who left has %v", r.err)
	}
	if w.count() != 1 {
		t.Fatal("the first who left ended it for the other")
	}
	leaveToo()
	w.get(second)
	if last := w.await(1); !last.q.Cancel || last.id != sent.id || last.host != attic {
		t.Errorf("then %+v was sent", last)
	}
	if !w.Answered(attic, sent.id, topics.Answer{Part: 1, Last: true}) {
		t.Error("what was on its way when it ended is held against the host")
	}
	if n := must(w.Store.AuditCount(t.Context(), store.AuditFilter{Action: "query.files"})); n != 1 {
		t.Errorf("%d entries in the audit log of one query", n)
	}
}

func (w *world) waiters() (n int) {
	w.Asker.mu.Lock()
	defer w.Asker.mu.Unlock()
	for _, q := range w.running {
		n += q.waiters
	}
	return n
}

func TestAnswersOfNobodyWhoWasAskedAreRefused(t *testing.T) {
	w := newWorld(t)
	id := w.saved(attic, "a", 1)
	got := w.files(t.Context(), anna, FilesQuery{Repository: vault, Snapshot: id, Path: "/etc"})
	sent := w.await(0)
	if w.Answered(barn, sent.id, topics.Answer{Part: 1, Last: true, Entries: nodes("/etc", "planted")}) {
		t.Error("the answer of another host was taken")
	}
	if w.Answered(attic, "0mk3a7q2none", topics.Answer{Part: 1, Last: true}) {
		t.Error("the answer to nothing was taken")
	}
	entries := append(nodes("/etc", "passwd", "hosts"), nodes("/root", "elsewhere")...)
	entries = append(entries, Node{Name: "renamed", Path: "/etc/other", Type: "file"}, Node{Name: "ssh", Path: "/etc/ssh", Type: "dir"})
	if !w.Answered(attic, sent.id, topics.Answer{Part: 1, Entries: entries}) ||
		!w.Answered(attic, sent.id, topics.Answer{Part: 2, Last: true}) {
		t.Fatal("its own answer was not taken")
	}
	r := w.get(got)
	var names []string
	for _, e := range r.page.Entries {
		names = append(names, e.Name)
	}
	if strings.Join(names, " ") != "ssh hosts passwd" || !r.page.Truncated || r.page.Cached || r.page.Host != attic {
		t.Errorf("%v: %+v", names, r)
	}
	// Replayed, and late.
	for _, q := range w.all {
		q.over = q.over.Add(-time.Minute)
	}
	if w.Answered(attic, sent.id, topics.Answer{Part: 2, Last: true}) {
		t.Error("an answer that comes a minute late was taken")
	}

	// A part is missing.
	got = w.files(t.Context(), anna, FilesQuery{Repository: vault, Snapshot: id, Path: "/var"})
	sent = w.await(1)
	if w.Answered(attic, sent.id, topics.Answer{Part: 2, Last: true}) {
		t.Error("a second part without a first was taken")
	}
	if r := w.get(got); cause(r.err) != topics.CauseUnknown {
		t.Errorf("%+v", r)
	}
}

func TestAHugeAnswerIsCutOff(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.Cache = 1 << 20 })
	id := w.saved(attic, "a", 1)
	got := w.files(t.Context(), anna, FilesQuery{Repository: vault, Snapshot: id, Path: "/d"})
	sent := w.await(0)
	long := strings.Repeat("x", 2000)
	part := 0
	for ; part < 100_000; part++ {
		var list []Node
		for i := range 10 {
			list = append(list, nodes("/d", fmt.Sprintf("%06d-%d-%s", part, i, long))...)
		}
		w.Answered(attic, sent.id, topics.Answer{Part: part + 1, Entries: list})
		w.Asker.mu.Lock()
		over := len(w.running) == 0
		w.Asker.mu.Unlock()
		if over {
			break
		}
	}
	r := w.get(got)
	if r.err != nil || !r.page.Truncated || len(r.page.Entries) != Page || part > 10_000 {
		t.Fatalf("after %d parts: %v, %d of %d entries", part, r.err, len(r.page.Entries), r.page.Total)
	}
	if last := w.await(1); !last.q.Cancel {
		t.Errorf("the host goes on: %+v", last)
	}
	if w.cache.bytes > 1<<20 {
		t.Errorf("%d bytes are kept", w.cache.bytes)
	}
}

// TestWhatAnotherHostSaysIsNotKeptForAll: one that has the repository, and neither made the
// snapshot nor is the keeper, is believed by whoever asks it alone.
func TestWhatAnotherHostSaysIsNotKeptForAll(t *testing.T) {
	w := newWorld(t)
	id := w.saved(attic, "a", 1)
	ask := func(host, want topics.HostID, names ...string) {
		t.Helper()
		n := w.count()
		got := w.files(t.Context(), otto, FilesQuery{Repository: vault, Snapshot: id, Path: "/etc", Host: host})
		if want != "" {
			sent := w.await(n)
			if sent.host != want {
				t.Fatalf("%s is asked, want %s", sent.host, want)
			}
			w.Answered(want, sent.id, topics.Answer{Part: 1, Last: true, Entries: nodes("/etc", names...)})
		}
		if r := w.get(got); r.err != nil || r.page.Cached != (want == "") || len(r.page.Entries) != len(names) {
			t.Errorf("of %q: %+v", host, r)
		}
	}
	ask(barn, barn, "planted")
	ask(barn, "", "planted")
	ask("", attic, "passwd", "hosts")
	ask("", "", "passwd", "hosts")
	ask(barn, "", "passwd", "hosts")
}

func TestAllAnswersTogetherAreBounded(t *testing.T) {
	w := newWorld(t)
	id := w.saved(attic, "a", 1)
	ask := func(path string) (chan result, asked) {
		n := w.count()
		got := w.files(t.Context(), anna, FilesQuery{Repository: vault, Snapshot: id, Path: path})
		return got, w.await(n)
	}
	got, sent := ask("/d")
	w.Answered(attic, sent.id, topics.Answer{Part: 1, Entries: nodes("/d", "one")})
	w.Asker.mu.Lock()
	w.Asker.bytes += mostInAll // what other hosts are saying
	w.Asker.mu.Unlock()
	w.Answered(attic, sent.id, topics.Answer{Part: 2, Entries: nodes("/d", "two")})
	if r := w.get(got); cause(r.err) != topics.CauseTooMany {
		t.Errorf("%+v", r)
	}
	if last := w.await(1); !last.q.Cancel {
		t.Errorf("the host goes on: %+v", last)
	}
	w.Asker.mu.Lock()
	left := w.Asker.bytes - mostInAll
	w.Asker.bytes = 0
	w.Asker.mu.Unlock()
	if left != 0 {
		t.Errorf("%d bytes are counted of what is over", left)
	}
	got, sent = ask("/d")
	w.Answered(attic, sent.id, topics.Answer{Part: 1, Last: true, Entries: nodes("/d", "one")})
	if r := w.get(got); r.err != nil || len(r.page.Entries) != 1 {
		t.Errorf("afterwards: %+v", r)
	}
}

func TestFourQuestionsAtOnceOfAHost(t *testing.T) {
	w := newWorld(t)
	id := w.saved(attic, "a", 1)
	ctx, leave := context.WithCancel(t.Context())
	var all []chan result
	for i := range topics.MaxQueries {
		all = append(all, w.files(ctx, anna, FilesQuery{Repository: vault, Snapshot: id, Path: fmt.Sprintf("/%d", i)}))
		w.await(i)
	}
	var r *Refused
	_, err := w.Files(ctx, anna, FilesQuery{Repository: vault, Snapshot: id, Path: "/more"})
	if !errors.As(err, &r) || r.Cause != topics.CauseTooMany || r.After <= 0 {
		t.Errorf("the fifth: %v", err)
	}
	other := w.files(ctx, anna, FilesQuery{Repository: vault, Snapshot: id, Path: "/more", Host: barn})
	if sent := w.await(topics.MaxQueries); sent.host != barn {
		t.Errorf("another host is asked: %+v", sent)
	}
	leave()
	for _, c := range append(all, other) {
		w.get(c)
	}
	if len(w.hosts) != 0 || len(w.running) != 0 {
		t.Errorf("left are %v, %v", w.hosts, w.running)
	}
}

func TestWhichHostLooks(t *testing.T) {
	w := newWorld(t)
	id := w.saved(attic, "a", 1)
	ask := func(path string, host topics.HostID) (topics.HostID, error) {
		t.Helper()
		n := w.count()
		ctx, leave := context.WithCancel(t.Context())
		defer leave()
		c := w.files(ctx, anna, FilesQuery{Repository: vault, Snapshot: id, Path: path, Host: host})
		for {
			select {
			case r := <-c:
				return "", r.err
			case <-w.news:
				if w.count() > n {
					sent := w.await(n)
					w.Answered(sent.host, sent.id, topics.Answer{Part: 1, Last: true})
					return sent.host, w.get(c).err
				}
			}
		}
	}
	if h, err := ask("/1", ""); h != attic {
		t.Errorf("its own host is online, and %s was asked: %v", h, err)
	}
	w.presence.Died(attic, topics.Session{Epoch: 1, N: 1})
	if h, err := ask("/2", ""); h != keep {
		t.Errorf("its own host is away, and %s was asked, not the keeper: %v", h, err)
	}
	_, err := ask("/3", attic)
	if cause(err) != CauseOffline {
		t.Errorf("the host that is named is away: %v", err)
	}
	if r := new(Refused); !errors.As(err, &r) || !strings.Contains(r.Do, "restic-manager kit --host attic") ||
		!strings.Contains(r.Do, "restic-manager host replace attic") {
		t.Errorf("what helps if the machine is lost: %+v", r)
	}
	w.exec(`UPDATE hosts SET can = '' WHERE id = $1`, keep)
	if h, err := ask("/4", ""); h != barn {
		t.Errorf("the keeper's agent is old, and %s was asked: %v", h, err)
	}
	if _, err := ask("/5", keep); cause(err) != CauseOldAgent {
		t.Errorf("the host that is named is old: %v", err)
	} else if r := new(Refused); !errors.As(err, &r) || strings.Contains(r.Do, "lost") {
		t.Errorf("a machine that is there is not said to be lost: %+v", r)
	}
	w.presence.Died(barn, topics.Session{Epoch: 1, N: 1})
	if _, err := ask("/6", ""); cause(err) != CauseNoHost || !strings.Contains(err.(*Refused).Do, "restic-manager host replace attic") {
		t.Errorf("nobody is there: %v", err)
	}
	if _, err := ask("/1", ""); err != nil {
		t.Errorf("what was answered needs no host: %v", err)
	}
}

func TestAHostThatGoesAwayMeanwhile(t *testing.T) {
	w := newWorld(t)
	id := w.saved(attic, "a", 1)
	got := w.files(t.Context(), anna, FilesQuery{Repository: vault, Snapshot: id, Path: "/a"})
	sent := w.await(0)
	w.online(attic, 2) // it connects again: the query was of the session before
	if r := w.get(got); cause(r.err) != CauseOffline {
		t.Errorf("a new session: %+v", r)
	}
	w.Answered(attic, sent.id, topics.Answer{Part: 1, Last: true, Entries: nodes("/a", "late")})
	got = w.files(t.Context(), anna, FilesQuery{Repository: vault, Snapshot: id, Path: "/a"})
	again := w.await(1)
	if again.id == sent.id {
		t.Fatal("it is not asked anew")
	}
	w.Answered(attic, again.id, topics.Answer{Part: 1, Last: true, Entries: nodes("/a", "new")})
	if r := w.get(got); r.err != nil || len(r.page.Entries) != 1 || r.page.Entries[0].Name != "new" {
		t.Errorf("%+v", r)
	}

	if err := w.Store.RemoveHost(t.Context(), "anna", attic, "keep"); err != nil {
		t.Fatal(err)
	}
	_, err := w.Files(t.Context(), anna, FilesQuery{Repository: vault, Snapshot: id, Path: "/a", Host: attic})
	if !errors.Is(err, jobs.ErrNoHost) {
		t.Errorf("a host that was removed is named: %v", err)
	}
	if page, err := w.Files(t.Context(), anna, FilesQuery{Repository: vault, Snapshot: id, Path: "/a"}); err != nil || !page.Cached {
		t.Errorf("its snapshot is there: %+v, %v", page, err)
	}
}

func TestRightsAreLookedAtOfWhatIsKeptToo(t *testing.T) {
	w := newWorld(t)
	id := w.saved(attic, "a", 1)
	q := FilesQuery{Repository: vault, Snapshot: id, Path: "/etc"}
	got := w.files(t.Context(), anna, q)
	sent := w.await(0)
	w.Answered(attic, sent.id, topics.Answer{Part: 1, Last: true, Entries: nodes("/etc", "passwd")})
	w.get(got)
	for _, c := range []struct {
		who jobs.Actor
		may bool
	}{{anna, true}, {rosa, true}, {otto, true}, {vicky, false}} {
		page, err := w.Files(t.Context(), c.who, q)
		if c.may != (err == nil && page.Cached) || !c.may && !errors.As(err, new(*jobs.RoleError)) {
			t.Errorf("%s: %+v, %v", c.who.Name, page, err)
		}
	}
	// A host that does not have the repository is told nothing of it.
	w.exec(`DELETE FROM source_groups WHERE host = $1`, barn)
	with := q
	with.Host = barn
	if _, err := w.Files(t.Context(), anna, with); cause(err) != topics.CauseNotOwn {
		t.Errorf("a host without the repository: %v", err)
	}
	for who, may := range map[jobs.Actor]bool{anna: true, rosa: true, otto: false, vicky: false} {
		n := w.count()
		ctx, leave := context.WithCancel(t.Context())
		looked := make(chan error, 1)
		go func() {
			_, err := w.Directories(ctx, who, attic, "/srv")
			looked <- err
		}()
		if may { // directories are asked for anew each time
			w.await(n)
			leave()
		}
		if err := <-looked; may == errors.As(err, new(*jobs.RoleError)) {
			t.Errorf("%s looks for directories: %v", who.Name, err)
		}
		leave()
	}

	// Another password is sent with the next question; what is known stays.
	r := must(w.Store.Repository(t.Context(), vault))
	if err := w.Store.ChangeRepository(t.Context(), "anna", r, store.RepositoryAccess{URL: "rest:https://nas/data",
		Password: "second password"}); err != nil {
		t.Fatal(err)
	}
	n := w.count()
	got = w.files(t.Context(), anna, FilesQuery{Repository: vault, Snapshot: id, Path: "/new"})
	if sent = w.await(n); sent.q.Repository.Password.Reveal() != "second password" {
		t.Error("the question has the password of before")
	}
	w.Answered(attic, sent.id, topics.Answer{Part: 1, Last: true})
	w.get(got)
	if page, err := w.Files(t.Context(), anna, q); err != nil || !page.Cached {
		t.Errorf("%+v, %v", page, err)
	}
}

func TestVersionsFoldWhatIsEqual(t *testing.T) {
	w := newWorld(t)
	a, b, c, d := w.saved(attic, "a", 4), w.saved(attic, "b", 3), w.saved(attic, "c", 2), w.saved(barn, "d", 1)
	got := make(chan []Version, 1)
	go func() {
		rows, err := w.Versions(t.Context(), otto, VersionsQuery{Repository: vault, Path: "/etc/hosts", Host: attic})
		if err != nil {
			t.Error(err)
		}
		got <- rows
	}()
	sent := w.await(0)
	if strings.Join(sent.q.Snapshots, " ") != a+" "+b+" "+c {
		t.Errorf("asked for %v", sent.q.Snapshots)
	}
	w.Answered(attic, sent.id, topics.Answer{Part: 1, Last: true, Versions: []topics.Version{{Snapshot: c, Size: 1, Type: "file"},
		{Snapshot: a, Size: 2, Type: "file"}, {Snapshot: b, Size: 2, Type: "file"}, {Snapshot: d, Size: 2, Type: "file"}}})
	rows := <-got
	if len(rows) != 3 || rows[0].Snapshot != a || rows[0].SameAs != "" || rows[1].SameAs != a || rows[2].SameAs != "" || rows[2].Time != 2 {
		t.Errorf("%+v", rows)
	}

	// Nobody answers in time: a job goes on.
	w.Limits.Versions, w.Limits.Spare = 100*time.Millisecond, time.Millisecond
	var r *Refused
	_, err := w.Versions(t.Context(), otto, VersionsQuery{Repository: vault, Path: "/a[b]", Host: attic})
	if !errors.As(err, &r) || r.Cause != topics.CauseSlow || r.Job == "" {
		t.Fatalf("%v", err)
	}
	if j := must(w.Store.Job(t.Context(), r.Job)); j.Kind != topics.FindJob || j.Operation.V.Pattern != "/a[[]b]" || j.RequestedBy != "otto" ||
		j.Host != attic {
		t.Errorf("%+v", j)
	}
}

func TestWhatIsUsedLongestAgoIsForgotten(t *testing.T) {
	c := newCache(5000)
	of := func(n int) answer { return answer{entries: []Node{{Name: strings.Repeat("x", n)}}} }
	for i := range 10 {
		c.put(key{path: fmt.Sprint(i)}, of(500))
		c.get(key{path: "0"})
	}
	if _, there := c.get(key{path: "0"}); !there || c.bytes > 5000 {
		t.Errorf("what was used is gone, %d bytes", c.bytes)
	}
	if _, there := c.get(key{path: "1"}); there {
		t.Error("what was not used is kept")
	}
	c.put(key{path: "huge"}, of(10_000))
	if _, there := c.get(key{path: "huge"}); there || len(c.all) == 0 || c.order.Len() != len(c.all) {
		t.Error("one that is larger than all took the place of all")
	}
}

// savedMany notes so many snapshots of a host.
func (w *world) savedMany(host topics.HostID, digit string, n int) {
	w.exec(`INSERT INTO snapshots (repository, id, host, hostname, job, source_group, time, paths, tags, username, tree,
		original, files, bytes, place) WITH RECURSIVE k(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM k WHERE i < $4)
		SELECT $1, $2 || substr('000000000000000000000000000000000000000000000000000000000000000' || i, -63), $3, 'x', 'job', 'group', i, '[]',
			'[]', '', '', '', 1, 1, '' FROM k`, vault, digit, host, n)
}

// TestAPathIsLookedForInEverySnapshot: in one question if they are most of the repository's
// and the agent knows that, and else in as many as it takes.
func TestAPathIsLookedForInEverySnapshot(t *testing.T) {
	for _, c := range []struct {
		what  string
		n     int // snapshots of the host
		other int // and of another
		knows bool
		asked []int // how many snapshots are named in each question
		whole []bool
	}{
		{"few", 3, 0, true, []int{3}, []bool{true}},
		{"few of many", 3, 10, true, []int{3}, []bool{false}},
		{"as many as a message has room for", 700, 0, true, []int{700}, []bool{true}},
		{"more than that", 1500, 0, true, []int{700}, []bool{true}},
		{"more than that, of an older agent", 1500, 0, false, []int{700, 700, 100}, []bool{true, false, false}},
		{"more than that, of many", 1500, 1600, true, []int{700, 700, 100}, []bool{false, false, false}},
	} {
		w := newWorld(t)
		w.savedMany(attic, "a", c.n)
		w.savedMany(barn, "b", c.other)
		got := make(chan []Version, 1)
		go func() {
			rows, err := w.Versions(t.Context(), otto, VersionsQuery{Repository: vault, Path: "/etc/hosts", Host: attic})
			if err != nil {
				t.Errorf("%s: %v", c.what, err)
			}
			got <- rows
		}()
		for i, n := range c.asked {
			sent := w.await(i)
			if len(sent.q.Snapshots) != n || sent.q.Whole != c.whole[i] {
				t.Errorf("%s: question %d names %d snapshots, whole: %t", c.what, i, len(sent.q.Snapshots), sent.q.Whole)
			}
			part := topics.Answer{Part: 1, Last: true, Whole: c.knows && sent.q.Whole}
			for _, id := range sent.q.Snapshots {
				part.Versions = append(part.Versions, topics.Version{Snapshot: id, Size: 1, Type: "file"})
			}
			if part.Whole {
				for i := range c.n - len(sent.q.Snapshots) {
					part.Versions = append(part.Versions, topics.Version{Snapshot: fmt.Sprintf("a%063d", i+1), Size: 1, Type: "file"})
				}
			}
			w.Answered(sent.host, sent.id, part)
		}
		if rows := <-got; len(rows) != c.n || len(rows) > 0 && rows[0].Time != int64(c.n) {
			t.Errorf("%s: it is in %d snapshots, want %d", c.what, len(rows), c.n)
		}
	}
	w := newWorld(t)
	w.savedMany(attic, "a", mostVersions+1)
	_, err := w.Versions(t.Context(), otto, VersionsQuery{Repository: vault, Path: "/etc/hosts", Host: attic})
	if r := new(Refused); !errors.As(err, &r) || r.Job == "" || w.count() > 0 {
		t.Errorf("in more snapshots than anybody can wait for: %v, %d questions", err, w.count())
	}
}

// TestNoNameOfAnAnswerLeadsElsewhere: what is listed is in the directory that was asked for.
func TestNoNameOfAnAnswerLeadsElsewhere(t *testing.T) {
	for _, dir := range []string{"/", "/etc"} {
		w := newWorld(t)
		id := w.saved(attic, "a", 1)
		got := w.files(t.Context(), anna, FilesQuery{Repository: vault, Snapshot: id, Path: dir})
		sent := w.await(0)
		below := strings.TrimSuffix(dir, "/") + "/"
		list := nodes(dir, ".", "..", "", "a/b", "../x", "nul\x00", "good", "...", "-rf", "two\nlines", `back\slash`, "\u202e", "<b>")
		list = append(list, Node{Name: "twice", Path: below + "/twice"}, Node{Name: "dot", Path: below + "./dot"},
			Node{Name: "relative", Path: "relative"}, Node{Name: "end", Path: below + "end/"}, Node{Name: "etc", Path: "/"})
		w.Answered(attic, sent.id, topics.Answer{Part: 1, Last: true, Entries: list})
		r := w.get(got)
		for _, e := range r.page.Entries {
			if topics.CheckSnapshotPath(e.Path) != nil {
				t.Errorf("in %s: %q at %q is no path of a snapshot", dir, e.Name, e.Path)
			}
		}
		if r.err != nil || len(r.page.Entries) != 7 || !r.page.Truncated {
			t.Errorf("in %s: %v, %+v", dir, r.err, r.page.Entries)
		}
	}
}

// TestVersionsOfAHostAreFoundAmongThoseOfOthers: also if all of the repository's are answered.
func TestVersionsOfAHostAreFoundAmongThoseOfOthers(t *testing.T) {
	w := newWorld(t)
	const own, others = 6_000, 5_900
	w.savedMany(attic, "a", own)
	w.savedMany(barn, "b", others)
	got := make(chan []Version, 1)
	go func() {
		rows, err := w.Versions(t.Context(), otto, VersionsQuery{Repository: vault, Path: "/etc/hosts", Host: attic})
		if err != nil {
			t.Error(err)
		}
		got <- rows
	}()
	sent := w.await(0)
	if !sent.q.Whole {
		t.Fatal("the whole repository is not asked for")
	}
	part := topics.Answer{Part: 1, Last: true, Whole: true}
	for digit, n := range map[string]int{"b": others, "a": own} {
		for i := range n {
			part.Versions = append(part.Versions, topics.Version{Snapshot: fmt.Sprintf("%s%063d", digit, i+1), Size: 1, Type: "file"})
		}
	}
	w.Answered(attic, sent.id, part)
	if rows := <-got; len(rows) != own {
		t.Errorf("it is in %d snapshots, want %d", len(rows), own)
	}
}
