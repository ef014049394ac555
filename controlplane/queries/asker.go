package queries

import (
	"cmp"
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/hosts"
	"github.com/restic-manager/restic-manager/controlplane/jobs"
	"github.com/restic-manager/restic-manager/controlplane/tidy"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
)

// Jobs is what is asked of the jobs engine.
type Jobs interface {
	Query(host topics.HostID, id topics.QueryID, q topics.Query) bool
	Opening(ctx context.Context, host topics.HostID, repository topics.RepositoryID, place topics.HostID) (topics.Repository, error)
	Start(ctx context.Context, a jobs.Actor, r jobs.Request) (job store.Job, fresh bool, err error)
}

// Limits bound queries.
type Limits struct {
	Files    time.Duration // for the files of a directory, and directories of a host
	Versions time.Duration // for the versions of a path
	Test     time.Duration // for a look at where a repository is to be; with Spare at most two seconds more
	Spare    time.Duration // for the answer to arrive, beside that
	Poll     time.Duration // how often it is looked whether the host is still connected
}

// DefaultLimits are what runs unless a test says otherwise.
func DefaultLimits() Limits {
	return Limits{Files: 30 * time.Second, Versions: time.Minute, Test: 12 * time.Second, Spare: 5 * time.Second, Poll: 250 * time.Millisecond}
}

// Config holds what an asker needs.
type Config struct {
	Store    *store.Store
	Jobs     Jobs
	Presence *hosts.Presence
	Log      *slog.Logger
	Cache    int64  // bytes of answers that are kept; 0 is DefaultCache
	Limits   Limits // the zero value is DefaultLimits
}

// An Asker asks hosts. Its methods may be called from any goroutine; an answer that nobody
// waits for any more ends at the host, too.
type Asker struct {
	Config
	cache *cache

	mu      sync.Mutex
	running map[key]*query
	all     map[topics.QueryID]*query // running, and those that ended not long ago
	hosts   map[topics.HostID]int     // how many run
	bytes   int64                     // of the answers that run
}

// An answer is all parts together.
type answer struct {
	host        topics.HostID
	entries     []Node
	versions    []topics.Version
	directories []topics.Directory
	free        *uint64
	path        string
	truncated   bool
	whole       bool // versions: in all snapshots of the repository
	ssh         *topics.SSHState
	finding     *topics.Finding
}

// A query is one that a host is asked. Its fields are guarded by the asker's mutex; of and
// err may be read once done is closed.
type query struct {
	key     key
	id      topics.QueryID
	host    store.Host
	waiters int
	parts   int
	bytes   int64
	of      answer
	err     error
	over    time.Time // when it ended
	done    chan struct{}
}

// New returns an asker. What agents answer is handed to Answered.
func New(c Config) *Asker {
	if c.Cache == 0 {
		c.Cache = DefaultCache
	}
	if c.Limits == (Limits{}) {
		c.Limits = DefaultLimits()
	}
	return &Asker{Config: c, cache: newCache(c.Cache), running: map[key]*query{}, all: map[topics.QueryID]*query{},
		hosts: map[topics.HostID]int{}}
}

const (
	// lateAnswer is how long parts may still arrive of a query that has ended here: they were
	// on their way when the host was told.
	lateAnswer = 10 * time.Second
	// retryAfter is when to ask again a host that answers as many questions as it may.
	retryAfter = 2 * time.Second
	// mostBytes is how much one answer may hold.
	mostBytes = 32 << 20
	// mostInAll is how much all answers may hold that are not whole yet: there may be four of
	// each host.
	mostInAll = 256 << 20
)

// ask has a host answer a query, or waits with whoever asks the same. The first one writes
// the entry of the audit log.
func (a *Asker) ask(ctx context.Context, who jobs.Actor, host store.Host, k key, q topics.Query, limit time.Duration) (answer, error) {
	a.mu.Lock()
	one := a.running[k]
	if one != nil {
		one.waiters++
		a.mu.Unlock()
		return a.wait(ctx, one)
	}
	if a.hosts[host.ID] >= topics.MaxQueries {
		a.mu.Unlock()
		return answer{}, crowded(host)
	}
	one = &query{key: k, id: topics.QueryID(topics.NewID(time.Now())), host: host, waiters: 1, of: answer{host: host.ID},
		done: make(chan struct{})}
	a.running[k], a.all[one.id] = one, one
	a.hosts[host.ID]++
	a.sweep()
	a.mu.Unlock()

	target, detail := string(k.repository), "by "+host.Name
	spare := a.Limits.Spare
	switch k.kind {
	case topics.DirectoriesQuery:
		target, detail = string(host.ID), ""
	case topics.SSHLook:
		target, detail = string(host.ID), k.path
	case topics.TestQuery:
		target, detail = string(host.ID), "of "+k.path
		spare = min(spare, 2*time.Second)
	}
	if err := a.Store.Audit(context.WithoutCancel(ctx), who.Name, "query."+string(k.kind), target, detail); err != nil {
		a.end(one, err)
		return a.wait(ctx, one)
	}
	q.Limit = max(1, int((limit+time.Second-1)/time.Second))
	session := a.Presence.Session(host.ID)
	if !a.Jobs.Query(host.ID, one.id, q) {
		a.end(one, lost(host))
		return a.wait(ctx, one)
	}
	go a.watch(one, session, limit+spare)
	return a.wait(ctx, one)
}

// watch ends a query whose host is gone, or whose time is over.
func (a *Asker) watch(one *query, session topics.Session, limit time.Duration) {
	timer, poll := time.NewTimer(limit), time.NewTicker(a.Limits.Poll)
	defer timer.Stop()
	defer poll.Stop()
	for {
		select {
		case <-one.done:
			return
		case <-timer.C:
			a.Jobs.Query(one.host.ID, one.id, topics.Query{Cancel: true})
			a.end(one, new(tooSlow(one.host)))
			return
		case <-poll.C:
			if !a.Presence.Reachable(one.host.ID) || a.Presence.Session(one.host.ID) != session {
				a.end(one, lost(one.host))
				return
			}
		}
	}
}

// wait returns the answer. If nobody waits any more, the query ends at the host as well.
func (a *Asker) wait(ctx context.Context, one *query) (answer, error) {
	select {
	case <-one.done:
		return one.of, one.err
	case <-ctx.Done():
	}
	a.mu.Lock()
	one.waiters--
	last := one.waiters == 0 && a.ended(one, context.Cause(ctx))
	a.mu.Unlock()
	if last {
		a.Jobs.Query(one.host.ID, one.id, topics.Query{Cancel: true})
	}
	return answer{}, context.Cause(ctx)
}

// end ends a query, unless it has ended.
func (a *Asker) end(one *query, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.ended(one, err)
}

// ended is end for whoever holds the mutex; it reports whether the query had not ended before.
func (a *Asker) ended(one *query, err error) bool {
	if !one.over.IsZero() {
		return false
	}
	one.over, one.err = time.Now(), err
	a.bytes -= one.bytes
	a.all[one.id] = &query{host: one.host, over: one.over} // what comes late is told by it, without the answer
	delete(a.running, one.key)
	if a.hosts[one.host.ID]--; a.hosts[one.host.ID] == 0 {
		delete(a.hosts, one.host.ID)
	}
	close(one.done)
	return true
}

// sweep forgets queries that ended long ago. The caller holds the mutex.
func (a *Asker) sweep() {
	for id, one := range a.all {
		if !one.over.IsZero() && time.Since(one.over) > lateAnswer {
			delete(a.all, id)
		}
	}
}

// Answered takes a part of an answer. It returns false if the host was not asked, or not
// lately, or if the part is none that can come: then it is refused and counted. It does not
// block.
func (a *Asker) Answered(host topics.HostID, id topics.QueryID, part topics.Answer) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	one := a.all[id]
	switch {
	case one == nil || one.host.ID != host:
		return false
	case !one.over.IsZero():
		return time.Since(one.over) < lateAnswer
	case part.Part != one.parts+1:
		a.ended(one, &Refused{Cause: topics.CauseUnknown, Title: "The host's answer cannot be read",
			Say: "A part of what " + one.host.Name + " answered is missing.", Do: "Ask again."})
		return false
	}
	one.parts++
	if part.Cause != topics.CauseNone {
		a.ended(one, refusal(one.host, one.key.kind, part))
		return true
	}
	had := one.bytes
	one.take(part)
	if a.bytes += one.bytes - had; a.bytes > mostInAll {
		a.ended(one, crowded(one.host))
		go a.Jobs.Query(host, id, topics.Query{Cancel: true})
		return true
	}
	if one.of.truncated && one.bytes > mostBytes && !part.Last {
		part.Last = true // the rest is passed over
		go a.Jobs.Query(host, id, topics.Query{Cancel: true})
	}
	if part.Last {
		one.settle()
		if !slices.Contains([]topics.QueryKind{topics.DirectoriesQuery, topics.SSHLook, topics.TestQuery}, one.key.kind) {
			a.cache.put(one.key, one.of)
		}
		a.ended(one, nil)
	}
	return true
}

// take adds what a part says, as far as it is about what was asked.
func (one *query) take(part topics.Answer) {
	of := &one.of
	for _, e := range part.Entries {
		if one.key.kind != topics.FilesQuery || !within(one.key.path, e) {
			of.truncated = true
			continue
		}
		one.bytes += int64(200 + len(e.Path) + len(e.Name) + len(e.Target))
		if one.bytes > mostBytes || len(of.entries) >= topics.MaxAnswerEntries {
			of.truncated = true
			break
		}
		e.Type = tidy.Clean(e.Type, 40)
		e.Mode &= 0o7777
		e.User, e.Group = tidy.Clean(e.User, tidy.MostName), tidy.Clean(e.Group, tidy.MostName)
		of.entries = append(of.entries, e)
	}
	if one.key.kind == topics.VersionsQuery {
		for _, v := range part.Versions {
			if len(of.versions) >= mostAnswered {
				of.truncated = true
				break
			}
			one.bytes += int64(100 + len(v.Snapshot))
			v.Type = tidy.Clean(v.Type, 40)
			of.versions = append(of.versions, v)
		}
	}
	if one.key.kind == topics.DirectoriesQuery {
		for _, d := range part.Directories {
			if one.bytes += int64(24 + len(d.Name)); one.bytes > mostBytes || len(of.directories) >= topics.MaxAnswerEntries {
				of.truncated = true
				break
			}
			of.directories = append(of.directories, d)
		}
		of.path = part.Path
	}
	if one.key.kind == topics.SSHLook && part.SSH != nil {
		of.ssh = part.SSH
	}
	if one.key.kind == topics.TestQuery && part.Finding != nil {
		of.finding = part.Finding
	}
	if part.FreeBytes != nil {
		of.free = part.FreeBytes
	}
	of.truncated, of.whole = of.truncated || part.Truncated, of.whole || part.Whole
}

// within reports whether an entry is one that a directory can have: nothing of another one,
// nothing that leads upwards.
func within(dir string, e Node) bool {
	return e.Name != "" && e.Name != "." && e.Name != ".." && !strings.ContainsAny(e.Name, "/\x00") &&
		e.Path == strings.TrimSuffix(dir, "/")+"/"+e.Name
}

// settle brings the entries in the order in which they are shown: directories first, then
// by name. Equal names keep restic's order.
func (one *query) settle() {
	slices.SortStableFunc(one.of.entries, func(x, y Node) int {
		if dx, dy := x.Type == "dir", y.Type == "dir"; dx != dy {
			if dx {
				return -1
			}
			return 1
		}
		return cmp.Compare(x.Name, y.Name)
	})
}

func tooSlow(h store.Host) Refused {
	return Refused{Cause: topics.CauseSlow, Title: "The answer took too long",
		Say: "The host " + h.Name + " did not answer in time; what it did for it was ended.",
		Do:  "Ask again when the host or its repository has less to do."}
}

func lost(h store.Host) error {
	return &Refused{Cause: CauseOffline, Title: "The host is offline",
		Say: "The connection with the agent of " + h.Name + " ended before it answered.",
		Do:  "Ask again when it is connected again.", After: retryAfter}
}

func crowded(h store.Host) error {
	return &Refused{Cause: topics.CauseTooMany, Title: "The host answers other questions",
		Say: "Four questions are being answered by " + h.Name + ", as many as there may be at once.",
		Do:  "Ask again in a moment.", After: retryAfter}
}

// refusal words what an agent says in place of an answer.
func refusal(h store.Host, kind topics.QueryKind, part topics.Answer) error {
	said := tidy.Clean(part.Message, tidy.MostSaid)
	r := &Refused{Cause: part.Cause, Title: "The host " + h.Name + " could not look", Say: said, Do: "Look at the host's page."}
	switch part.Cause {
	case topics.CauseTooMany:
		return crowded(h)
	case topics.CauseSlow:
		r.Title, r.Do = "The answer took too long", "Ask again when the host or its repository has less to do."
		return r
	case topics.CauseHostKeyOther:
		if kind == topics.SSHLook {
			r.Title = "Another key of this server is known"
			r.Do = "Say that this is meant only once it is certain that the server was given a new key: somebody who stands between looks the same."
			return r
		}
	}
	if kind == topics.TestQuery { // what it said is the finding
		return r
	}
	switch part.Cause {
	case topics.CauseNotFound:
		if kind == topics.SSHLook {
			r.Title, r.Do = "The host was not shown this key", "Have the host try again, and accept the key that it is shown then."
			return r
		}
		r.Title, r.Do = "There is no such directory", "Choose another one."
		if kind == topics.FilesQuery {
			r.Say = "The snapshot has no directory of this path."
			r.Do = "Choose another one, or another snapshot: the versions of a path say which snapshots hold it."
		}
		return r
	case topics.CausePolicy:
		r.Title, r.Do = "The host does not allow this", "Only its own administrator can change that, in the policy file on the host."
		if _, command, ok := strings.Cut(said, "run on the host: "); ok {
			r.Command = strings.TrimSuffix(command, ".")
		}
		return r
	}
	if !slices.Contains(topics.Causes, part.Cause) {
		r.Cause = topics.CauseUnknown
	}
	x := jobs.Explain(topics.FindJob, r.Cause, topics.Failed)
	if kind != topics.DirectoriesQuery && kind != topics.SSHLook && x.Cause != "" {
		r.Say = strings.TrimSpace(x.Cause + " " + quoted(said))
		r.Do = strings.Join(x.Texts(), " ")
	}
	return r
}

func quoted(said string) string {
	if said == "" {
		return ""
	}
	return "It said: " + said
}
