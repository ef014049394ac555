package restores

import (
	"context"
	"crypto/sha256"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/hosts"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/store/storetest"
	"github.com/restic-manager/restic-manager/topics"
)

func id(letter string) string { return strings.Repeat(letter, 64) }

// opened is a database with a shared repository, one with a place for each host, and
// snapshots of two hosts in both.
func opened(t *testing.T) *store.Store {
	s := storetest.Open(t, store.Open)
	for _, h := range []topics.HostID{"attic-0001", "cellar-0001"} {
		hash := sha256.Sum256([]byte(h))
		if err := s.AddEnrollToken(t.Context(), store.EnrollToken{ID: "token-" + string(h), KeyHash: hash[:], CreatedBy: "test",
			ExpiresAt: s.Now() + 60_000}); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Enroll(t.Context(), hash[:], store.Host{ID: h, SealKey: []byte("k"), Serial: string(h)}); err != nil {
			t.Fatal(err)
		}
	}
	for r, url := range map[topics.RepositoryID]string{"vault-0001": "rest:https://nas/all", "each-0001": "rest:https://nas/{host}"} {
		if err := s.AddRepository(t.Context(), "test", store.Repository{ID: r, Name: string(r), Location: url},
			store.RepositoryAccess{URL: topics.Secret(url), Password: "correct horse"}); err != nil {
			t.Fatal(err)
		}
		for letter, host := range map[string]string{"a": "attic-0001", "b": "attic-0001", "c": "cellar-0001"} {
			exec(t, s, `INSERT INTO snapshots (repository, id, host, hostname, job, source_group, time, paths, tags, username, tree, original,
				files, bytes, place) VALUES ($1, $2, $3, 'x', 'job', 'group', 1, '["d:\\Data"]', '[]', '', '', '', 1, 1, '')`, r, id(letter), host)
		}
	}
	return s
}

func exec(t *testing.T, s *store.Store, query string, args ...any) {
	t.Helper()
	if err := s.SlotStep(t.Context(), func(tx store.Slots) error {
		ctx, x := tx.Tx()
		_, err := x.ExecContext(ctx, query, args...)
		return err
	}); err != nil {
		t.Fatal(err)
	}
}

func TestWhatIsAskedForIsReadOneWay(t *testing.T) {
	s := opened(t)
	item := func(snapshot string, paths ...string) topics.Item {
		return topics.Item{Snapshot: snapshot, Paths: paths}
	}
	for _, c := range []struct {
		what    string
		o, want topics.Operation
		another bool
	}{
		{"a beginning", topics.Operation{Snapshot: "aaaaaaaa"}, topics.Operation{Snapshot: id("a")}, false},
		{"what nobody knows", topics.Operation{Snapshot: "dddddddd"}, topics.Operation{Snapshot: "dddddddd"}, true},
		{"another host's", topics.Operation{Snapshot: "cccccccc"}, topics.Operation{Snapshot: id("c")}, true},
		{"one item", topics.Operation{Items: []topics.Item{item("aaaaaaaa", "/x")}},
			topics.Operation{Snapshot: id("a"), Paths: []string{"/x"}}, false},
		{"two of one snapshot", topics.Operation{Items: []topics.Item{item("aaaaaaaa", "/x"), item(id("a"), "/y", "/x")}},
			topics.Operation{Snapshot: id("a"), Paths: []string{"/x", "/y"}}, false},
		{"all of one and something of it", topics.Operation{Items: []topics.Item{item("aaaaaaaa", "/x"), item(id("a"))}},
			topics.Operation{Snapshot: id("a")}, false},
		{"two", topics.Operation{Items: []topics.Item{item("aaaaaaaa", "/x"), item("bbbbbbbb", "/y")}},
			topics.Operation{Items: []topics.Item{item(id("a"), "/x"), item(id("b"), "/y")}}, false},
		{"one of another host among them", topics.Operation{Items: []topics.Item{item("aaaaaaaa", "/x"), item("cccccccc", "/y")}},
			topics.Operation{Items: []topics.Item{item(id("a"), "/x"), item(id("c"), "/y")}}, true},
		{"both forms at once", topics.Operation{Snapshot: "aaaaaaaa", Items: []topics.Item{item("bbbbbbbb")}},
			topics.Operation{Snapshot: "aaaaaaaa", Items: []topics.Item{item("bbbbbbbb")}}, false},
		{"paths of Windows", topics.Operation{Snapshot: "aaaaaaaa", Paths: []string{`D:\Data\x y\`, `C:/w`, `e:`, "/d/Data", "rel"}},
			topics.Operation{Snapshot: id("a"), Paths: []string{"/d/Data/x y", "/C/w", "/E", "/d/Data", "rel"}}, false},
	} {
		b, err := Resolve(t.Context(), s, "attic-0001", "vault-0001", c.o)
		if err != nil || string(topics.Encode(b.Operation)) != string(topics.Encode(c.want)) || b.Another("attic-0001") != c.another ||
			b.Place != "" {
			t.Errorf("%s: %s, %t, %q, %v", c.what, topics.Encode(b.Operation), b.Another("attic-0001"), b.Place, err)
		}
	}
	both := topics.Operation{Items: []topics.Item{item("aaaaaaaa", "/x"), item("cccccccc", "/y")}}
	var apart *PlacesError
	if _, err := Resolve(t.Context(), s, "attic-0001", "each-0001", both); !errors.As(err, &apart) {
		t.Errorf("at two places: %v", err)
	}
	b, err := Resolve(t.Context(), s, "attic-0001", "each-0001", topics.Operation{Snapshot: "cccccccc"})
	if err != nil || b.Place != "cellar-0001" {
		t.Errorf("at another's place: %q, %v", b.Place, err)
	}
	if b, err := Resolve(t.Context(), s, "attic-0001", "none-00001", both); err != nil || !b.Unknown {
		t.Errorf("of no repository: %+v, %v", b, err)
	}
}

// A restore that can replace a system takes the host's name; its neighbours do not.
func TestWhatIsConfirmed(t *testing.T) {
	h := store.Host{ID: "attic-0001", Name: "attic"}
	for _, c := range []struct {
		o     topics.Operation
		typed string
		taken bool
	}{
		{topics.Operation{InPlace: true}, "", false},
		{topics.Operation{InPlace: true}, "Attic", false},
		{topics.Operation{InPlace: true}, "attic ", false},
		{topics.Operation{InPlace: true}, "attic", true},
		{topics.Operation{InPlace: true, DryRun: true}, "", true},
		{topics.Operation{Target: "/"}, "", false},
		{topics.Operation{Target: "//"}, "", false},
		{topics.Operation{Target: "/."}, "", false},
		{topics.Operation{Target: "/./"}, "", false},
		{topics.Operation{Target: `C:\`}, "", false},
		{topics.Operation{Target: `c:/`}, "", false},
		{topics.Operation{Target: `//?/C:/`}, "", false},
		{topics.Operation{Target: `//./c:\.`}, "", false},
		{topics.Operation{Target: `//?/C:/back`}, "", true},
		{topics.Operation{Target: "/"}, "attic", true},
		{topics.Operation{Target: "/", DryRun: true}, "", true},
		{topics.Operation{Target: "/back"}, "", true},
		{topics.Operation{Target: `C:\back`}, "", true},
		{topics.Operation{Target: "/back"}, "whatever", true},
		{topics.Operation{}, "", true},
	} {
		var e *ConfirmError
		if err := Confirm(h, c.o, c.typed); (err == nil) != c.taken || err != nil && !errors.As(err, &e) {
			t.Errorf("%+v by %q: %v", c.o, c.typed, err)
		}
	}
}

func TestWhatAnOldAgentIsAskedFor(t *testing.T) {
	can := []topics.Ability{topics.RestoresBaskets}
	able := store.Host{Name: "attic", Can: store.JSON[[]topics.Ability]{V: &can}}
	for what, c := range map[string]struct {
		o     topics.Operation
		taken bool
	}{
		"a plain restore":    {topics.Operation{Snapshot: id("a"), Paths: []string{"/x"}, Target: "/b", Overwrite: "always"}, true},
		"a plain dry run":    {topics.Operation{Snapshot: id("a"), DryRun: true}, true},
		"a basket":           {topics.Operation{Items: []topics.Item{{Snapshot: id("a")}, {Snapshot: id("b")}}}, false},
		"in place":           {topics.Operation{Snapshot: id("a"), InPlace: true}, false},
		"without owners":     {topics.Operation{Snapshot: id("a"), NoOwners: true}, false},
		"what was previewed": {topics.Operation{Snapshot: id("a"), Preview: &topics.Preview{Job: "j"}}, false},
	} {
		var e *OldAgentError
		if err := Able(store.Host{Name: "attic"}, c.o); (err == nil) != c.taken || err != nil && (!errors.As(err, &e) || e.Instead == "") {
			t.Errorf("%s: %v", what, err)
		}
		if err := Able(able, c.o); err != nil {
			t.Errorf("%s of an agent that can: %v", what, err)
		}
	}
}

func TestWhatAnOldResticCannotDo(t *testing.T) {
	for _, c := range []struct {
		version string
		o       topics.Operation
		said    bool
	}{
		{"0.14.0", topics.Operation{Target: "/b"}, true},
		{"0.16.5", topics.Operation{Target: "/b", Overwrite: "if-newer"}, true},
		{"0.16.5", topics.Operation{Target: "/b", Overwrite: "always"}, false},
		{"0.14.0", topics.Operation{Target: "/b", Fresh: true}, false},
		{"0.14.0", topics.Operation{InPlace: true}, true},
		{"0.17.0", topics.Operation{Target: "/b"}, false},
		{"0.18.1", topics.Operation{Target: "/b", Overwrite: "if-newer"}, false},
		{"1.0.0", topics.Operation{Target: "/b"}, false},
		{"", topics.Operation{Target: "/b"}, false},
		{"of later", topics.Operation{Target: "/b"}, false},
	} {
		if text := Limits(store.Host{Name: "attic", ResticVersion: c.version}, c.o); (text != "") != c.said ||
			text != "" && !strings.Contains(text, c.version) {
			t.Errorf("%s %+v: %q", c.version, c.o, text)
		}
	}
}

func TestARestoreSaysWhatItsResticDoesWrong(t *testing.T) {
	fresh := topics.Operation{Target: "/b", Fresh: true}
	for _, c := range []struct {
		version string
		o       topics.Operation
		lines   int
	}{{"0.14.0", topics.Operation{Target: "/b"}, 2}, {"0.14.0", fresh, 1}, {"0.19.1", topics.Operation{Target: "/b"}, 1}, {"0.20.0", fresh, 0},
		{"", topics.Operation{Target: "/b"}, 0}} {
		text := Warnings(store.Host{Name: "attic", ResticVersion: c.version}, c.o)
		if n := len(strings.FieldsFunc(text, func(r rune) bool { return r == '\n' })); n != c.lines ||
			c.lines > 0 && !strings.Contains(text, "restic before 0.20") {
			t.Errorf("%s %+v: %q", c.version, c.o, text)
		}
	}
}

// A dry run is good for the restore that it looked at, for a day, while its host stays where
// it is; else it says why not.
func TestWhenADryRunIsStale(t *testing.T) {
	s := opened(t)
	now := time.UnixMilli(s.Now())
	wish := topics.Operation{Items: []topics.Item{{Snapshot: id("a"), Paths: []string{"/x"}}, {Snapshot: id("b"), Paths: []string{"/y"}}},
		Target: "/back", Overwrite: "never"}
	type circumstances struct {
		dry      topics.Operation
		state    topics.JobState
		host     topics.HostID
		result   string
		ended    time.Time
		wish     Wish
		presence *hosts.Presence
	}
	n := 0
	for _, c := range []struct {
		what   string
		change func(*circumstances)
		why    string // "" is good
	}{
		{"as it was", func(*circumstances) {}, ""},
		{"never, spelt otherwise", func(c *circumstances) { c.wish.Operation.Overwrite = "" }, ""},
		{"with warnings", func(c *circumstances) { c.state = topics.Warnings }, ""},
		{"of a day ago, nearly", func(c *circumstances) { c.ended = now.Add(-Lasts + time.Minute) }, ""},
		{"of a day ago", func(c *circumstances) { c.ended = now.Add(-Lasts - time.Minute) }, "older than a day"},
		{"of another host", func(c *circumstances) { c.host = "cellar-0001" }, "another host"},
		{"of another repository", func(c *circumstances) { c.wish.Repository = "each-0001" }, "another repository"},
		{"at another place", func(c *circumstances) { c.wish.Place = "cellar-0001" }, "another repository"},
		{"running", func(c *circumstances) { c.state, c.ended = topics.Running, time.Time{} }, "not ended"},
		{"failed", func(c *circumstances) { c.state = topics.Failed }, "it failed"},
		{"cancelled", func(c *circumstances) { c.state = topics.Cancelled }, "was cancelled"},
		{"that was none", func(c *circumstances) { c.dry.DryRun = false }, "no dry run"},
		{"other paths", func(c *circumstances) { c.wish.Operation.Items[1].Paths = []string{"/z"} }, "selection was changed"},
		{"fewer items", func(c *circumstances) { c.wish.Operation.Items = c.wish.Operation.Items[:1] }, "selection was changed"},
		{"another snapshot", func(c *circumstances) { c.wish.Operation.Items[1].Snapshot = id("c") }, "selection was changed"},
		{"another target", func(c *circumstances) { c.wish.Operation.Target = "/back2" }, "target was changed"},
		{"in place", func(c *circumstances) { c.wish.Operation.InPlace, c.wish.Operation.Target = true, "" }, "target was changed"},
		{"over files", func(c *circumstances) { c.wish.Operation.Overwrite = "always" }, "What happens to files"},
		{"without owners", func(c *circumstances) { c.wish.Operation.NoOwners = true }, "owners"},
		{"of an older agent", func(c *circumstances) { c.result = `{"restore":{"files":1,"bytes":1}}` }, "did not say what it saw"},
		{"the host was away", func(c *circumstances) { c.wish.Host.BackAt = now.UnixMilli() }, "was offline since"},
		{"the host was away before", func(c *circumstances) { c.wish.Host.BackAt = now.Add(-2 * time.Hour).UnixMilli() }, ""},
		{"the host is away", func(c *circumstances) {
			c.presence = hosts.NewPresence(hosts.Timing{Fresh: time.Minute}, func() time.Time { return now.Add(time.Hour) }, nil)
		}, "went offline"},
		{"a snapshot is gone", func(*circumstances) {
			exec(t, s, `UPDATE snapshots SET gone_at = 5 WHERE id = $1`, id("b"))
		}, "is gone"},
	} {
		n++
		job := topics.JobID("20260101-dry-" + string(rune('a'+n/10)) + string(rune('a'+n%10)))
		x := circumstances{dry: wish, state: topics.Succeeded, host: "attic-0001", ended: now.Add(-time.Hour),
			result: `{"restore":{"matched":1,"digest":"` + id("d") + `"}}`,
			wish:   Wish{Host: store.Host{ID: "attic-0001", Name: "attic"}, Repository: "vault-0001", Operation: wish, DryRun: job}}
		x.dry.DryRun = true
		x.wish.Operation.Items = []topics.Item{wish.Items[0], wish.Items[1]}
		c.change(&x)
		exec(t, s, `INSERT INTO jobs (id, host, kind, source_group, repository, operation, state, requested_by, queued_at, not_after, held,
			schedule, slot, attempt, place, behalf, given_by, finished_at, result) VALUES ($1, $2, 'restore', '', 'vault-0001', $3, $4, 'x', 1, 1,
			false, '', 0, 0, '', '', '', $5, $6)`, job, x.host, string(topics.Encode(x.dry)), x.state, max(0, x.ended.UnixMilli()), x.result)
		p, err := Preview(context.Background(), s, x.presence, now, x.wish)
		var stale *StaleError
		switch {
		case c.why == "" && (err != nil || p.Job != job || p.Digest != id("d")):
			t.Errorf("%s: %+v, %v", c.what, p, err)
		case c.why != "" && (!errors.As(err, &stale) || !strings.Contains(stale.Why, c.why) || !strings.HasSuffix(stale.Why, ".")):
			t.Errorf("%s: %+v, %v", c.what, p, err)
		}
	}

	// A restore takes over the dry run's new folder, if it says none or that one.
	fresh := topics.Operation{Snapshot: id("a"), Target: "/restored/attic-1", Fresh: true, DryRun: true}
	exec(t, s, `UPDATE jobs SET operation = $1 WHERE id = '20260101-dry-ab'`, string(topics.Encode(fresh)))
	for target, want := range map[string]bool{"": true, fresh.Target: true, "/restored/attic-2": false} {
		o, err := Into(t.Context(), s, "20260101-dry-ab", topics.Operation{Snapshot: id("a"), Target: target})
		if err != nil || o.Fresh != want || want && o.Target != fresh.Target || !want && o.Target != target {
			t.Errorf("into %q: %+v, %v", target, o, err)
		}
	}
}
