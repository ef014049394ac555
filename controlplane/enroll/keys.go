package enroll

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/field"
	"github.com/restic-manager/restic-manager/controlplane/hosts"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/store/admission"
	"github.com/restic-manager/restic-manager/topics"
)

// Bounds of an enrolment key.
const (
	KeyLife    = 30 * 24 * time.Hour // unless somebody says another
	MaxKeyLife = 366 * 24 * time.Hour
	KeyUses    = 50 // unless somebody says another
	MaxKeyUses = 20_000
)

// A KeyInput is a key for many hosts as somebody wants it.
type KeyInput struct {
	Name    string
	Uses    int           // how many hosts it lets in
	Life    time.Duration // for how long
	Tags    []string      // that its hosts get
	Policy  string        // the widest it accepts; the host's own command or token file says which it has
	Approve bool          // each host waits until somebody approves it
	Drill   bool          // each host proves weekly that it can be restored, see [Input]
}

// policies are the agent's presets that a key accepts, by the widest that it names.
var policies = map[string][]string{
	"backup":  {"backup"},
	"restore": {"backup", "restore"},
	"keeper":  {"backup", "keeper"},
	"managed": {"backup", "restore", "keeper", "managed"},
}

// OfferKey makes a key for many hosts. Only the hash of its secret is stored, so it cannot
// be shown again. What is wrong with it is reported as [field.Errors].
func (d *Desk) OfferKey(ctx context.Context, actor string, in KeyInput) (k admission.Key, token topics.EnrollToken, err error) {
	wrong := field.Errors{}
	in.Name = field.Clean(in.Name)
	wrong.Say("name", field.Name("name", in.Name))
	if in.Uses < 1 || in.Uses > MaxKeyUses {
		wrong.Say("uses", fmt.Sprintf("A key lets in from 1 to %d hosts.", MaxKeyUses))
	}
	if in.Life < time.Hour || in.Life > MaxKeyLife {
		wrong.Say("ttl", "A key is good for an hour at least, and for 366 days at most.")
	}
	if policies[in.Policy] == nil {
		wrong.Say("policy", "It is backup, restore, keeper or managed.")
	}
	tags, text := hosts.Tags(in.Tags)
	wrong.Say("tags", text)
	if err := wrong.Err(); err != nil {
		return k, token, err
	}
	if _, err := d.Load(ctx); err != nil { // a command line beside us may have made another identity
		return k, token, err
	}
	known := d.known()
	token = topics.NewEnrollToken(known.shown.ca.Certificate)
	now := time.UnixMilli(d.Store.Now())
	if p := known.record.Plan; p != nil && p.Target() != p.Serves() { // its fingerprint is good until the plan ends
		in.Life = min(in.Life, time.UnixMilli(p.Until).Sub(now))
	}
	k = admission.Key{ID: topics.NewID(now), KeyHash: hash(token.Key), Name: in.Name, CreatedBy: actor, CreatedAt: now.UnixMilli(),
		ExpiresAt: now.Add(in.Life).UnixMilli(), Uses: int64(in.Uses), Tags: tags, Policy: in.Policy, Approve: in.Approve, Drill: in.Drill}
	err = d.Store.Admission().AddKey(ctx, k)
	if errors.Is(err, admission.ErrTaken) {
		return k, token, field.Errors{"name": "There is an enrolment key of this name already."}
	}
	d.changed()
	return k, token, err
}

// WithdrawKey has a key let nobody in any more; what it let in stays.
func (d *Desk) WithdrawKey(ctx context.Context, actor, id string) error {
	err := d.Store.Admission().Withdraw(ctx, actor, id)
	d.changed()
	return err
}

// Approve trusts a host that waits for approval.
func (d *Desk) Approve(ctx context.Context, actor string, host topics.HostID) (store.Host, error) {
	h, err := d.Store.ApproveHost(ctx, actor, host)
	if err == nil {
		d.changed(host)
	}
	return h, err
}

func (d *Desk) changed(hosts ...topics.HostID) {
	if d.Changed != nil {
		d.Changed(hosts...)
	}
}

// StateOf is what is so with a key at a moment: "" if it lets hosts in, else why not.
func StateOf(k admission.Key, now, restored int64) string {
	switch err := k.Good(now, restored); {
	case errors.Is(err, admission.ErrWithdrawn):
		return "withdrawn"
	case errors.Is(err, admission.ErrRestored):
		return "older than the restore"
	case errors.Is(err, admission.ErrKeyOver):
		return "expired"
	case errors.Is(err, admission.ErrUsedUp):
		return "used up"
	}
	return ""
}

// accepts says why a key does not accept what a host permits. The host says itself what
// that is: the key keeps nobody from permitting too much by mistake.
func accepts(f topics.Facts) func(admission.Key) error {
	return func(k admission.Key) error {
		if accepted := policies[k.Policy]; slices.Contains(accepted, f.Policy) {
			if !exceeds(f.Permits, accepted) {
				return nil
			}
			return fmt.Errorf("%w: %.40q with more than that has by itself, and the key accepts %q", admission.ErrPolicy,
				printable(f.Policy), k.Policy)
		}
		return fmt.Errorf("%w: %.40q, and the key accepts %q", admission.ErrPolicy, printable(f.Policy), k.Policy)
	}
}

// exceeds reports whether a host permits what none of these presets does: one of them by
// name may have got more, as by --restore-root or in the host's policy file.
func exceeds(p *topics.Permits, accepted []string) bool {
	has := func(preset string) bool { return slices.Contains(accepted, preset) }
	switch {
	case p == nil || has("managed"):
		return false
	case p.Anywhere || p.Overwrite:
		return true
	case !has("keeper") && (slices.Contains(p.Kinds, topics.ForgetJob) || slices.Contains(p.Kinds, topics.PruneJob)):
		return true
	}
	return !has("restore") && p.RestoreTo != "" && // an older agent does not say where its own directory is
		slices.ContainsFunc(p.RestoreRoots, func(dir string) bool { return dir != p.Quarantine })
}

// keyRefusals are what a host hears whose key lets it not in.
var keyRefusals = []struct {
	err           error
	title, detail string
	audit         string
}{
	{admission.ErrWithdrawn, "This enrolment key was withdrawn", "Somebody took it back. Nothing was changed on this host.",
		"it was withdrawn"},
	{admission.ErrKeyOver, "This enrolment key has expired", "Nothing was changed on this host.", "it has expired"},
	{admission.ErrUsedUp, "This enrolment key is used up", "It has let in as many hosts as it may. Nothing was changed on this host.",
		"it is used up"},
	{admission.ErrRestored, "This enrolment key is older than a restore of the control plane",
		"The control plane was restored from a copy, and the key may have been withdrawn after that. Nothing was changed on this host.",
		"it is older than the restore"},
	{admission.ErrPolicy, "This enrolment key does not accept the host's policy",
		"The host permits more than the key accepts. Enrol with a narrower --policy, and with --restore-root only under the policy restore, " +
			"or have a key made that accepts it.",
		"of the host's policy"},
}
