package enroll

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/field"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/store/admission"
	"github.com/restic-manager/restic-manager/topics"
)

func (d *Desk) key(t *testing.T, in KeyInput) (admission.Key, topics.EnrollToken) {
	t.Helper()
	if in.Life == 0 {
		in.Life = KeyLife
	}
	if in.Uses == 0 {
		in.Uses = KeyUses
	}
	if in.Policy == "" {
		in.Policy = "backup"
	}
	k, token, err := d.OfferKey(t.Context(), "ada", in)
	if err != nil {
		t.Fatal(err)
	}
	return k, token
}

// comes is a host of a name that comes with a key, and a policy.
func (d *Desk) comes(t *testing.T, token topics.EnrollToken, name, policy string) (topics.EnrollResponse, int, topics.Problem) {
	t.Helper()
	req, _ := request(token)
	req.Facts.Hostname, req.Facts.Policy = name, policy
	w, p := d.post(t, req)
	var answer topics.EnrollResponse
	if w.Code == http.StatusOK {
		if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil {
			t.Fatal(err)
		}
	}
	return answer, w.Code, p
}

func TestAKeyLetsInAsManyHostsAsItMay(t *testing.T) {
	const most, come = 500, 520
	d := newDesk(t)
	k, token := d.key(t, KeyInput{Name: "rack 7", Uses: most, Tags: []string{"rack=7", "Web"}})
	var in, refused atomic.Int64
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for n := in.Load() + refused.Load(); n < come; n = in.Load() + refused.Load() {
				answer, code, p := d.comes(t, token, "node", "backup")
				switch {
				case code == http.StatusOK && !answer.Held:
					in.Add(1)
				case code == http.StatusForbidden && strings.Contains(p.Title, "used up") && strings.Contains(p.Detail, "Nothing was changed"):
					refused.Add(1)
				default:
					t.Errorf("%d %+v", code, p)
					return
				}
			}
		})
	}
	wg.Wait()
	hosts := must(d.Store.Hosts(t.Context()))
	if in.Load() != most || len(hosts) != most || refused.Load() < come-most {
		t.Fatalf("%d were let in and %d refused, and there are %d hosts", in.Load(), refused.Load(), len(hosts))
	}
	names := map[string]bool{}
	for _, h := range hosts {
		names[h.Name] = true
		if h.Policy != "backup" || len(h.Tags) != 2 || h.Tags[0] != "rack=7" || h.Tags[1] != "web" || h.RevokedAt != 0 {
			t.Fatalf("a host is %+v", h)
		}
	}
	if len(names) != most {
		t.Errorf("%d hosts have %d names", most, len(names))
	}
	if said := must(d.Store.AuditEntries(t.Context(), store.AuditFilter{Action: "enroll_key.refused"}, 10)); len(said) != 1 ||
		said[0].Target != k.ID || said[0].Detail != "it is used up" {
		t.Errorf("the audit log says of the refusals: %+v", said)
	}
	if said := must(d.Store.AuditEntries(t.Context(), store.AuditFilter{Action: "host.enrolled"}, 1)); len(said) != 1 ||
		said[0].Actor != "key:rack 7" {
		t.Errorf("and of the hosts: %+v", said)
	}
}

func TestAKeyThatIsNotGoodLetsNobodyIn(t *testing.T) {
	d := newDesk(t)
	withdrawn, w := d.key(t, KeyInput{Name: "withdrawn"})
	if err := d.WithdrawKey(t.Context(), "ada", withdrawn.ID); err != nil {
		t.Fatal(err)
	}
	_, good := d.key(t, KeyInput{Name: "good"})
	_, wide := d.key(t, KeyInput{Name: "wide", Policy: "managed"})
	expired := topics.NewEnrollToken(d.CA.Certificate)
	if err := d.Store.Admission().AddKey(t.Context(), admission.Key{ID: "e", KeyHash: hash(expired.Key), Name: "old", CreatedBy: "ada",
		CreatedAt: 1, ExpiresAt: 2, Uses: 9, Policy: "backup"}); err != nil {
		t.Fatal(err)
	}
	for what, c := range map[string]struct {
		token        topics.EnrollToken
		policy, says string
	}{
		"withdrawn":              {w, "backup", "was withdrawn"},
		"expired":                {expired, "backup", "has expired"},
		"permits more":           {good, "managed", "does not accept the host's policy"},
		"permits something else": {good, "keeper", "does not accept the host's policy"},
		"says nothing":           {good, "", "does not accept the host's policy"},
		"a policy of its own":    {wide, "generous", "does not accept the host's policy"},
		"nobody's":               {topics.NewEnrollToken(d.CA.Certificate), "backup", "not known here"},
	} {
		if _, code, p := d.comes(t, c.token, "attic", c.policy); code != http.StatusForbidden || !strings.Contains(p.Title, c.says) {
			t.Errorf("%s: %d %+v", what, code, p)
		}
	}
	// What a host permits counts, and not the name of it alone.
	const own = "/var/lib/restic-manager-agent/restored"
	_, restore := d.key(t, KeyInput{Name: "restore", Policy: "restore"})
	permits := func(token topics.EnrollToken, policy string, p topics.Permits) int {
		req, _ := request(token)
		req.Facts.Policy, req.Facts.Permits = policy, &p
		w, _ := d.post(t, req)
		return w.Code
	}
	back, anywhere := topics.Permits{RestoreTo: "/", RestoreRoots: []string{"/"}}, topics.Permits{RestoreTo: own, Anywhere: true}
	for what, code := range map[string]int{
		"restores anywhere":         permits(good, "backup", back),
		"restores there, and there": permits(good, "backup", topics.Permits{RestoreTo: own, Quarantine: own, RestoreRoots: []string{own, "/"}}),
		"prunes":                    permits(good, "backup", topics.Permits{Kinds: []topics.JobKind{topics.PruneJob}}),
		"prunes by a file":          permits(restore, "restore", topics.Permits{Kinds: []topics.JobKind{topics.PruneJob}}),
		"everything":                permits(restore, "restore", anywhere),
		"writes over files":         permits(restore, "restore", topics.Permits{Overwrite: true}),
	} {
		if code != http.StatusForbidden {
			t.Errorf("%s: %d", what, code)
		}
	}
	if hosts := must(d.Store.Hosts(t.Context())); len(hosts) != 0 {
		t.Errorf("let in: %+v", hosts)
	}
	if k := must(d.Store.Admission().KeyByHash(t.Context(), hash(good.Key))); k.Used != 0 {
		t.Errorf("refusals used the key %d times", k.Used)
	}
	for what, code := range map[string]int{
		"into its own directory": permits(good, "backup", topics.Permits{RestoreTo: own, Quarantine: own, RestoreRoots: []string{own}}),
		"an older agent":         permits(good, "backup", topics.Permits{RestoreRoots: []string{own}}),
		"restores":               permits(restore, "restore", back),
		"everything":             permits(wide, "managed", anywhere),
	} {
		if code != http.StatusOK {
			t.Errorf("%s: %d", what, code)
		}
	}
	for _, policy := range []string{"backup", "restore", "keeper", "managed"} {
		if _, code, p := d.comes(t, wide, "cellar", policy); code != http.StatusOK {
			t.Errorf("the widest key and %s: %d %+v", policy, code, p)
		}
	}
	for what, c := range map[string]struct {
		in  KeyInput
		bad string
	}{
		"no name":        {KeyInput{Uses: 1, Life: time.Hour, Policy: "backup"}, "name"},
		"a name twice":   {KeyInput{Name: "good", Uses: 1, Life: time.Hour, Policy: "backup"}, "name"},
		"no uses":        {KeyInput{Name: "a", Life: time.Hour, Policy: "backup"}, "uses"},
		"too many uses":  {KeyInput{Name: "a", Uses: MaxKeyUses + 1, Life: time.Hour, Policy: "backup"}, "uses"},
		"for ever":       {KeyInput{Name: "a", Uses: 1, Life: MaxKeyLife + 1, Policy: "backup"}, "ttl"},
		"no such policy": {KeyInput{Name: "a", Uses: 1, Life: time.Hour, Policy: "generous"}, "policy"},
		"a bad tag":      {KeyInput{Name: "a", Uses: 1, Life: time.Hour, Policy: "backup", Tags: []string{"-x"}}, "tags"},
	} {
		var wrong field.Errors
		if _, _, err := d.OfferKey(t.Context(), "ada", c.in); !errors.As(err, &wrong) || wrong[c.bad] == "" {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestAHostThatWaitsIsTrustedOnceSomebodyApproves(t *testing.T) {
	d := newDesk(t)
	k, token := d.key(t, KeyInput{Name: "laptops", Approve: true, Drill: true})
	answer, code, _ := d.comes(t, token, "attic", "backup")
	if code != http.StatusOK || !answer.Held {
		t.Fatalf("%d %+v", code, answer)
	}
	h := must(d.Store.Host(t.Context(), answer.Host))
	if err := h.Trusts(h.Serial); !errors.Is(err, store.ErrRevoked) {
		t.Errorf("before: %v", err)
	}
	held := must(d.Store.Admission().Held(t.Context()))
	if len(held) != 1 || held[0].Host != h.ID || held[0].Name != "attic" || held[0].Key != k.Name || held[0].Policy != "backup" {
		t.Errorf("who waits: %+v", held)
	}
	if h = must(d.Approve(t.Context(), "ada", h.ID)); h.Trusts(h.Serial) != nil {
		t.Errorf("after: %v", h.Trusts(h.Serial))
	}
	if h = must(d.Store.Host(t.Context(), h.ID)); h.Trusts(h.Serial) != nil || len(must(d.Store.Admission().Held(t.Context()))) != 0 {
		t.Errorf("after: %+v", h)
	}
	if _, err := d.Approve(t.Context(), "ada", h.ID); !errors.Is(err, admission.ErrNotHeld) {
		t.Errorf("once more: %v", err)
	}
	if _, err := d.Revoke(t.Context(), "ada", h.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Approve(t.Context(), "ada", h.ID); !errors.Is(err, admission.ErrNotHeld) {
		t.Errorf("a host that was revoked: %v", err)
	}

	// One that is revoked while it waits is refused, and nobody approves it by mistake.
	answer, _, _ = d.comes(t, token, "stranger", "backup")
	for range 2 {
		if h, err := d.Revoke(t.Context(), "ada", answer.Host); err != nil || h.RevokedAt == 0 {
			t.Fatalf("%+v, %v", h, err)
		}
	}
	if _, err := d.Approve(t.Context(), "bob", answer.Host); !errors.Is(err, admission.ErrNotHeld) {
		t.Errorf("one that was revoked while it waited: %v", err)
	}
	said := must(d.Store.AuditEntries(t.Context(), store.AuditFilter{Action: "host.revoked", Target: string(answer.Host)}, 10))
	if held := must(d.Store.Admission().Held(t.Context())); len(held) != 0 || len(said) != 1 {
		t.Errorf("%+v waits, and the audit log says %+v", held, said)
	}
}
