package store

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/restic-manager/restic-manager/store/keyring"
	"github.com/restic-manager/restic-manager/store/mark"
	"github.com/restic-manager/restic-manager/store/restored"
)

// copied is a control plane with somebody of each kind, and a copy of it.
func copied(t *testing.T) (s *Store, key, file string) {
	t.Helper()
	s, ctx := open(t), t.Context()
	enrolled(t, s, "attic")
	for _, u := range []User{{ID: "u-anna", Name: "anna", Role: Admin, PasswordHash: "x"}, {ID: "u-bert", Name: "bert", Role: Operator,
		PasswordHash: "x"}, {ID: "u-carl", Name: "carl", Role: Operator, PasswordHash: "x", DisabledAt: 0}} {
		if err := s.AddUser(ctx, "test", u); err != nil {
			t.Fatal(err)
		}
	}
	disabled := true
	if _, _, err := s.ChangeUser(ctx, "test", "u-carl", UserChange{Disabled: &disabled}); err != nil {
		t.Fatal(err)
	}
	by := Maker{Name: "anna"}
	must(s.AddAPIToken(ctx, by, APIToken{ID: "t-1", Name: "ci", Role: Viewer, KeyHash: []byte("k")}))
	if err := s.AddMQTTUser(ctx, by, MQTTUser{Name: "home", KeyHash: []byte("k")}); err != nil {
		t.Fatal(err)
	}
	if err := s.Copying(ctx, "test", "file"); err != nil {
		t.Fatal(err)
	}
	file = filepath.Join(t.TempDir(), "copy.db")
	if err := s.CopyInto(ctx, file); err != nil {
		t.Fatal(err)
	}
	return s, keyring.Beside(s.dir), file
}

func TestARestoredControlPlaneTrustsNobodyUnasked(t *testing.T) {
	lost, key, file := copied(t)
	ctx, dir := t.Context(), filepath.Join(t.TempDir(), "data")
	was := must(lost.PlaneOf(ctx))
	made := must(RestoreFrom(ctx, Restoring{Copy: file, Data: dir, Key: keyring.Source{File: key}, Actor: "cli",
		Link: PasswordLink{KeyHash: []byte("link"), ExpiresAt: 1 << 60}}))
	if made.Admin != "anna" || made.Epoch <= was.Epoch || made.LostFrom != was.CopiedAt || made.LostFrom == 0 {
		t.Errorf("it is %+v, after %+v", made, was)
	}
	s := must(Open(ctx, dir, key))
	defer s.Close()
	var asked []string
	for _, q := range must(s.Questions(ctx)) {
		if q.AnsweredAt == 0 {
			asked = append(asked, q.Kind+" "+q.Name)
		}
	}
	slices.Sort(asked)
	if want := []string{"consumer home", "host attic", "token ci", "user bert"}; !slices.Equal(asked, want) {
		t.Errorf("asked about are %q, want %q", asked, want)
	}
	can := func(name string) bool { return must(s.UserByName(ctx, name)).DisabledAt == 0 }
	if !can("anna") || can("bert") || can("carl") {
		t.Errorf("anna may sign in: %v, bert: %v, carl: %v", can("anna"), can("bert"), can("carl"))
	}
	if u := must(s.UserByName(ctx, "anna")); u.PasswordHash != "" {
		t.Error("a password of the copy, which may be an old one, still lets the administrator in")
	}
	if _, err := s.APITokenByHash(ctx, []byte("k")); !errors.Is(err, ErrUnconfirmed) {
		t.Errorf("the token: %v", err)
	}
	held := must(s.UnconfirmedHosts(ctx))
	host := must(s.HostByName(ctx, "attic"))
	if !held[host.ID] || host.Restoring != made.Epoch {
		t.Errorf("held are %v; the host is restoring %d", held, host.Restoring)
	}
	if m := must(mark.Read(mark.Path(dir, key))); m.Epoch != made.Epoch {
		t.Errorf("the mark has the epoch %d, want %d", m.Epoch, made.Epoch)
	}

	// Answers: what they mean, and that each is given once.
	answer := func(kind, id string, yes bool, want int) {
		t.Helper()
		if n := must(s.Answer(ctx, "anna", []restored.Question{{Kind: kind, ID: id}}, yes)); n != want {
			t.Errorf("%s %s: %d answers, want %d", kind, id, n, want)
		}
	}
	answer(restored.User, "u-bert", true, 1)
	answer(restored.User, "u-bert", false, 0)
	answer(restored.User, "u-carl", true, 0) // he was disabled in the copy
	answer(restored.Token, "t-1", true, 1)
	answer(restored.Consumer, "home", false, 1)
	answer(restored.Host, string(host.ID), false, 1)
	if !can("bert") || can("carl") {
		t.Errorf("bert may sign in: %v, carl: %v", can("bert"), can("carl"))
	}
	if _, err := s.APITokenByHash(ctx, []byte("k")); err != nil {
		t.Errorf("the token, confirmed: %v", err)
	}
	if _, err := s.MQTTUser(ctx, "home"); !errors.Is(err, ErrNotFound) {
		t.Errorf("the consumer, refused: %v", err)
	}
	if h := must(s.Host(ctx, host.ID)); h.RevokedAt == 0 {
		t.Error("a host that was refused is trusted")
	}
	for _, action := range []string{"plane.restored", "user.confirmed", "host.refused", "host.revoked", "token.confirmed",
		"consumer.refused"} {
		if list := must(s.AuditEntries(ctx, AuditFilter{Action: action}, 1)); len(list) != 1 {
			t.Errorf("there is no entry %s in the audit log", action)
		}
	}
}

// TestWhoeverIsAskedAboutIsAskedAgainWhenACopyOfThatIsRestored restores twice in a row:
// whoever had no answer yet is not disabled for good, and somebody whom the copy has as
// disabled can be the one who answers.
func TestWhoeverIsAskedAboutIsAskedAgainWhenACopyOfThatIsRestored(t *testing.T) {
	_, key, file := copied(t)
	ctx := t.Context()
	restore := func(file, admin string) *Store {
		t.Helper()
		dir := filepath.Join(t.TempDir(), "data")
		made, err := RestoreFrom(ctx, Restoring{Copy: file, Data: dir, Key: keyring.Source{File: key}, Actor: "cli", Admin: admin,
			Link: PasswordLink{KeyHash: []byte(dir), ExpiresAt: 1 << 60}})
		if err != nil || admin != "" && made.Admin != admin {
			t.Fatalf("restored for %q: %v", made.Admin, err)
		}
		s := must(Open(ctx, dir, key))
		t.Cleanup(func() { _ = s.Close() })
		return s
	}
	asked := func(s *Store) (open []string) {
		for _, q := range must(s.Questions(ctx)) {
			if q.Kind == restored.User && q.AnsweredAt == 0 {
				open = append(open, q.ID)
			}
		}
		return open
	}
	first := restore(file, "")
	if err := first.AddUser(ctx, "test", User{ID: "u-dora", Name: "dora", Role: Admin, PasswordHash: "x"}); err != nil {
		t.Fatal(err)
	}
	if _, err := first.Answer(ctx, "anna", []restored.Question{{Kind: restored.User, ID: "u-carl"}}, true); err != nil {
		t.Fatal(err)
	}
	again := filepath.Join(t.TempDir(), "again.db")
	if err := errors.Join(first.Copying(ctx, "test", again), first.CopyInto(ctx, again)); err != nil {
		t.Fatal(err)
	}
	second := restore(again, "dora")
	if got := asked(second); !slices.Equal(got, []string{"u-anna", "u-bert"}) {
		t.Errorf("asked about are %v", got)
	}
	last := filepath.Join(t.TempDir(), "last.db")
	if err := second.CopyInto(ctx, last); err != nil {
		t.Fatal(err)
	}
	third := restore(last, "anna") // who has no answer in this copy, and is disabled for that
	if u := must(third.UserByName(ctx, "anna")); u.DisabledAt != 0 {
		t.Error("whoever was named cannot sign in")
	}
	if got := asked(third); !slices.Equal(got, []string{"u-bert", "u-dora"}) {
		t.Errorf("asked about are %v", got)
	}
}

// TestWhatCannotBeRestoredIsRefusedAndNothingIsChanged: the directory is as it was.
func TestWhatCannotBeRestoredIsRefusedAndNothingIsChanged(t *testing.T) {
	lost, key, file := copied(t)
	newer := filepath.Join(t.TempDir(), "newer.db")
	if err := lost.CopyInto(t.Context(), newer); err != nil {
		t.Fatal(err)
	}
	db := must(dial(newer, 1))
	must(db.Exec(`INSERT INTO goose_db_version (version_id, is_applied) VALUES (9999, 1)`))
	db.Close()
	cut := filepath.Join(t.TempDir(), "cut.db")
	whole := must(os.ReadFile(file))
	if err := os.WriteFile(cut, whole[:len(whole)/2], 0o600); err != nil {
		t.Fatal(err)
	}
	text := filepath.Join(t.TempDir(), "text.db")
	if err := os.WriteFile(text, []byte(strings.Repeat("no database ", 1000)), 0o600); err != nil {
		t.Fatal(err)
	}
	other := filepath.Join(t.TempDir(), "other.key")
	if err := keyring.NewFile(other); err != nil {
		t.Fatal(err)
	}
	second := must(Open(t.Context(), filepath.Join(t.TempDir(), "second"), ""))
	second.Close()
	for what, c := range map[string]struct {
		r    Restoring
		want error
	}{
		"a database is there":   {Restoring{Copy: file, Data: second.dir, Key: keyring.Source{File: key}}, ErrOccupied},
		"of a newer version":    {Restoring{Copy: newer, Key: keyring.Source{File: key}}, ErrNoCopy},
		"cut short":             {Restoring{Copy: cut, Key: keyring.Source{File: key}}, ErrNoCopy},
		"not a database":        {Restoring{Copy: text, Key: keyring.Source{File: key}}, ErrNoCopy},
		"no key":                {Restoring{Copy: file}, keyring.ErrKey},
		"another key":           {Restoring{Copy: file, Key: keyring.Source{File: other}}, keyring.ErrKey},
		"no such administrator": {Restoring{Copy: file, Key: keyring.Source{File: key}, Admin: "bert"}, ErrWhichAdmin},
	} {
		t.Run(what, func(t *testing.T) {
			if c.r.Data == "" {
				c.r.Data = filepath.Join(t.TempDir(), "data")
			}
			before := listing(c.r.Data)
			_, err := RestoreFrom(context.Background(), c.r)
			if !errors.Is(err, c.want) {
				t.Errorf("%v, want %v", err, c.want)
			}
			if after := listing(c.r.Data); !slices.Equal(before, after) {
				t.Errorf("%q before, %q after", before, after)
			}
		})
	}
	// With the explicit word the one that is there is put aside, and stays.
	made, err := RestoreFrom(t.Context(), Restoring{Copy: file, Data: second.dir, Key: keyring.Source{File: key}, Replace: true,
		Mark: filepath.Join(t.TempDir(), "mark"), Link: PasswordLink{KeyHash: []byte("link"), ExpiresAt: 1 << 60}})
	if err != nil || made.Admin != "anna" || !slices.ContainsFunc(listing(second.dir), func(n string) bool {
		return strings.HasPrefix(n, fileName+".replaced-")
	}) {
		t.Errorf("replaced: %+v, %v, %q", made, err, listing(second.dir))
	}
}

// listing is what lies in a directory, but for an empty one that was made.
func listing(dir string) (names []string) {
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}
