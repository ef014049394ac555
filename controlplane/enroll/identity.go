package enroll

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/succession"
	"github.com/restic-manager/restic-manager/failpoint"
	"github.com/restic-manager/restic-manager/seal"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
)

// Secrets of the installation. The first two are the identity that is shown; what
// follows it, and when, is in the third, from the first change on.
const (
	secretCA         = "ca"
	secretSealKey    = "seal_key"
	secretSuccession = "succession"
)

// A record is the third secret.
type record struct {
	Generation succession.Generation `json:"generation"` // of the first two
	Last       succession.Generation `json:"last"`       // the highest there ever was
	Plan       *succession.Plan      `json:"plan,omitempty"`
	Next       *caFile               `json:"next,omitempty"`
	NextKey    []byte                `json:"next_key,omitempty"`
}

// An identity is one that is accepted.
type identity struct {
	generation succession.Generation
	ca         *CA
	key        seal.Key
	sealKey    []byte // its public half
	server     *serverCert
}

// identities are those that are accepted at one moment. They do not change; another
// moment has others.
type identities struct {
	record record
	raw    []byte // the record's secret, nil for none
	ca     []byte // the first secret
	shown  *identity
	next   *identity // nil unless there is a plan

	mqtt, http *tls.Config
}

// OpenSealKey returns the sealing key of the installation, and creates it at the first
// call.
func OpenSealKey(ctx context.Context, s *store.Store) (seal.Key, error) {
	b, err := s.Secret(ctx, secretSealKey, func() ([]byte, error) {
		k, err := seal.NewKey()
		if err != nil {
			return nil, err
		}
		return k.Bytes(), nil
	})
	if err != nil {
		return seal.Key{}, err
	}
	return seal.ParseKey(b)
}

// known are the identities that are accepted now. A desk that never loaded any has the
// one it was made with.
func (d *Desk) known() *identities {
	if k := d.ids.Load(); k != nil {
		return k
	}
	k := &identities{shown: &identity{ca: d.CA, sealKey: d.SealKey}}
	k.compose(d)
	if d.ids.CompareAndSwap(nil, k) {
		return k
	}
	return d.ids.Load()
}

// Load looks which identities are accepted now: another process may have changed
// that. The mark it answers with is another one for other identities.
func (d *Desk) Load(ctx context.Context) (mark [sha256.Size]byte, err error) {
	raw, err := d.Store.LookSecret(ctx, secretSuccession)
	if errors.Is(err, store.ErrNotFound) {
		raw, err = nil, nil
	}
	if err != nil {
		return mark, err
	}
	mark = sha256.Sum256(raw)
	before := d.ids.Load()
	if before != nil && before.ca != nil && bytes.Equal(before.raw, raw) {
		return mark, nil
	}
	k := &identities{raw: raw, shown: &identity{}}
	if raw != nil {
		if err := json.Unmarshal(raw, &k.record); err != nil {
			return mark, fmt.Errorf("the identity that follows: %w", err)
		}
	}
	if k.ca, err = d.Store.LookSecret(ctx, secretCA); err != nil {
		return mark, err
	}
	var f caFile
	if err := json.Unmarshal(k.ca, &f); err != nil {
		return mark, fmt.Errorf("the CA: %w", err)
	}
	key, err := d.Store.LookSecret(ctx, secretSealKey)
	if errors.Is(err, store.ErrNotFound) && raw == nil { // it was made with another than the installation's
		return mark, nil
	}
	if err != nil {
		return mark, err
	}
	if k.shown, err = d.identity(k.record.Generation, f, key); err != nil {
		return mark, err
	}
	if before != nil && before.shown.ca.Certificate.Equal(k.shown.ca.Certificate) { // its certificate goes on
		k.shown.server = before.shown.server
	}
	if k.record.Plan != nil {
		if k.next, err = d.identity(k.record.Plan.To, *k.record.Next, k.record.NextKey); err != nil {
			return mark, err
		}
	}
	k.compose(d)
	d.ids.Store(k)
	return mark, nil
}

func (d *Desk) identity(g succession.Generation, f caFile, key []byte) (*identity, error) {
	ca, err := f.open(d.CA.now)
	if err != nil {
		return nil, err
	}
	ca.HostLife = d.CA.HostLife
	k, err := seal.ParseKey(key)
	if err != nil {
		return nil, fmt.Errorf("the sealing key: %w", err)
	}
	return &identity{generation: g, ca: ca, key: k, sealKey: k.Public()}, nil
}

// compose makes what connections need of it.
func (k *identities) compose(d *Desk) {
	pool := x509.NewCertPool()
	for _, i := range k.all() {
		pool.AddCert(i.ca.Certificate)
		if i.server == nil {
			i.server = &serverCert{ca: i.ca}
		}
	}
	k.mqtt = &tls.Config{
		MinVersion: tls.VersionTLS13, NextProtos: []string{topics.ALPNMQTT}, SessionTicketsDisabled: true,
		GetCertificate: k.shown.server.get, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool, Time: d.CA.now,
		VerifyConnection: d.verify,
	}
	k.http = k.mqtt.Clone()
	k.http.NextProtos, k.http.ClientAuth = []string{topics.ALPNHTTP}, tls.VerifyClientCertIfGiven
}

func (k *identities) all() []*identity {
	if k.next != nil {
		return []*identity{k.shown, k.next}
	}
	return []*identity{k.shown}
}

// of is the identity of a generation, nil if that is not accepted.
func (k *identities) of(g succession.Generation) *identity {
	for _, i := range k.all() {
		if i.generation == g {
			return i
		}
	}
	return nil
}

// issued is the identity whose CA signed a certificate, nil if none did that is
// accepted now.
func (k *identities) issued(c *x509.Certificate) *identity {
	for _, i := range k.all() {
		if c.CheckSignatureFrom(i.ca.Certificate) == nil {
			return i
		}
	}
	return nil
}

// Keys are the control plane's sealing keys with a host that uses an identity: the
// first is for what is said to it; what it says may be for any.
func (d *Desk) Keys(g succession.Generation) []seal.Key {
	k := d.known()
	keys := make([]seal.Key, 0, 2)
	if i := k.of(g); i != nil {
		keys = append(keys, i.key)
	}
	for _, i := range k.all() {
		if i.generation != g {
			keys = append(keys, i.key)
		}
	}
	return keys
}

// Follows is what hosts are to be told of the identity that they should use in the end,
// nil if there is one alone. A host that uses it already has to know, too: both are
// accepted still, and the control plane may show the other.
func (d *Desk) Follows() *topics.Succession {
	k := d.known()
	if k.record.Plan == nil {
		return nil
	}
	i := k.of(k.record.Plan.Target())
	return &topics.Succession{CA: i.ca.Certificate.Raw, SealKey: i.sealKey, Until: k.record.Plan.Until}
}

// signer is the identity that signs a host's next certificate.
func (k *identities) signer(current *x509.Certificate, asks []byte) *identity {
	uses := k.issued(current)
	if uses == nil || k.record.Plan == nil {
		return k.shown
	}
	target := k.of(k.record.Plan.Target())
	pin := topics.Fingerprint(target.ca.Certificate)
	return k.of(k.record.Plan.Signs(uses.generation, bytes.Equal(asks, pin[:])))
}

// A Succession is how far a change of the identity has come. Plan is nil if there is
// none under way.
type Succession struct {
	Generation succession.Generation
	Plan       *succession.Plan
	succession.Progress
}

// Succession counts hosts. Online, if given, says which are connected.
func (d *Desk) Succession(ctx context.Context, online func(topics.HostID) bool) (Succession, error) {
	if _, err := d.Load(ctx); err != nil { // the command line has no loop that looks
		return Succession{}, err
	}
	k := d.known()
	s := Succession{Generation: k.shown.generation, Plan: k.record.Plan}
	rows, err := d.Store.Hosts(ctx)
	if err != nil {
		return s, err
	}
	var hosts []succession.Host
	for _, h := range rows {
		if h.RevokedAt == 0 {
			hosts = append(hosts, succession.Host{ID: string(h.ID), Name: h.Name, Agent: h.AgentVersion, Generation: h.Generation,
				Online: online != nil && online(h.ID)})
		}
	}
	plan := succession.Plan{From: k.shown.generation, Back: true} // who does not use the one there is was left behind
	if s.Plan != nil {
		plan = *s.Plan
	}
	s.Progress = plan.Progress(hosts)
	return s, nil
}

// Succeed makes the identity that follows, and has every host move to it until the
// overlap ends.
func (d *Desk) Succeed(ctx context.Context, actor string, overlap time.Duration) error {
	detail := "both are accepted for " + overlap.String()
	return d.change(ctx, actor, "identity.changing", detail, func(r *record) (_ map[string][]byte, err error) {
		if r.Plan != nil {
			return nil, succession.ErrUnderWay
		}
		p, err := succession.Begin(r.Generation, r.Last, d.CA.now(), overlap)
		if err != nil {
			return nil, err
		}
		r.Plan, r.Last = &p, p.To
		r.Next, r.NextKey, err = newIdentity(d.CA.now())
		return nil, err
	})
}

// Replace makes another identity and accepts the one before no more, as is right if
// somebody stole it. Every host has to be enrolled again.
func (d *Desk) Replace(ctx context.Context, actor string) error {
	return d.change(ctx, actor, "identity.replaced", "every host has to be enrolled again", func(r *record) (map[string][]byte, error) {
		f, key, err := newIdentity(d.CA.now())
		if err != nil {
			return nil, err
		}
		ca, err := json.Marshal(f)
		*r = record{Generation: r.Last + 1, Last: r.Last + 1}
		return map[string][]byte{secretCA: ca, secretSealKey: key}, err
	})
}

// PutOff has both identities accepted until another moment.
func (d *Desk) PutOff(ctx context.Context, actor string, until time.Time) error {
	return d.change(ctx, actor, "identity.put_off", "until "+until.UTC().Format(time.RFC3339), func(r *record) (map[string][]byte, error) {
		if r.Plan == nil {
			return nil, succession.ErrNone
		}
		p, err := r.Plan.PutOff(until, d.CA.now())
		r.Plan = &p
		return nil, err
	})
}

// CallOff has the hosts that have moved come back. The end stays where it is.
func (d *Desk) CallOff(ctx context.Context, actor string) error {
	return d.turn(ctx, actor, "identity.called_off", true)
}

// GoOn has the hosts move after all, when that was called off.
func (d *Desk) GoOn(ctx context.Context, actor string) error {
	return d.turn(ctx, actor, "identity.goes_on", false)
}

// turn calls a plan off, or has it go on.
func (d *Desk) turn(ctx context.Context, actor, action string, back bool) error {
	return d.change(ctx, actor, action, "", func(r *record) (map[string][]byte, error) {
		if r.Plan == nil {
			return nil, succession.ErrNone
		}
		if r.Plan.Back == back {
			return nil, succession.ErrTurned
		}
		p := r.Plan.CallOff()
		r.Plan = &p
		return nil, nil
	})
}

// Finish ends the plan: the identity that is left is accepted no more.
func (d *Desk) Finish(ctx context.Context, actor string) error {
	return d.change(ctx, actor, "identity.changed", "", func(r *record) (map[string][]byte, error) {
		if r.Plan == nil {
			return nil, succession.ErrNone
		}
		var secrets map[string][]byte
		if r.Plan.Target() != r.Generation {
			ca, err := json.Marshal(r.Next)
			if err != nil {
				return nil, err
			}
			secrets = map[string][]byte{secretCA: ca, secretSealKey: r.NextKey}
		}
		*r = record{Generation: r.Plan.Target(), Last: r.Last}
		return secrets, nil
	})
}

// Overdue ends a plan whose time is over.
func (d *Desk) Overdue(ctx context.Context) error {
	if k := d.known(); k.record.Plan == nil || !k.record.Plan.Over(d.CA.now()) {
		return nil
	}
	if err := d.Finish(ctx, "plane"); err != nil && !errors.Is(err, store.ErrMoved) && !errors.Is(err, succession.ErrNone) {
		return err
	}
	return nil
}

// change makes one change in one transaction: whoever is killed before or after it
// leaves one state or the other.
func (d *Desk) change(ctx context.Context, actor, action, detail string, f func(*record) (map[string][]byte, error)) error {
	if _, err := d.Load(ctx); err != nil {
		return err
	}
	k := d.known()
	r := k.record
	secrets, err := f(&r)
	if err != nil {
		return err
	}
	raw, err := json.Marshal(r)
	if err != nil {
		return err
	}
	all := map[string][]byte{secretSuccession: raw}
	for name, plain := range secrets {
		all[name] = slices.Clone(plain)
	}
	failpoint.Here("plane-identity-made")
	if err := d.Store.PutSecrets(ctx, actor, action, detail, secretSuccession, k.raw, all); err != nil {
		return err
	}
	failpoint.Here("plane-identity-written")
	if d.Changed != nil {
		d.Changed()
	}
	return nil
}

func newIdentity(now time.Time) (*caFile, []byte, error) {
	b, err := newCA(now)
	if err != nil {
		return nil, nil, err
	}
	f := new(caFile)
	if err := json.Unmarshal(b, f); err != nil {
		return nil, nil, err
	}
	key, err := seal.NewKey()
	return f, key.Bytes(), err
}
