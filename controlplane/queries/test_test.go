package queries

import (
	"encoding/pem"
	"errors"
	"strings"
	"testing"

	"github.com/restic-manager/restic-manager/controlplane/jobs"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
)

// TestAHostIsAskedWhatIsWhereARepositoryIsToBe: what it refuses or could not find out is a
// finding; that it could not be asked is none.
func TestAHostIsAskedWhatIsWhereARepositoryIsToBe(t *testing.T) {
	w := newWorld(t)
	admin := jobs.Actor{Name: "ada", Role: store.Admin}
	to := topics.Repository{URL: "rest:https://ada:canary-1@nas/x", Password: "canary-2"}
	able := func(can string) {
		w.exec(`UPDATE hosts SET can = $1 WHERE id = $2`, can, attic)
	}
	test := func(who jobs.Actor, answer *topics.Answer) (f topics.Finding, err error) {
		t.Helper()
		done := make(chan struct{})
		n := w.count()
		go func() {
			defer close(done)
			f, err = w.Test(t.Context(), who, attic, to)
		}()
		if answer != nil {
			a := w.await(n)
			if a.q.Kind != topics.TestQuery || a.q.Repository.Password != "canary-2" || a.q.Limit > 13 {
				t.Errorf("it is asked %+v", a.q)
			}
			answer.Part, answer.Last = 1, true
			w.Answered(attic, a.id, *answer)
		}
		<-done
		return f, err
	}
	refused := func(err error) topics.Cause {
		var r *Refused
		if !errors.As(err, &r) {
			return ""
		}
		return r.Cause
	}
	able(`["queries"]`)
	if _, err := test(admin, nil); refused(err) != CauseOldAgent || !strings.Contains(err.Error(), "cannot look for a repository") {
		t.Errorf("an older agent: %v", err)
	}
	able(`["queries","tests"]`)
	if _, err := test(jobs.Actor{Name: "bert", Role: store.Restorer}, nil); err == nil {
		t.Error("who may not save repositories may test")
	}
	certificate := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("x")}))
	for _, c := range []struct {
		what   string
		answer topics.Answer
		state  topics.FindingState
		cause  topics.Cause
		words  string
		pem    bool
	}{
		{"found", topics.Answer{Finding: &topics.Finding{State: topics.FindingOurs, Message: "It opens."}},
			topics.FindingOurs, "", "It opens", false},
		{"a certificate", topics.Answer{Finding: &topics.Finding{State: topics.FindingOther, Cause: topics.CauseCertificate,
			Certificate: &topics.Certificate{PEM: certificate}}}, topics.FindingOther, topics.CauseCertificate, "", true},
		{"none that is one", topics.Answer{Finding: &topics.Finding{State: topics.FindingOther, Cause: topics.CauseCertificate,
			Certificate: &topics.Certificate{PEM: "<b>" + certificate}}}, topics.FindingOther, topics.CauseCertificate, "", false},
		{"a key", topics.Answer{Finding: &topics.Finding{State: topics.FindingOther, Cause: topics.CauseCertificate,
			Certificate: &topics.Certificate{PEM: strings.ReplaceAll(certificate, "CERTIFICATE", "PRIVATE KEY")}}}, topics.FindingOther,
			topics.CauseCertificate, "", false},
		{"a cause of a later version", topics.Answer{Finding: &topics.Finding{State: topics.FindingOther, Cause: "flood"}}, topics.FindingOther,
			topics.CauseUnknown, "", false},
		{"its policy", topics.Answer{Cause: topics.CausePolicy, Message: "run on the host: x."}, topics.FindingOther, topics.CausePolicy,
			"run on the host: x.", false},
		{"no restic", topics.Answer{Cause: topics.CauseNoRestic, Message: "There is none."}, topics.FindingOther, topics.CauseNoRestic,
			"There is none.", false},
		{"slow", topics.Answer{Cause: topics.CauseSlow, Message: "x"}, topics.FindingOther, topics.CauseUnreachable, "no answer", false},
		{"nothing", topics.Answer{}, topics.FindingOther, topics.CauseUnknown, "cannot be read", false},
	} {
		f, err := test(admin, &c.answer)
		if err != nil || f.State != c.state || f.Cause != c.cause || !strings.Contains(f.Message, c.words) {
			t.Errorf("%s: %+v, %v", c.what, f, err)
		}
		if f.Certificate != nil && (f.Certificate.PEM == certificate) != c.pem {
			t.Errorf("%s: the certificate %q is shown", c.what, f.Certificate.PEM)
		}
	}
	list, err := w.Store.AuditEntries(t.Context(), store.AuditFilter{Action: "query.test"}, 100)
	if err != nil || len(list) != 9 {
		t.Fatalf("%d entries in the audit log, %v", len(list), err)
	}
	if e := list[0]; e.Target != string(attic) || e.Detail != "of rest:https://nas/x" {
		t.Errorf("the audit log says %+v", e)
	}
	if len(w.cache.all) > 0 {
		t.Error("what was found is kept")
	}
}
