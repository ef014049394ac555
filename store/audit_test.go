package store

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/store/chain"
)

// said fills the log with n entries of several people.
func said(t testing.TB, s *Store, n int) chain.Head {
	t.Helper()
	tx := must(s.w.Beginx())
	for i := range n {
		ctx := t.Context()
		if i%2 == 0 {
			ctx = WithRemote(ctx, "192.0.2.1")
		}
		if err := s.audit(ctx, tx, []string{"anna", "api:nightly", "plane"}[i%3], "job.queued", fmt.Sprintf("job-%06d", i),
			"a \x00 strange \xff detail"); err != nil {
			t.Fatal(err)
		}
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	return must(s.VerifyAudit(t.Context(), chain.Head{}))
}

func TestWhatAnIntruderDoesToTheAuditLogIsFound(t *testing.T) {
	const n = 12
	s := open(t)
	kept := said(t, s, n)
	if kept.N != n || must(chain.ParseHead(kept.String())).String() != kept.String() {
		t.Fatalf("the head is %s", kept)
	}
	middle := must(s.AuditEntries(t.Context(), AuditFilter{Before: 8}, 1))[0]
	for _, statement := range []string{`UPDATE audit SET detail = 'nothing' WHERE n = 3`, `DELETE FROM audit WHERE n = 12`,
		`DELETE FROM audit`} {
		if _, err := s.w.Exec(statement); err == nil || !strings.Contains(err.Error(), "never changed or removed") {
			t.Errorf("%s: %v", statement, err)
		}
	}
	for _, verb := range []string{"update", "delete"} {
		s.w.MustExec(`DROP TRIGGER audit_keeps_` + verb)
	}
	type attack struct {
		name, do string
		bad      int64
	}
	var attacks []attack
	for i := 1; i <= n; i++ {
		for _, set := range []string{"at = at + 1", "actor = 'eve'", "action = 'job.cancel_asked'", "target = 'job-999999'", "detail = ''",
			"remote = '192.0.2.9'",
			"hash = zeroblob(32)", "hash = X''", "n = n + 1000", "actor = actor || action, action = ''"} {
			attacks = append(attacks, attack{set, fmt.Sprintf(`UPDATE audit SET %s WHERE n = %d`, set, i), int64(i)})
		}
		if i < n {
			attacks = append(attacks, attack{"deletion", fmt.Sprintf(`DELETE FROM audit WHERE n = %d`, i), int64(i)},
				attack{"deletion, numbers closed up", fmt.Sprintf(`DELETE FROM audit WHERE n = %d; UPDATE audit SET n = n - 1 WHERE n > %d`, i, i),
					int64(i)},
				attack{"reordering", fmt.Sprintf(`UPDATE audit SET n = -1 WHERE n = %d; UPDATE audit SET n = %d WHERE n = %d; UPDATE audit
					SET n = %d WHERE n = -1`, i, i, i+1, i+1), int64(i)})
		}
	}
	attacks = append(attacks,
		attack{"one put in between", `UPDATE audit SET n = -n WHERE n > 5; UPDATE audit SET n = 1 - n WHERE n < 0; INSERT INTO audit
			SELECT 6, at, actor, action, target, detail, hash, remote FROM audit WHERE n = 5`, 6},
		attack{"one put at the end", `INSERT INTO audit SELECT 13, at, actor, action, target, detail, hash, remote FROM audit WHERE n = 12`, 13},
		attack{"one put before all", `INSERT INTO audit SELECT 0, at, actor, action, target, detail, hash, remote FROM audit WHERE n = 1`, 1},
		attack{"the end cut off", `DELETE FROM audit WHERE n > 9`, 10},
		attack{"all removed", `DELETE FROM audit`, 1})
	for _, a := range attacks {
		s.w.MustExec(`CREATE TEMP TABLE kept AS SELECT * FROM audit`)
		s.w.MustExec(a.do)
		known := []chain.Head{}
		if a.name == "the end cut off" || a.name == "all removed" {
			if _, err := s.VerifyAudit(t.Context(), chain.Head{}); err != nil {
				t.Errorf("%s: without a head from elsewhere it should look whole: %v", a.name, err)
			}
			known = append(known, kept)
		}
		var broken *chain.Broken
		if _, err := s.VerifyAudit(t.Context(), chain.Head{}, known...); !errors.As(err, &broken) || broken.N != a.bad {
			t.Errorf("%s (%s): %v, want entry %d", a.name, a.do, err, a.bad)
		}
		if from := (chain.Head{N: middle.N, Hash: middle.Hash}); a.bad > middle.N {
			if _, err := s.VerifyAudit(t.Context(), from, known...); !errors.As(err, &broken) || broken.N != a.bad {
				t.Errorf("%s, from entry %d on: %v, want entry %d", a.name, middle.N, err, a.bad)
			}
		}
		s.w.MustExec(`DELETE FROM audit; INSERT INTO audit SELECT * FROM kept; DROP TABLE kept`)
	}
	if head, err := s.VerifyAudit(t.Context(), chain.Head{}, kept); err != nil || head.String() != kept.String() {
		t.Errorf("after all was put back: %s, %v", head, err)
	}
	// All of it written anew, with hashes that fit.
	s.w.MustExec(`UPDATE audit SET detail = 'nothing' WHERE n = 4`)
	var previous []byte
	for _, e := range must(all[AuditEntry](t.Context(), s.w, `SELECT * FROM audit ORDER BY n`)) {
		previous = e.Chain(previous)
		s.w.MustExec(`UPDATE audit SET hash = $1 WHERE n = $2`, previous, e.N)
	}
	if _, err := s.VerifyAudit(t.Context(), chain.Head{}); err != nil {
		t.Errorf("written anew: without a head from elsewhere it should look whole: %v", err)
	}
	var broken *chain.Broken
	if _, err := s.VerifyAudit(t.Context(), chain.Head{}, kept); !errors.As(err, &broken) || broken.N != n {
		t.Errorf("written anew: %v, want entry %d", err, n)
	}
	if _, err := s.VerifyAudit(t.Context(), chain.Head{N: middle.N, Hash: middle.Hash}); !errors.As(err, &broken) || broken.N != middle.N {
		t.Errorf("written anew, from entry %d on: %v", middle.N, err)
	}
}

func TestAHeadIsReadExactly(t *testing.T) {
	hash := strings.Repeat("0a", 32)
	for text, ok := range map[string]bool{
		"0:":                            true,
		"3:" + hash:                     true,
		"":                              false,
		"3":                             false,
		"3:":                            false,
		"-1:" + hash:                    false,
		"3:" + hash + "00":              false,
		"3:" + hash[1:]:                 false,
		"x:" + hash:                     false,
		"3:" + strings.Repeat("zz", 32): false,
	} {
		if h, err := chain.ParseHead(text); (err == nil) != ok || ok && h.String() != text {
			t.Errorf("%q: %v, %v", text, h, err)
		}
	}
}

func TestAuditFiltersNarrowTheList(t *testing.T) {
	s, ctx := open(t), t.Context()
	clock := time.UnixMilli(1_000_000)
	s.now = func() time.Time { return clock }
	for i, e := range []struct{ actor, action, target, detail, remote string }{
		{"anna", "user.created", "u1", "bob as viewer", "192.0.2.1"},
		{"api:nightly", "job.queued", "j1", "backup on h1", ""},
		{"mqtt:home", "job.queued", "j2", "100% of_it", ""},
		{"schedule:every night", "job.queued", "j3", "", ""},
		{"plane", "job.abandoned", "j3", "too late", ""},
		{"cli", "jobless", "x", "", ""},
		{"apiary", "session.began", "u2", "", "2001:db8::1"},
	} {
		clock = time.UnixMilli(1_000_000 + int64(i)*1000)
		if err := s.Audit(WithRemote(ctx, e.remote), e.actor, e.action, e.target, e.detail); err != nil {
			t.Fatal(err)
		}
	}
	for name, c := range map[string]struct {
		f    AuditFilter
		want string
	}{
		"all":              {AuditFilter{}, "7 6 5 4 3 2 1"},
		"people":           {AuditFilter{Kinds: []string{"people"}}, "7 1"},
		"tokens, server":   {AuditFilter{Kinds: []string{"tokens", "server"}}, "6 5 2"},
		"schedules":        {AuditFilter{Kinds: []string{"schedules"}}, "4"},
		"consumers":        {AuditFilter{Kinds: []string{"consumers"}}, "3"},
		"nobody knows":     {AuditFilter{Kinds: []string{"'; DROP TABLE audit"}}, "7 6 5 4 3 2 1"},
		"an actor":         {AuditFilter{Actor: "anna"}, "1"},
		"of jobs":          {AuditFilter{Action: "job"}, "5 4 3 2"},
		"an action":        {AuditFilter{Action: "job.queued"}, "4 3 2"},
		"a target":         {AuditFilter{Target: "j3"}, "5 4"},
		"a time":           {AuditFilter{Since: 1_001_000, Until: 1_003_000}, "3 2"},
		"a text":           {AuditFilter{Text: "backup"}, "2"},
		"signs of LIKE":    {AuditFilter{Text: "0% of_"}, "3"},
		"no sign of LIKE":  {AuditFilter{Text: "b_ckup"}, ""},
		"quotes":           {AuditFilter{Text: `'"?!`}, ""},
		"an address":       {AuditFilter{Text: "2001:db8"}, "7"},
		"a name":           {AuditFilter{Text: "attic", Named: []string{"j2", "u1"}}, "3 1"},
		"a page":           {AuditFilter{Before: 4}, "3 2 1"},
		"news":             {AuditFilter{After: 5}, "7 6"},
		"several at once":  {AuditFilter{Action: "job", Kinds: []string{"server"}, Text: "late"}, "5"},
		"nothing of those": {AuditFilter{Action: "job", Actor: "anna"}, ""},
	} {
		var got []string
		for _, e := range must(s.AuditEntries(ctx, c.f, 100)) {
			got = append(got, fmt.Sprint(e.N))
		}
		if strings.Join(got, " ") != c.want || must(s.AuditCount(ctx, c.f)) != len(got) {
			t.Errorf("%s: entries %v, counted %d, want %s", name, got, must(s.AuditCount(ctx, c.f)), c.want)
		}
	}
	if got := must(s.AuditEntries(ctx, AuditFilter{}, 2)); len(got) != 2 {
		t.Errorf("%d entries, want 2", len(got))
	}
}

func BenchmarkVerify(b *testing.B) {
	s := open(b)
	said(b, s, 100_000)
	for b.Loop() {
		must(s.VerifyAudit(b.Context(), chain.Head{}))
	}
}

func BenchmarkAuditPage(b *testing.B) {
	s := open(b)
	said(b, s, 100_000)
	for name, f := range map[string]AuditFilter{"all": {}, "text": {Text: "nobody says this"}, "people": {Kinds: []string{"people"}}} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				must(s.AuditEntries(b.Context(), f, 50))
				must(s.AuditCount(b.Context(), f))
			}
		})
	}
}
