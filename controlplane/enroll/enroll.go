package enroll

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/field"
	"github.com/restic-manager/restic-manager/controlplane/tidy"
	"github.com/restic-manager/restic-manager/seal"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/store/admission"
	"github.com/restic-manager/restic-manager/topics"
	"github.com/restic-manager/restic-manager/words"
)

// TokenLife is how long a token is valid by default.
const TokenLife = 15 * time.Minute

// MaxTokenLife is the longest validity that may be asked for.
const MaxTokenLife = 24 * time.Hour

// Desk issues tokens and enrols hosts.
type Desk struct {
	Store *store.Store
	// CA and SealKey, the control plane's public one, are the identity of a desk that
	// never calls Load, and CA's clock and HostLife those of all.
	CA      *CA
	SealKey []byte
	Log     *slog.Logger
	// Enrolled, if set, is called after a host was enrolled.
	Enrolled func(store.Host)
	// Changed, if set, is told of a host whose trust somebody withdrew or is about to
	// renew. It must not block.
	Changed func(...topics.HostID)

	ids atomic.Pointer[identities] // that are accepted now

	mu   sync.Mutex
	said map[string]time.Time // when a token's refusal was last recorded in the audit log

	unknown strangers
}

// An Input is a token for a new host as somebody wants it.
type Input struct {
	Name string        // of the host; "" takes its own hostname
	Life time.Duration // for how long the token is good, at most [MaxTokenLife]
	// Drill has the host prove that it can be restored, weekly by a small sample, unless the
	// fleet has a plan of drills that is on.
	Drill bool
}

// Issue creates a token as [Desk.Offer] does, of a host without drills.
func (d *Desk) Issue(ctx context.Context, actor, name string, life time.Duration) (id string, token topics.EnrollToken, err error) {
	return d.Offer(ctx, actor, Input{Name: name, Life: life})
}

// Offer creates a token that enrols one host. Only the token's hash is stored, so it
// cannot be shown again. A bad name or life is reported as [field.Errors].
func (d *Desk) Offer(ctx context.Context, actor string, in Input) (id string, token topics.EnrollToken, err error) {
	t, wrong := store.EnrollToken{Name: field.Clean(in.Name), Drill: in.Drill}, field.Errors{}
	if t.Name != "" {
		wrong.Say("name", field.Name("name", t.Name))
		switch _, err := d.Store.HostByName(ctx, t.Name); {
		case err == nil:
			wrong.Say("name", "There is a host of this name already.")
		case !errors.Is(err, store.ErrNotFound):
			return "", token, err
		}
	}
	return d.issue(ctx, actor, t, in.Life, wrong)
}

// Reissue creates a token that gives an existing host new keys. It enrols no other
// host.
func (d *Desk) Reissue(ctx context.Context, actor string, host topics.HostID, life time.Duration) (
	id string, token topics.EnrollToken, err error,
) {
	id, token, err = d.issue(ctx, actor, store.EnrollToken{ForHost: host}, life, field.Errors{})
	if err == nil && d.Changed != nil {
		d.Changed(host)
	}
	return id, token, err
}

// Revoke withdraws the trust in a host. Only a new token lets it in again.
func (d *Desk) Revoke(ctx context.Context, actor string, host topics.HostID) (store.Host, error) {
	h, err := d.Store.Revoke(ctx, actor, host)
	if err == nil && d.Changed != nil {
		d.Changed(host)
	}
	return h, err
}

func (d *Desk) issue(ctx context.Context, by string, t store.EnrollToken, life time.Duration, wrong field.Errors) (
	id string, token topics.EnrollToken, err error,
) {
	if life <= 0 || life > MaxTokenLife {
		wrong.Say("ttl", fmt.Sprintf("A token is good for at most %g hours.", MaxTokenLife.Hours()))
	}
	if err := wrong.Err(); err != nil {
		return "", token, err
	}
	if _, err := d.Load(ctx); err != nil { // a command line beside us may have made another
		return "", token, err
	}
	k := d.known()
	token = topics.NewEnrollToken(k.shown.ca.Certificate)
	now := time.UnixMilli(d.Store.Now())
	if p := k.record.Plan; p != nil && p.Target() != p.Serves() { // its fingerprint is good until the plan ends
		life = min(life, time.UnixMilli(p.Until).Sub(now))
	}
	t.ID, t.KeyHash, t.CreatedBy = topics.NewID(now), hash(token.Key), by
	t.CreatedAt, t.ExpiresAt = now.UnixMilli(), now.Add(life).UnixMilli()
	return t.ID, token, d.Store.AddEnrollToken(ctx, t)
}

func hash(key topics.Secret) []byte {
	sum := sha256.Sum256([]byte(key.Reveal()))
	return sum[:]
}

// maxRequest is the size limit of an enrolment request; a real one has about 1 KiB.
const maxRequest = 64 << 10

// Handler serves the HTTP side of the agents' port: enrolment and the renewal of
// certificates.
func (d *Desk) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+topics.EnrollPath, d.enroll)
	mux.HandleFunc("POST "+topics.RenewPath, d.renew)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		problem(w, http.StatusNotFound, "There is nothing here",
			"This port is for agents. Enrol with restic-manager-agent enroll --server "+r.Host+" --token …; the web pages are on the other port.")
	})
	return mux
}

func (d *Desk) enroll(w http.ResponseWriter, r *http.Request) {
	var req topics.EnrollRequest
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxRequest)).Decode(&req); err != nil {
		problem(w, http.StatusBadRequest, "The enrolment request could not be read",
			"It is not the JSON an agent sends. Use restic-manager-agent enroll.")
		return
	}
	address, _, _ := net.SplitHostPort(r.RemoteAddr)
	ctx := store.WithRemote(r.Context(), address)
	answer, err := d.admit(ctx, req)
	if err == nil {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(answer)
		return
	}
	const again = "Make a new one on the page Add host, or with restic-manager enroll-token create."
	switch {
	case errors.Is(err, store.ErrUsed):
		problem(w, http.StatusForbidden, "This token has been used", "A token lets one host in, once. "+again)
	case errors.Is(err, store.ErrExpired):
		problem(w, http.StatusForbidden, "This token has expired", again)
	case errors.Is(err, store.ErrNotFound):
		problem(w, http.StatusForbidden, "This token is not known here", "It may belong to another control plane. "+again)
	case keyRefused(w, err):
	case errors.Is(err, errCSR), errors.Is(err, errProtocol):
		problem(w, http.StatusBadRequest, "The agent's request does not fit", err.Error())
	default:
		d.Log.Error("enrolment failed", "err", err, "remote", r.RemoteAddr)
		problem(w, http.StatusInternalServerError, "The control plane could not enrol this host",
			"Nothing was changed and the token is still good. Its log has the reason; try again.")
		return
	}
	d.Log.Warn("enrolment refused", "err", err, "remote", r.RemoteAddr)
	if !errors.Is(err, store.ErrNotFound) && !errors.Is(err, errCSR) && !errors.Is(err, errProtocol) {
		if err := d.refused(ctx, req.Key, err); err != nil {
			d.Log.Error("recording a refused enrolment failed", "err", err)
		}
	}
}

// refused records the use of an expired or used token in the audit log: if two hosts
// come with the same token, one of them stole it. It records each token at most once
// a minute, and nothing of tokens that were never issued.
func (d *Desk) refused(ctx context.Context, key topics.Secret, why error) error {
	action, target, reason := "enroll_token.refused", "", "it has been used"
	for _, r := range keyRefusals {
		if errors.Is(why, r.err) {
			k, err := d.Store.Admission().KeyByHash(ctx, hash(key))
			if err != nil {
				return err
			}
			action, target, reason = "enroll_key.refused", k.ID, r.audit
		}
	}
	id := target
	if target == "" {
		t, err := d.Store.EnrollTokenByKey(ctx, hash(key))
		if err != nil {
			return err
		}
		id, target = t.ID, t.ID
		if t.Host != "" {
			target = string(t.Host) // whom it let in
		}
	}
	d.mu.Lock()
	now := time.Now()
	fresh := now.Sub(d.said[id]) > time.Minute
	if fresh {
		if d.said == nil {
			d.said = map[string]time.Time{}
		}
		d.said[id] = now
	}
	d.mu.Unlock()
	if !fresh {
		return nil
	}
	if errors.Is(why, store.ErrExpired) {
		reason = "it has expired"
	}
	return d.Store.Audit(ctx, "plane", action, target, reason)
}

var errProtocol = errors.New("this agent and this control plane are too far apart in version; " +
	"install the agent that came with the control plane")

func (d *Desk) admit(ctx context.Context, req topics.EnrollRequest) (topics.EnrollResponse, error) {
	var none topics.EnrollResponse
	if req.Protocol[1] < topics.Protocol[0] || req.Protocol[0] > topics.Protocol[1] {
		return none, errProtocol
	}
	probe, err := seal.NewKey()
	if err != nil {
		return none, err
	}
	if _, err := seal.NewChannel(probe, req.SealKey, seal.Plane, "probe"); err != nil {
		return none, fmt.Errorf("%w: its sealing key is not one", errCSR)
	}
	token, err := d.Store.EnrollTokenByKey(ctx, hash(req.Key))
	many := errors.Is(err, store.ErrNotFound)
	if many { // it may be a key for many hosts, which is looked at before anything is signed
		k, kerr := d.Store.Admission().KeyByHash(ctx, hash(req.Key))
		if errors.Is(kerr, admission.ErrNone) {
			return none, err
		}
		plane, perr := d.Store.PlaneOf(ctx)
		if err = errors.Join(kerr, perr); err == nil {
			err = errors.Join(k.Good(d.Store.Now(), plane.RestoredAt), accepts(req.Facts)(k))
		}
	}
	if err != nil {
		return none, err
	}
	id := token.ForHost
	if id == "" {
		id = topics.HostID(topics.NewID(time.UnixMilli(d.Store.Now())))
	}
	shown := d.known().shown // it learns of the next one when it connects
	der, made, err := shown.ca.sign(id, req.CSR)
	if err != nil {
		return none, err
	}
	f := req.Facts
	tidy.Facts(&f)
	row := store.Host{ID: id, SealKey: req.SealKey,
		Serial: made.SerialNumber.Text(16), CertifiedUntil: made.NotAfter.UnixMilli(), Generation: shown.generation,
		Hostname: printable(f.Hostname), OS: printable(f.OS), Arch: printable(f.Arch), Platform: printable(f.Platform),
		AgentVersion: printable(f.Agent), ResticVersion: printable(f.Restic), Policy: printable(f.Policy),
		Permits: store.JSON[topics.Permits]{V: f.Permits}}
	var h store.Host
	held := false
	if many {
		h, held, err = d.Store.EnrollWithKey(ctx, hash(req.Key), row, accepts(f))
	} else {
		h, err = d.Store.Enroll(ctx, token.KeyHash, row)
	}
	if err != nil {
		return none, err
	}
	d.Log.Info("host enrolled", "host", h.ID, "name", h.Name, "again", token.ForHost != "", "held", held)
	if d.Enrolled != nil {
		d.Enrolled(h)
	}
	return topics.EnrollResponse{Host: h.ID, Name: h.Name, Certificate: der, CA: shown.ca.Certificate.Raw, SealKey: shown.sealKey,
		Held: held}, nil
}

// keyRefused answers a host whose key lets it not in.
func keyRefused(w http.ResponseWriter, err error) bool {
	for _, r := range keyRefusals {
		if errors.Is(err, r.err) {
			problem(w, http.StatusForbidden, r.title, r.detail+" Make another key on the page Add host, under Many machines.")
			return true
		}
	}
	return false
}

// printable makes a text that a host reports fit for a name.
func printable(s string) string {
	r := []rune(words.Strip(s))
	return string(r[:min(len(r), 100)])
}

func problem(w http.ResponseWriter, status int, title, detail string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(topics.Problem{Title: title, Status: status, Detail: detail})
}
