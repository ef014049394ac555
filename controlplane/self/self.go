// Package self looks after the control plane itself as if it were a host: it takes
// copies of the database, says when they are late, and asks about everybody whom a copy
// trusts once the control plane was restored from it.
//
// The key is in no copy: without it the secrets in one cannot be read.
package self

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/notices"
	"github.com/restic-manager/restic-manager/location"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/store/copies"
	"github.com/restic-manager/restic-manager/store/restored"
	"github.com/restic-manager/restic-manager/store/room"
	"github.com/restic-manager/restic-manager/topics"
)

// Timing holds the durations of this package.
type Timing struct {
	Every time.Duration // between two copies; 0 makes none by itself
	Calm  time.Duration // after a start, before the first
	Again time.Duration // after a copy that failed
	Late  time.Duration // beyond Every, from when on a copy is late
}

// DefaultTiming is a copy a day.
func DefaultTiming() Timing {
	return Timing{Every: 24 * time.Hour, Calm: time.Minute, Again: time.Hour, Late: 6 * time.Hour}
}

// Kinds are those of whom people are asked about, in the order in which they are.
var Kinds = restored.Kinds

// Kept is how many of the daily copies are kept unless somebody says otherwise.
const Kept = 14

// A Service copies one control plane's database.
type Service struct {
	Store  *store.Store
	Data   string // the database's directory
	Keep   int    // how many daily copies are kept
	Timing Timing
	Log    *slog.Logger
	Now    func() time.Time
	// Spare, if set, is how many bytes stay free on the disk beside a copy among the daily
	// ones: fewer are kept for that.
	Spare func() uint64
	// Changed, if set, is called after a change that pages show. It must not block.
	Changed func()
	// Online reports whether a host can be sent a job, and List queues a listing of a
	// repository, at the place of another host if that is not "". Without them none is asked
	// for after a restore.
	Online func(topics.HostID) bool
	List   func(ctx context.Context, host topics.HostID, repository topics.RepositoryID, place topics.HostID) error

	mu     sync.Mutex // one copy at a time
	state  sync.Mutex
	began  time.Time
	failed error // of the last copy
	status Status
	asked  []restored.Question
}

// A Status is what there is to restore the control plane from.
type Status struct {
	restored.Plane
	Copies []copies.Copy // the newest first
	Every  time.Duration // between two, 0 if none are made by themselves
	Keep   int
	Next   time.Time // the zero time is never
	Late   bool
	Failed string // why the last one could not be made, "" if it was
	Dir    string
}

// Last is when the last copy was made, the zero time if there is none.
func (s Status) Last() time.Time {
	if s.CopiedAt == 0 {
		return time.Time{}
	}
	return time.UnixMilli(s.CopiedAt)
}

// Copy makes a copy among the daily ones, and removes those that are too many.
func (s *Service) Copy(ctx context.Context, actor string) (copies.Copy, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	err := s.Store.Copying(ctx, actor, copies.Dir(s.Data))
	var c copies.Copy
	if err == nil {
		c, err = s.Store.Copy(ctx, copies.Daily, s.Keep, s.spare())
	}
	if errors.Is(err, fs.ErrExist) { // copies are named by the second
		select {
		case <-ctx.Done():
		case <-time.After(time.Second):
			c, err = s.Store.Copy(ctx, copies.Daily, s.Keep, s.spare())
		}
	}
	if err != nil {
		err = fmt.Errorf("%w: %w", store.ErrNotCopied, err)
	}
	if ctx.Err() == nil {
		s.state.Lock()
		s.failed = err
		s.state.Unlock()
		s.look(ctx)
	}
	s.changed()
	return c, err
}

// ErrThere is the error that a copy would be written over a file.
var ErrThere = errors.New("there is a file already; a copy is not written over it: name another one, or a directory")

// CopyTo makes a copy as a file that is not there yet, or in a directory under a name of
// its own, and returns the path.
func (s *Service) CopyTo(ctx context.Context, actor, path string) (string, error) {
	info, err := os.Stat(path)
	switch {
	case err == nil && info.IsDir():
		path = filepath.Join(path, "restic-manager-"+s.now().UTC().Format("20060102T150405Z")+".db")
	case err == nil:
		return "", fmt.Errorf("%s: %w", path, ErrThere)
	case !errors.Is(err, fs.ErrNotExist):
		return "", err
	}
	if path, err = filepath.Abs(path); err != nil {
		return "", err
	}
	switch err := s.Store.Copying(ctx, actor, path); room.Why(err) {
	case room.Full, room.ReadOnly, room.Fault:
		// Now above all somebody wants a copy. It says that it was made when the one before
		// was: whoever restores it is asked about more, not less.
	default:
		if err != nil {
			return "", err
		}
	}
	return path, s.Store.CopyInto(ctx, path)
}

// Status returns what there is to restore from.
func (s *Service) Status(ctx context.Context) (Status, error) {
	st := Status{Every: s.Timing.Every, Keep: s.Keep}
	var err error
	if st.Dir, err = filepath.Abs(copies.Dir(s.Data)); err != nil {
		return st, err
	}
	if st.Plane, err = s.Store.PlaneOf(ctx); err != nil {
		return st, err
	}
	if st.Copies, err = copies.List(s.Data); err != nil {
		return st, err
	}
	s.state.Lock()
	began, failed := s.began, s.failed
	s.state.Unlock()
	if failed != nil {
		st.Failed = failed.Error()
	}
	if st.Every > 0 {
		st.Next = s.due(st, began)
		last := began
		if at, any := newest(st.Copies); any {
			last = at
		}
		st.Late = !last.IsZero() && s.now().Sub(last) > st.Every+s.Timing.Late
	}
	return st, nil
}

// newest is when the last daily copy was made.
func newest(list []copies.Copy) (time.Time, bool) {
	for _, c := range list {
		if c.Kind == copies.Daily {
			return c.At, true
		}
	}
	return time.Time{}, false
}

// due is when the next copy is to be made.
func (s *Service) due(st Status, began time.Time) time.Time {
	at := began.Add(s.Timing.Calm)
	if last, any := newest(st.Copies); any && last.Add(st.Every).After(at) {
		at = last.Add(st.Every)
	}
	return at
}

// Run makes copies when they are due, and has repositories listed after a restore, until
// ctx ends.
func (s *Service) Run(ctx context.Context) error {
	s.state.Lock()
	s.began = s.now()
	s.state.Unlock()
	for {
		wait := time.Minute
		st, err := s.Status(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			s.Log.Error("reading which copies of the database there are failed", "err", err)
		case st.Every > 0 && !s.now().Before(st.Next):
			if c, err := s.Copy(ctx, store.Plane); err == nil {
				s.Log.Info("the database was copied", "copy", c.Path, "bytes", c.Bytes)
			} else if ctx.Err() == nil {
				s.Log.Error("the database could not be copied", "err", err)
				wait = s.Timing.Again
			}
		case st.Every > 0:
			wait = min(wait, st.Next.Sub(s.now()))
		}
		if err := s.relist(ctx); err != nil && ctx.Err() == nil {
			s.Log.Error("having repositories listed after the restore failed", "err", err)
		}
		s.look(ctx)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(max(wait, time.Millisecond)):
		}
	}
}

// mostLists is how many listings are asked for at once: the rest is a minute later.
const mostLists = 500

// relist has each place of a repository listed once after a restore, as soon as a host
// that may do so can be reached: what the copy says is there may be gone, and there may be
// more. Until then what was listed before the copy stays.
func (s *Service) relist(ctx context.Context) error {
	if s.Online == nil || s.List == nil {
		return nil
	}
	// With a clock that was set back, what is asked now would count as asked before.
	if p, err := s.Store.PlaneOf(ctx); err != nil || p.RestoredAt == 0 || s.Store.Now() < p.RestoredAt {
		return err
	}
	stale, err := s.Store.Unlisted(ctx)
	if err != nil {
		return err
	}
	asked := 0
	for _, p := range stale {
		if asked == mostLists {
			break
		}
		hosts, err := s.listers(ctx, p)
		if err != nil {
			return err
		}
		for _, h := range hosts {
			place := p.Place
			if place == h {
				place = ""
			}
			if !s.Online(h) {
				continue
			}
			if err := s.List(ctx, h, p.Repository, place); err != nil { // such as its policy: another host may
				s.Log.Debug("a host cannot list a repository after the restore", "host", h, "repository", p.Repository, "err", err)
				continue
			}
			asked++
			break
		}
	}
	return nil
}

// listers are the hosts that can list a place of a repository, the best first: its keeper,
// and those that have it. To a place of one host leads only what has {host} in its address.
func (s *Service) listers(ctx context.Context, p restored.Stale) ([]topics.HostID, error) {
	var hosts []topics.HostID
	if p.Place != "" {
		hosts = append(hosts, p.Place)
	}
	if p.Keeper != "" && (p.Place == "" || location.PerHost(p.Location)) {
		hosts = append(hosts, p.Keeper)
	}
	if p.Place != "" {
		return hosts, nil
	}
	into, err := s.Store.HostsInto(ctx, p.Repository)
	return append(hosts, into...), err
}

// look reads what Notices says, which is asked for by every page and reads nothing.
func (s *Service) look(ctx context.Context) {
	st, err := s.Status(ctx)
	if err != nil {
		return
	}
	open, err := s.Open(ctx)
	if err != nil {
		return
	}
	s.state.Lock()
	s.status, s.asked = st, open
	s.state.Unlock()
}

// OlderIdentity is what people are told who restore from a copy: it may hold a CA and a
// sealing key that hosts have left since.
const OlderIdentity = "If the CA and the sealing key were changed since the copy was made (the page Identity, or key rotate " +
	"--identity), hosts that had moved to the later ones do not trust this control plane, and it refuses them: their agents' logs say " +
	"that it has another identity, or that it refuses this host. Their schedules go on, and no backup is touched. Enrol each again: " +
	"make a token with restic-manager enroll-token create --for HOST, and run restic-manager-agent enroll --again with it on the host."

// Page is where copies and questions are shown.
const Page = "/control-plane"

// Notices says that copies fail or are late, and that somebody is asked about.
func (s *Service) Notices(context.Context) []notices.Notice {
	s.state.Lock()
	defer s.state.Unlock()
	var list []notices.Notice
	link := notices.Link{Text: "Look at the control plane's copies", URL: Page}
	switch st := s.status; {
	case s.failed != nil:
		list = append(list, notices.Notice{ID: "copy-failed", Severity: notices.Failure,
			Say: s.failed.Error() + ". Backups of hosts go on. If this machine is " +
				"lost, the control plane can be restored as of the last copy only.",
			Remedy: "Mend the cause, then choose Back up now.", Link: link})
	case st.Late:
		list = append(list, notices.Notice{ID: "copy-late", Severity: notices.Warning,
			Say:    "The control plane's database has not been copied for more than " + st.Every.String() + ".",
			Remedy: "Choose Back up now, and look into the server's log.", Link: link})
	}
	if n := len(s.asked); n > 0 {
		list = append(list, notices.Notice{ID: "restored", Severity: notices.Failure,
			Say: "The control plane was restored from a copy of " + time.UnixMilli(s.status.LostFrom).UTC().Format("2006-01-02 15:04 UTC") + ". " +
				strconv.Itoa(n) + " hosts, people, tokens or consumers that the copy trusts are held until somebody confirms them: who was revoked, " +
				"disabled or removed since is trusted by the copy.",
			Remedy: "Confirm those you know, refuse the others.",
			Link:   notices.Link{Text: "Confirm or refuse", URL: Page}})
	}
	return list
}

// Open lists whom nobody has answered for yet.
func (s *Service) Open(ctx context.Context) (open []restored.Question, err error) {
	all, err := s.Store.Questions(ctx)
	for _, q := range all {
		if q.AnsweredAt == 0 {
			open = append(open, q)
		}
	}
	return open, err
}

// Answer confirms or refuses some of those who are asked about: of one kind those with
// these IDs, or with no IDs all of the kind; "" is all kinds. It returns how many had no
// answer before. What answers mean, [store.Store.Answer] says.
func (s *Service) Answer(ctx context.Context, actor, kind string, ids []string, confirmed bool) (int, error) {
	open, err := s.Open(ctx)
	if err != nil {
		return 0, err
	}
	named := map[string]bool{}
	for _, id := range ids {
		named[id] = true
	}
	var some []restored.Question
	for _, q := range open {
		if (kind == "" || q.Kind == kind) && (len(ids) == 0 || named[q.ID] || named[q.Name]) {
			some = append(some, q)
		}
	}
	n, err := s.Store.Answer(ctx, actor, some, confirmed)
	if err == nil {
		s.look(ctx)
		s.changed()
	}
	return n, err
}

func (s *Service) changed() {
	if s.Changed != nil {
		s.Changed()
	}
}

func (s *Service) spare() uint64 {
	if s.Spare == nil {
		return 0
	}
	return s.Spare()
}

func (s *Service) now() time.Time {
	if s.Now == nil {
		return time.Now()
	}
	return s.Now()
}

// Signs are the last that was heard of those who are asked about, by kind, blank and ID.
// Everything but a host's certificate is as the copy has it.
func (s *Service) Signs(ctx context.Context) (map[string]string, error) {
	signs := map[string]string{}
	seen := func(kind, id, what string, at int64) {
		if at == 0 {
			signs[kind+" "+id] = "Never " + what + " before the copy was made."
			return
		}
		signs[kind+" "+id] = "Last " + what + " " + time.UnixMilli(at).UTC().Format("2006-01-02 15:04 UTC") + "."
	}
	hosts, err := s.Store.Hosts(ctx)
	if err != nil {
		return nil, err
	}
	plane, err := s.Store.PlaneOf(ctx)
	if err != nil {
		return nil, err
	}
	for _, h := range hosts {
		seen(restored.Host, string(h.ID), "heard of", h.LastSeen)
		if h.LastSeen > plane.RestoredAt && plane.RestoredAt > 0 {
			signs[restored.Host+" "+string(h.ID)] += " It is back since the restore; a host that was revoked since the copy is, too."
		}
	}
	users, err := s.Store.Users(ctx)
	if err != nil {
		return nil, err
	}
	for _, u := range users {
		seen(restored.User, u.ID, "signed in", u.SeenAt)
		signs[restored.User+" "+u.ID] += " Role: " + string(u.Role) + "."
	}
	tokens, err := s.Store.APITokens(ctx)
	if err != nil {
		return nil, err
	}
	for _, t := range tokens {
		seen(restored.Token, t.ID, "used", t.UsedAt)
	}
	consumers, err := s.Store.MQTTUsers(ctx)
	for _, c := range consumers {
		seen(restored.Consumer, c.Name, "connected", c.SeenAt)
	}
	return signs, err
}
