package restic

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/restic-manager/restic-manager/topics"
)

// A NewKey is one that AddKey adds.
type NewKey struct {
	Password   topics.Secret
	User, Host string // restic's names; "" are those of the process and the machine
	RetryLock  time.Duration
}

// addKey adds a key. restic takes the password from a file and leaves white space at both
// ends of it out.
type addKey struct {
	silent
	NewKey
}

func (a addKey) args(v Version, dir string) ([]string, error) {
	if p := a.Password.Reveal(); p == "" || strings.TrimSpace(p) != p || strings.ContainsRune(p, 0) {
		return nil, errors.New("restic takes no password that is empty, or that begins or ends with white space, for a new key")
	}
	file := filepath.Join(dir, "new-password")
	if err := os.WriteFile(file, []byte(a.Password.Reveal()), 0o600); err != nil {
		return nil, err
	}
	args := append([]string{"key", "add", "--new-password-file", file}, retry(v, a.RetryLock)...)
	if a.User != "" {
		args = append(args, "--user="+a.User)
	}
	if a.Host != "" {
		args = append(args, "--host="+a.Host)
	}
	return args, nil
}

func (addKey) words() string { return "key add" }

// removeKey removes a key.
type removeKey struct {
	silent
	id    string
	retry time.Duration
	cause topics.Cause // what was said, even if restic thinks nothing of it
	line  string
}

func (r *removeKey) args(v Version, _ string) ([]string, error) {
	if err := checkKey(r.id); err != nil {
		return nil, err
	}
	return slices.Concat([]string{"key", "remove"}, retry(v, r.retry), []string{"--", r.id}), nil
}

func (r *removeKey) words() string              { return "key remove " + r.id }
func (r *removeKey) found(o *output, _ *Ending) { r.cause, r.line = o.evidence.judge(o.bounds) }

func checkKey(id string) error {
	if !hexID.MatchString(id) {
		return fmt.Errorf("%.80q is no key ID", id)
	}
	return nil
}

// sameKey reports whether two IDs are of one key: restic before 0.17 lists their beginnings.
func sameKey(a, b string) bool { return strings.HasPrefix(a, b) || strings.HasPrefix(b, a) }

// current is the key that the password opened which a listing was made with.
func current(listed []topics.Key) string {
	for _, k := range listed {
		if k.Current {
			return k.ID
		}
	}
	return ""
}

// with is the repository as another password opens it. hint is the key that it may be.
func (r Repository) with(password topics.Secret, hint string) Repository {
	env := map[string]topics.Secret{}
	for name, value := range r.Env {
		if name != "RESTIC_KEY_HINT" {
			env[name] = value
		}
	}
	if hint != "" {
		env["RESTIC_KEY_HINT"] = topics.Secret(hint)
	}
	r.Hide = append(slices.Clone(r.Hide), r.Password)
	r.Password, r.Env = password, env
	return r
}

// mostHints is how many keys are tried one by one where restic gives up before it has
// tried them all: it tries twenty, unless it is told which.
const mostHints = 10

// openedBy says which key a password opens, "" if none. listed are the repository's keys, those
// that it may be first. The ending says why if that cannot be told.
func (b Binary) openedBy(ctx context.Context, place Place, r Repository, password topics.Secret, listed []topics.Key, sink Sink) (
	id string, e Ending,
) {
	e = b.Keys(ctx, place, r.with(password, ""), &hold{Sink: sink})
	for i := 0; len(listed) > maxKeys && i < min(len(listed), mostHints) && e.State != topics.Succeeded && ctx.Err() == nil; i++ {
		if !listed[i].Current {
			e = b.Keys(ctx, place, r.with(password, listed[i].ID), &hold{Sink: sink})
		}
	}
	switch {
	case e.State == topics.Succeeded:
		if id = current(e.Report.Keys); id == "" {
			return "", failed(topics.CauseUnknown, errors.New("restic does not say which key it opened the repository with"))
		}
		return id, e
	case e.Cause == topics.CausePassword, len(listed) > maxKeys && e.State == topics.Failed && strings.Contains(e.Message,
		"maximum number of keys"):
		return "", Ending{State: topics.Succeeded}
	}
	return "", e
}

// maxKeys is how many keys restic tries to open a repository with, at most.
const maxKeys = 20

// newestFirst sorts keys by when they were made, the newest first.
func newestFirst(listed []topics.Key) []topics.Key {
	out := slices.Clone(listed)
	slices.SortStableFunc(out, func(a, b topics.Key) int { return int(min(max(b.Created-a.Created, -1), 1)) })
	return out
}

// AddKey adds a key unless its password opens the repository already, so that it can be
// asked for again whatever became of the last time. It believes no exit code: it succeeds
// if the new password opens the repository, and says which key that is in
// Ending.Result.Key, and in Made whether it is new. The keys are listed in Ending.Report, as
// the repository's own password sees them.
func (b Binary) AddKey(ctx context.Context, place Place, r Repository, k NewKey, sink Sink) Ending {
	r.Hide = append(slices.Clone(r.Hide), k.Password)
	before := b.Keys(ctx, place, r, sink)
	if before.State != topics.Succeeded && before.Cause == topics.CausePassword {
		// Who asks may be a control plane that was put back to before the old key was removed.
		if now := b.Keys(ctx, place, r.with(k.Password, ""), sink); now.State == topics.Succeeded && current(now.Report.Keys) != "" {
			now.Result.Key = current(now.Report.Keys)
			return now
		}
	}
	if before.State != topics.Succeeded {
		return before
	}
	id, e := b.openedBy(ctx, place, r, k.Password, newestFirst(before.Report.Keys), sink)
	if e.State != topics.Succeeded {
		return e
	}
	if id != "" {
		sink.Line(topics.Info, "the new password opens the repository already, by its key "+id)
		before.Result.Key = id
		return before
	}
	added := b.patient(ctx, place, r, topics.SharedLock, k.RetryLock, sink, func() Ending {
		return b.run(ctx, place, r, addKey{NewKey: k}, sink)
	})
	if added.ExitCode == nil && added.Signal == "" {
		return added // nothing was begun
	}
	after := b.confirmKeys(ctx, place, r, sink)
	if after.State != topics.Succeeded {
		return worse(added, after)
	}
	fresh := slices.DeleteFunc(newestFirst(after.Report.Keys), func(a topics.Key) bool {
		return slices.ContainsFunc(before.Report.Keys, func(b topics.Key) bool { return sameKey(a.ID, b.ID) })
	})
	for _, f := range fresh {
		proof := b.confirmKeys(ctx, place, r.with(k.Password, f.ID), sink)
		if proof.State == topics.Succeeded && sameKey(current(proof.Report.Keys), f.ID) {
			sink.Line(topics.Info, "the new password opens the repository, by its key "+f.ID)
			after.Result.Key, after.Result.Made = f.ID, true
			return after
		}
	}
	return worse(added, failed(topics.CauseUnknown, errors.New("restic says that the key is added, but the new password does not open the "+
		"repository")))
}

// worse is the first ending unless it is good: then what was found out afterwards is worse.
func worse(first, second Ending) Ending {
	if first.State != topics.Succeeded {
		return first
	}
	return second
}

// An OldKey is what RemoveKey removes: the key of that ID, or every key that a password opens.
type OldKey struct {
	ID        string
	Password  topics.Secret
	RetryLock time.Duration
}

// mostSame is how many keys of one password are removed at once.
const mostSame = 10

// RemoveKey removes a key, and never the one that the repository's own password opens. It
// succeeds if it is gone, also if it was before; Ending.Result.Removed names what this run
// removed. The keys that are left are listed in Ending.Report.
func (b Binary) RemoveKey(ctx context.Context, place Place, r Repository, k OldKey, sink Sink) Ending {
	if k.ID == "" && (k.Password == "" || k.Password == r.Password) {
		return failed(topics.CauseRefused, errors.New("the password whose key is to be removed is the one that is in use"))
	}
	r.Hide = append(slices.Clone(r.Hide), k.Password)
	left := b.Keys(ctx, place, r, sink)
	if left.State != topics.Succeeded {
		return left
	}
	own := current(left.Report.Keys)
	if own == "" {
		return failed(topics.CauseUnknown, errors.New("restic does not say which key it opened the repository with, so none is removed"))
	}
	var removed []string
	for range mostSame {
		id := ""
		if k.ID != "" {
			for _, have := range left.Report.Keys {
				if sameKey(have.ID, k.ID) {
					id = have.ID
				}
			}
		} else {
			var e Ending
			if id, e = b.openedBy(ctx, place, r, k.Password, slices.DeleteFunc(slices.Clone(left.Report.Keys), func(k topics.Key) bool {
				return k.Current
			}), sink); e.State != topics.Succeeded {
				return e
			}
		}
		if id == "" {
			left.Result.Removed = removed
			sink.Line(topics.Info, several(len(removed), "key")+" gone, "+fmt.Sprint(len(left.Report.Keys))+" left")
			return left
		}
		if sameKey(id, own) {
			return failed(topics.CauseRefused, fmt.Errorf("key %s is the one with which the repository is opened now, so it is not removed", id))
		}
		var op *removeKey
		e := b.patient(ctx, place, r, topics.ExclusiveLock, k.RetryLock, sink, func() Ending {
			op = &removeKey{id: id, retry: k.RetryLock}
			return b.run(ctx, place, r, op, sink)
		})
		if e.ExitCode == nil && e.Signal == "" {
			return e // nothing was begun
		}
		if left = b.confirmKeys(ctx, place, r, sink); left.State != topics.Succeeded {
			return worse(e, left)
		}
		if slices.ContainsFunc(left.Report.Keys, func(k topics.Key) bool { return sameKey(k.ID, id) }) {
			if e.State == topics.Succeeded {
				e.State, e.Cause = topics.Failed, op.cause
				e.Message = cut(or(op.line, "restic says that it is done, but key "+id+" is still there"), maxMessage)
			}
			return e
		}
		removed = append(removed, id)
	}
	return failed(topics.CauseUnknown, fmt.Errorf("after %d keys of that password were removed, it still opens the repository", mostSame))
}

// confirmKeys lists the keys after restic said what it did, also if the job was cancelled.
func (b Binary) confirmKeys(ctx context.Context, place Place, r Repository, sink Sink) Ending {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), b.Timing.orDefault().Confirm)
	defer cancel()
	return b.Keys(ctx, place, r, &hold{Sink: sink})
}
