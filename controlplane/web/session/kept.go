package session

import (
	"crypto/sha256"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/password"
)

// A Form is one that arrived after its sender's session had ended. It is kept for
// them until they have signed in again: in memory, and for KeptFor at most.
type Form struct {
	Path, Type string // where it was sent, and its Content-Type
	Body       []byte
	Page       string // where it was filled in; "" if the browser did not say

	user string
	till time.Time
}

// How much is kept: whoever exceeds it loses the oldest.
const (
	KeptFor      = time.Hour
	mostForms    = 64
	mostOfOne    = 4 // forms of one person
	mostSessions = 4096
)

// kept are the forms of people whose sessions had ended, and whose sessions were
// used lately: only they can have a form kept, and only they are shown it.
type kept struct {
	now func() time.Time

	mu    sync.Mutex
	whose map[[sha256.Size]byte]used // by the hash of a session's token
	forms map[string]Form            // by a key that is good for one use
}

type used struct {
	user string
	at   time.Time
}

// uses notes that a session is somebody's.
func (k *kept) uses(token, user string) {
	hash := sha256.Sum256([]byte(token))
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.whose == nil {
		k.whose = map[[sha256.Size]byte]used{}
	}
	if _, known := k.whose[hash]; !known && len(k.whose) >= mostSessions {
		var oldest [sha256.Size]byte
		first := true
		for h, u := range k.whose {
			if first || u.at.Before(k.whose[oldest].at) {
				oldest, first = h, false
			}
		}
		delete(k.whose, oldest)
	}
	k.whose[hash] = used{user, k.now()}
}

// keep keeps a form for whoever the session was, and returns its key, "" if nobody
// knows whose it was.
func (k *kept) keep(token string, f Form) string {
	hash := sha256.Sum256([]byte(token))
	k.mu.Lock()
	defer k.mu.Unlock()
	whose, known := k.whose[hash]
	if !known {
		return ""
	}
	f.user, f.till = whose.user, k.now().Add(KeptFor)
	k.drop(func(old Form) bool { return !k.now().Before(old.till) })
	for k.count(f.user) >= mostOfOne {
		k.dropOldest(func(old Form) bool { return old.user == f.user })
	}
	for len(k.forms) >= mostForms {
		k.dropOldest(func(Form) bool { return true })
	}
	if k.forms == nil {
		k.forms = map[string]Form{}
	}
	key := password.NewKey("rmf_")
	k.forms[key] = f
	return key
}

func (k *kept) count(user string) (n int) {
	for _, f := range k.forms {
		if f.user == user {
			n++
		}
	}
	return n
}

func (k *kept) drop(which func(Form) bool) {
	for key, f := range k.forms {
		if which(f) {
			delete(k.forms, key)
		}
	}
}

func (k *kept) dropOldest(which func(Form) bool) {
	var oldest string
	for key, f := range k.forms {
		if which(f) && (oldest == "" || f.till.Before(k.forms[oldest].till)) {
			oldest = key
		}
	}
	delete(k.forms, oldest)
}

// form is a kept form of a user's; taking it is its one use.
func (k *kept) form(key, user string, take bool) (Form, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	f, ok := k.forms[key]
	if !ok || user == "" || f.user != user || !k.now().Before(f.till) {
		return Form{}, false
	}
	if take {
		delete(k.forms, key)
	}
	f.Body = slices.Clone(f.Body)
	return f, true
}

// Ended reports whether a request shows a session, which then is over: asked where
// [Manager.Identify] found nobody.
func (m *Manager) Ended(r *http.Request) bool { return m.shown(r) != "" }

// shown is the token of the session that a request shows.
func (m *Manager) shown(r *http.Request) string {
	c, err := r.Cookie(m.cookie(r).Cookie.Name)
	if err != nil {
		return ""
	}
	return c.Value
}

// Keep keeps a form that was sent with a session that is over, and returns its key:
// "" if nobody can tell whose session it was, so that nothing is kept.
func (m *Manager) Keep(r *http.Request, f Form) string {
	if token := m.shown(r); token != "" {
		return m.kept.keep(token, f)
	}
	return ""
}

// Kept returns a form that was kept for a visitor, and whether there is one.
func (m *Manager) Kept(v *Visitor, key string) (Form, bool) { return m.kept.form(key, v.UserID, false) }

// Take is Kept, and keeps the form no longer.
func (m *Manager) Take(v *Visitor, key string) (Form, bool) { return m.kept.form(key, v.UserID, true) }
