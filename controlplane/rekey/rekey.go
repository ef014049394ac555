package rekey

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/field"
	"github.com/restic-manager/restic-manager/controlplane/jobs"
	"github.com/restic-manager/restic-manager/controlplane/permits"
	"github.com/restic-manager/restic-manager/failpoint"
	"github.com/restic-manager/restic-manager/location"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/store/passwords"
	"github.com/restic-manager/restic-manager/store/places"
	"github.com/restic-manager/restic-manager/topics"
)

// Why something was not done. Bad fields of an input are [field.Errors].
var (
	ErrNotFound = errors.New("there is no such repository")
	ErrNone     = passwords.ErrNone
	ErrGoing    = passwords.ErrGoing
	ErrLate     = passwords.ErrLate
	ErrSame     = store.ErrSame
	ErrNoKey    = errors.New("there is no such key")
	ErrOwnKey   = errors.New("the key is the one with which the repository is opened")
)

// Jobs is what a service asks of the jobs engine.
type Jobs interface {
	AskAt(ctx context.Context, actor string, o jobs.Order) (job store.Job, fresh bool, err error)
}

// A Service changes passwords of repositories. Without Jobs it does so in the database alone,
// for a control plane that runs beside it.
type Service struct {
	Store  *store.Store
	Jobs   Jobs
	Online func(topics.HostID) bool
	// Oldest is when the oldest copy of the database was made that is kept, 0 if there is none.
	Oldest  func() int64
	Changed func(...topics.HostID) // after a commit; must not block; may be nil
	Log     *slog.Logger
	Timing  Timing

	stirs chan struct{}
}

// Timing is how often a service looks.
type Timing struct {
	Look  time.Duration // whether something is to be done
	Retry time.Duration // after the first failure at a place; twice as long after each
}

// DefaultTiming is what is used in earnest.
func DefaultTiming() Timing { return Timing{Look: 15 * time.Second, Retry: time.Minute} }

// New returns a service that stirs.
func New(s Service) *Service {
	if s.Timing == (Timing{}) {
		s.Timing = DefaultTiming()
	}
	s.stirs = make(chan struct{}, 1)
	return &s
}

// Stir has the service look at once. It does not block.
func (s *Service) Stir() {
	select {
	case s.stirs <- struct{}{}:
	default:
	}
}

// Run goes on with changes until ctx ends.
func (s *Service) Run(ctx context.Context) error {
	tick := time.NewTicker(s.Timing.Look)
	defer tick.Stop()
	for {
		if err := s.Turn(ctx); err != nil && ctx.Err() == nil {
			s.Log.Error("changing passwords of repositories failed", "err", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		case <-s.stirs:
		}
	}
}

// most is how many steps of one change are taken in a turn, at most.
const most = 10

// Turn takes every step of every change that can be taken now.
func (s *Service) Turn(ctx context.Context) error {
	list, err := s.Store.OpenPasswords(ctx)
	if err != nil {
		return err
	}
	for _, c := range list {
		for range most {
			again, failed := s.step(ctx, c.ID)
			err = errors.Join(err, failed)
			if !again || failed != nil {
				break
			}
		}
	}
	return errors.Join(err, s.Store.DropKeyPasswords(ctx))
}

// step takes the next step of a change, and reports whether there may be another.
func (s *Service) step(ctx context.Context, id string) (again bool, err error) {
	seen, err := s.Look(ctx, id)
	if err != nil {
		return false, err
	}
	var step Step
	err = s.Store.StepPassword(ctx, id, func(l store.PasswordLook) (store.PasswordStep, error) {
		seen.PasswordLook = l
		step = Next(seen)
		return step.PasswordStep, nil
	})
	if err != nil {
		return false, fmt.Errorf("change %s: %w", id, err)
	}
	if step.Switch {
		s.changed()
	}
	for _, p := range step.Ask {
		if err := s.ask(ctx, step.Change, p); err != nil {
			return false, err
		}
	}
	return step.Change.State != seen.State || len(step.Hosts) > 0 && len(step.Ask) == 0, nil
}

// ask asks for the job of a place, and writes down which one it is. Asked again after a crash,
// it is the same job, or one that finds the work done.
func (s *Service) ask(ctx context.Context, c passwords.Change, p passwords.Place) error {
	if s.Jobs == nil {
		return nil
	}
	k := topics.KeyChange{Action: p.Doing, Of: c.Lasting}
	if p.Doing == topics.RemoveKey {
		k.Of = c.Former
	}
	place := p.Host
	if place == p.Worker {
		place = ""
	}
	failpoint.Here("plane-password-asking")
	j, _, err := s.Jobs.AskAt(ctx, store.Plane, jobs.Order{Host: p.Worker, Kind: topics.KeyJob, Repository: c.Repository, Place: place,
		Operation: topics.Operation{Key: &k}})
	failpoint.Here("plane-password-asked")
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return s.Store.StepPassword(ctx, c.ID, func(l store.PasswordLook) (store.PasswordStep, error) {
		step := store.PasswordStep{Change: l.Change}
		for _, q := range l.Places {
			if q.Host != p.Host || q.Doing != p.Doing || q.Job != "" {
				continue
			}
			if q.Job = j.ID; err != nil {
				q.Doing, q.Why = "", err.Error()
				q.Attempts++
				q.NextAt = s.Store.Now() + min(s.Timing.Retry<<min(q.Attempts-1, 10), mostRetry).Milliseconds()
			}
			step.Places = append(step.Places, q)
		}
		return step, nil
	})
}

func (s *Service) changed() {
	if s.Changed != nil {
		s.Changed()
	}
}

// Look reads what the next step of a change depends on.
func (s *Service) Look(ctx context.Context, id string) (Look, error) {
	l := Look{Now: s.Store.Now(), Retry: s.Timing.Retry, Workers: map[topics.HostID]Worker{}}
	if s.Oldest != nil {
		l.Oldest = s.Oldest()
	}
	var err error
	if l.PasswordLook, err = s.Store.LookPassword(ctx, id); err != nil {
		return l, err
	}
	for _, p := range l.Places {
		action := l.todo(p)
		if action == "" && !l.Ended() && p.RemovedAt == 0 {
			action = topics.RemoveKey
		}
		if action == "" || l.Ended() && l.Former == "" {
			continue
		}
		if l.Workers[p.Host], err = s.worker(ctx, l.Row, p.Host, action); err != nil {
			return l, err
		}
	}
	return l, nil
}

// worker says who changes keys at a place: the keeper if it reaches that, else a host that has
// the repository there. Keys are removed by the keeper alone if there is one, and by nobody
// where the everyday credential cannot delete.
func (s *Service) worker(ctx context.Context, r store.Repository, place topics.HostID, action string) (Worker, error) {
	path := !places.Shared(r.Location) && !location.PerHost(r.Location) // nobody else reaches it
	var who []topics.HostID
	switch {
	case path:
		who = []topics.HostID{place}
	case r.Keeper != "":
		who = []topics.HostID{r.Keeper}
	case place != "":
		who = []topics.HostID{place}
	default:
		users, err := s.Store.HostsInto(ctx, r.ID)
		if err != nil {
			return Worker{}, err
		}
		who = users
	}
	if action == topics.RemoveKey && r.AppendOnly && !path {
		a, err := s.Store.RepositoryAccess(ctx, r.ID)
		if err != nil && !errors.As(err, new(*store.UnreadableError)) {
			return Worker{}, err
		}
		if r.Keeper == "" || a.Maintenance == nil {
			return Worker{Why: "The old key is still there, and opens the repository: its everyday credential cannot delete. " +
				"Name a keeper, with the credential for maintenance, and the key is removed by itself."}, nil
		}
	}
	order := topics.Operation{Key: &topics.KeyChange{Action: action}}
	why, spare := "", topics.HostID("")
	for _, id := range who {
		h, err := s.Store.Host(ctx, id)
		if errors.Is(err, store.ErrNotFound) || err == nil && h.RevokedAt+h.RemovedAt > 0 {
			continue
		} else if err != nil {
			return Worker{}, err
		}
		err = permits.Kind(h, topics.KeyJob)
		if err == nil {
			err = permits.Keys(h, order)
		}
		if err != nil {
			why = sentence(err)
			continue
		}
		if s.Online == nil || s.Online(id) {
			return Worker{Host: id}, nil
		}
		if h.RetiredAt > 0 { // nothing is expected of it
			why = h.Name + " is retired, and not connected."
			continue
		}
		if spare == "" {
			spare = id
		}
	}
	switch {
	case spare != "":
		return Worker{Host: spare, Away: true}, nil // the job waits for it
	case why != "" && action == topics.RemoveKey:
		return Worker{Why: "The old key is still there, and opens the repository: " + why}, nil
	case why != "":
		return Worker{Why: why}, nil
	}
	return Worker{Why: "No host that is enrolled reaches this place of the repository."}, nil
}

func sentence(err error) string {
	text := err.Error()
	var refused *permits.Refusal
	if errors.As(err, &refused) && refused.Command != "" {
		text += "; to permit it, run on the host: " + refused.Command
	}
	return strings.ToUpper(text[:1]) + text[1:] + "."
}

// An Input is a new password. Nil is one that is made here.
type Input struct {
	Password *topics.Secret
	Patient  bool // the old key stays until no kept copy of the database knows it alone
}

// maxPassword is how many bytes a password may have: it is part of a process's environment.
const maxPassword = 1000

func checkPassword(p topics.Secret) string {
	text := p.Reveal()
	switch {
	case strings.TrimSpace(text) == "":
		return "Say a password, or have one made."
	case strings.TrimSpace(text) != text:
		return "restic takes no password for a new key that begins or ends with white space."
	}
	return field.Secret(text, maxPassword)
}

// Generate makes a password.
func Generate() topics.Secret { return topics.Secret(rand.Text() + rand.Text()[:6]) }

// A Begun change, with the password that it was begun with: the one moment in which it is said.
type Begun struct {
	passwords.Change
	Password topics.Secret
	Made     bool // here, and by nobody
}

// Begin begins to change a repository's password.
func (s *Service) Begin(ctx context.Context, by string, id topics.RepositoryID, in Input) (b Begun, err error) {
	b.Password, b.Made = Generate(), in.Password == nil
	if in.Password != nil {
		b.Password = *in.Password
		wrong := field.Errors{}
		wrong.Say("password", checkPassword(b.Password))
		if len(wrong) > 0 {
			return b, wrong
		}
	}
	if err := s.going(ctx, id, b.Password); err != nil {
		return b, err
	}
	b.Change, err = s.Store.BeginPassword(ctx, by, id, b.Password, in.Patient)
	if errors.Is(err, store.ErrNotFound) {
		err = ErrNotFound
	}
	if err == nil {
		s.changed()
		s.Stir()
	}
	return b, err
}

// going refuses a password whose keys an earlier change is just removing, or removes as soon as
// somebody reaches a place that it has not been through: it opens now, and later it does not.
func (s *Service) going(ctx context.Context, id topics.RepositoryID, p topics.Secret) error {
	list, err := s.Store.Passwords(ctx, id)
	if err != nil {
		return err
	}
	for _, c := range list {
		if c.Former == "" || c.State != passwords.Removing && !c.Ended() {
			continue
		}
		was, err := s.Store.KeyPassword(ctx, id, c.Former)
		switch {
		case errors.Is(err, store.ErrNotFound):
			continue
		case err != nil:
			return err
		case was != p:
			continue
		case !c.Ended():
			return field.Errors{"password": "The keys of this password are just being removed, by the change before. Choose another one, or wait " +
				"until that is over."}
		}
		l, err := s.Store.LookPassword(ctx, c.ID)
		if err != nil {
			return err
		}
		if l.Unseen || !all(l.Places, func(p passwords.Place) bool { return p.RemovedAt > 0 }) {
			return field.Errors{"password": "An earlier change went on without some place, and removes the keys of this password there as soon as " +
				"somebody reaches it. Choose another one."}
		}
	}
	return nil
}

// A Status is how far a change is, in words.
type Status struct {
	Look
	Waits []string
	Names map[topics.HostID]string
}

func (s Status) name(h topics.HostID) string { return cmp.Or(s.Names[h], string(h)) }

// Stuck says why the change does not get on at a place, "" if it does: an administrator may
// have it go on without that.
func (s Status) Stuck(p passwords.Place) string { return Stuck(s.Look, p, s.name) }

// Last returns how far the last change of a repository is, and ErrNone if there was none.
func (s *Service) Last(ctx context.Context, id topics.RepositoryID) (Status, error) {
	list, err := s.Store.Passwords(ctx, id)
	if err != nil {
		return Status{}, err
	}
	if len(list) == 0 {
		return Status{}, ErrNone
	}
	return s.status(ctx, list[0].ID)
}

func (s *Service) status(ctx context.Context, id string) (st Status, err error) {
	if st.Look, err = s.Look(ctx, id); err != nil {
		return st, err
	}
	var ids []topics.HostID
	for _, p := range st.Places {
		ids = append(ids, p.Host, p.Worker, st.Workers[p.Host].Host)
	}
	for _, j := range st.Busy {
		ids = append(ids, j.Host)
	}
	st.Names = map[topics.HostID]string{}
	if err = s.Store.HostNames(ctx, slices.Compact(slices.Sorted(slices.Values(ids))), st.Names); err != nil {
		return st, err
	}
	st.Waits = Waits(st.Look, st.name)
	return st, nil
}

// CallOff has a change go back.
func (s *Service) CallOff(ctx context.Context, by string, id topics.RepositoryID) error {
	return s.decide(ctx, id, func(l Status) (Step, error) { return Back(l.Look, by) })
}

// GoOn has a change go on without hosts that have not confirmed, or places that nobody reaches;
// none named is all that it waits for.
func (s *Service) GoOn(ctx context.Context, by string, id topics.RepositoryID, without Without) error {
	return s.decide(ctx, id, func(l Status) (Step, error) { return GoOn(l.Look, by, without, l.name) })
}

// Former shows the password that opens the place of a host, without which a change went on.
func (s *Service) Former(ctx context.Context, by string, id topics.RepositoryID, place topics.HostID) (topics.Secret, error) {
	if _, err := s.find(ctx, id); err != nil {
		return "", err
	}
	return s.Store.ShowPasswordAt(ctx, by, id, place)
}

func (s *Service) decide(ctx context.Context, id topics.RepositoryID, what func(Status) (Step, error)) error {
	seen, err := s.Last(ctx, id)
	if err != nil {
		return err
	}
	err = s.Store.StepPassword(ctx, seen.ID, func(l store.PasswordLook) (store.PasswordStep, error) {
		seen.PasswordLook = l
		step, err := what(seen)
		return step.PasswordStep, err
	})
	if err == nil {
		s.changed()
		s.Stir()
	}
	return err
}

// A KeyInput is a key for somebody else. A nil password is made here.
type KeyInput struct {
	Password *topics.Secret
	User     string // for whom it is, as restic calls it
	Host     string
}

// A NewKey is one that is being added, with its password: the one moment in which it is said.
type NewKey struct {
	Password topics.Secret
	Jobs     []topics.JobID // one at each place of the repository
	Unasked  []Unasked      // places at which nobody could be asked
}

// Unasked is a place at which a key could not be asked for.
type Unasked struct {
	Host topics.HostID
	Name string
	Err  error
}

// AddKey has a key added at each place of a repository. Where some places cannot be asked for
// it, it is added at the others: the same password, typed, adds it there later. It is an error
// if there is none that can.
func (s *Service) AddKey(ctx context.Context, by string, id topics.RepositoryID, in KeyInput) (k NewKey, err error) {
	r, err := s.find(ctx, id)
	if err != nil {
		return k, err
	}
	wrong := field.Errors{}
	if k.Password = Generate(); in.Password != nil {
		k.Password = *in.Password
		wrong.Say("password", checkPassword(k.Password))
	}
	in.User, in.Host = strings.TrimSpace(in.User), strings.TrimSpace(in.Host)
	if err := (topics.Operation{Key: &topics.KeyChange{Action: topics.AddKey, Of: "x", User: in.User,
		Host: in.Host}}).Check(topics.KeyJob); err != nil {
		wrong.Say("user", fmt.Sprintf("The names are one line of at most %d bytes each.", topics.MaxKeyName))
	}
	if in.User == "" {
		wrong.Say("user", "Say for whom the key is.")
	}
	if len(wrong) > 0 {
		return k, wrong
	}
	at, err := s.placesOf(ctx, r)
	if err != nil {
		return k, err
	}
	of, err := s.Store.AddKeyPassword(ctx, by, id, k.Password, strings.Trim(in.User+"@"+in.Host, "@"))
	if err != nil {
		return k, err
	}
	for _, place := range at {
		j, err := s.single(ctx, by, r, place, topics.KeyChange{Action: topics.AddKey, Of: of, User: in.User, Host: in.Host})
		if err != nil {
			k.Unasked = append(k.Unasked, Unasked{Host: place, Err: err})
			continue
		}
		k.Jobs = append(k.Jobs, j.ID)
	}
	if len(k.Jobs) == 0 {
		return k, k.Unasked[0].Err
	}
	s.nameUnasked(ctx, k.Unasked)
	return k, nil
}

// nameUnasked gives places the names of their hosts.
func (s *Service) nameUnasked(ctx context.Context, list []Unasked) {
	names, ids := map[topics.HostID]string{}, []topics.HostID{}
	for _, u := range list {
		ids = append(ids, u.Host)
	}
	if err := s.Store.HostNames(ctx, ids, names); err != nil {
		s.Log.Error("the names of hosts whose places get no key could not be read", "err", err)
	}
	for i, u := range list {
		list[i].Name = cmp.Or(names[u.Host], string(u.Host))
	}
}

// RemoveKey has a key removed that is not the one in use.
func (s *Service) RemoveKey(ctx context.Context, by string, id topics.RepositoryID, key string) (topics.JobID, error) {
	r, err := s.find(ctx, id)
	if err != nil {
		return "", err
	}
	keys, err := s.Store.Keys(ctx, id)
	if err != nil {
		return "", err
	}
	i := slices.IndexFunc(keys, func(k store.Key) bool { return k.ID == key })
	switch {
	case i < 0:
		return "", ErrNoKey
	case keys[i].Opened:
		return "", ErrOwnKey
	}
	if err := s.ofAChange(ctx, keys[i]); err != nil {
		return "", err
	}
	j, err := s.single(ctx, by, r, keys[i].Place, topics.KeyChange{Action: topics.RemoveKey, ID: key})
	return j.ID, err
}

// ofAChange returns ErrGoing if a key is of a change that goes on, or may be: the keys of both
// of its passwords are in use, or about to be.
func (s *Service) ofAChange(ctx context.Context, k store.Key) error {
	changes, err := s.Store.Passwords(ctx, k.Repository)
	if err != nil {
		return err
	}
	for _, c := range changes {
		if c.Ended() && c.Former == "" {
			continue
		}
		l, err := s.Store.LookPassword(ctx, c.ID)
		if err != nil {
			return err
		}
		for _, p := range l.Places {
			if (p.Host == "" || p.Host == k.Place) && needs(l.Change, p, k.ID) {
				return ErrGoing
			}
		}
		if len(l.Places) == 0 && !c.Ended() {
			return ErrGoing // nobody knows its keys
		}
	}
	return nil
}

// needs reports whether a key at a place is one that a change has added or is to remove, as
// far as that is known.
func needs(c passwords.Change, p passwords.Place, key string) bool {
	same := func(id string) bool { return strings.HasPrefix(id, key) || strings.HasPrefix(key, id) }
	switch {
	case p.RemovedAt > 0:
		return false
	case p.AddedAt == 0, c.SwitchedAt > 0 && p.FormerKey == "":
		return true // it may be the one
	}
	return same(p.KeyID) || p.FormerKey != "" && same(p.FormerKey)
}

// single asks for a job that changes one key at a place.
func (s *Service) single(ctx context.Context, by string, r store.Repository, place topics.HostID, k topics.KeyChange) (store.Job, error) {
	w, err := s.worker(ctx, r, place, k.Action)
	if err != nil {
		return store.Job{}, err
	}
	if w.Why != "" {
		return store.Job{}, &BlockedError{w.Why}
	}
	o := jobs.Order{Host: w.Host, Kind: topics.KeyJob, Repository: r.ID, Operation: topics.Operation{Key: &k}}
	if place != w.Host {
		o.Place = place
	}
	j, _, err := s.Jobs.AskAt(ctx, by, o)
	return j, err
}

// A BlockedError says why nobody can change the keys of a repository.
type BlockedError struct{ Why string }

// Error implements error.
func (e *BlockedError) Error() string { return e.Why }

// placesOf lists where the repository is, by the hosts whose places they are.
func (s *Service) placesOf(ctx context.Context, r store.Repository) (at []topics.HostID, err error) {
	rows, err := s.Store.Places(ctx, r.ID)
	for _, p := range rows {
		if p.Ready() && (p.Host == "") == places.Shared(r.Location) {
			at = append(at, p.Host)
		}
	}
	if err == nil && len(at) == 0 {
		err = &BlockedError{"No job has found or made the repository yet, so it has no keys."}
	}
	return at, err
}

func (s *Service) find(ctx context.Context, id topics.RepositoryID) (store.Repository, error) {
	r, err := s.Store.Repository(ctx, id)
	if errors.Is(err, store.ErrNotFound) || err == nil && r.RemovedAt > 0 {
		return r, ErrNotFound
	}
	return r, err
}
