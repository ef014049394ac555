package restics

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/restic-manager/restic-manager/controlplane/field"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/store/storetest"
	"github.com/restic-manager/restic-manager/topics"
)

const linux = "restic_0.20.0_linux_amd64.bz2"

func sumOf(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

// asked are the updates that were asked for.
type asked map[topics.HostID]topics.Update

func (a asked) AskUpdate(_ context.Context, actor string, host topics.HostID, u topics.Update) (store.Job, bool, error) {
	if open, is := a[host]; is {
		return store.Job{ID: "job-1", Host: host, Kind: topics.UpdateJob,
				Operation: store.JSON[topics.Operation]{V: &topics.Operation{Update: &open}}},
			false, nil
	}
	a[host] = u
	return store.Job{ID: "job-1", Host: host, Kind: topics.UpdateJob, RequestedBy: actor,
		Operation: store.JSON[topics.Operation]{V: &topics.Operation{Update: &u}}}, true, nil
}

func service(t *testing.T) (*Service, asked) {
	t.Helper()
	a := asked{}
	return &Service{Store: storetest.Open(t, store.Open), Dir: t.TempDir(), Jobs: a}, a
}

func (s *Service) put(t *testing.T, name, content string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(s.Dir, name), []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func (s *Service) say(t *testing.T, name string) string {
	t.Helper()
	f, err := s.file(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	return f.Say
}

func TestAFileIsGivenOnceItsChecksumIsConfirmed(t *testing.T) {
	s, _ := service(t)
	ctx := t.Context()
	for name, content := range map[string]string{linux: "one", "README": "x", "restic_0.20.0_windows_amd64.zip": "two",
		SumsName: sumOf("one") + "  " + linux + "\n" + sumOf("other") + "  restic_0.20.0_windows_amd64.zip\n"} {
		s.put(t, name, content)
	}
	if list, err := s.Files(ctx); err != nil || len(list) != 2 || list[0].Good() || list[0].Listed != list[0].SHA256 || list[0].OS != "linux" {
		t.Fatalf("%+v, %v", list, err)
	}
	if _, _, err := s.Open(ctx, linux); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("one that nobody confirmed is given: %v", err)
	}
	for name, c := range map[string]struct{ file, sum, says string }{
		"another":                  {linux, sumOf("evil"), "has another"},
		"half of it":               {linux, sumOf("one")[:32], "64 hexadecimal"},
		"what SHA256SUMS does not": {"restic_0.20.0_windows_amd64.zip", sumOf("two"), "SHA256SUMS"},
	} {
		var wrong field.Errors
		if _, err := s.Pin(ctx, "anna", c.file, c.sum); !errors.As(err, &wrong) || !strings.Contains(wrong["sha256"], c.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, name := range []string{"README", "../" + linux, "restic_9.9.9_linux_amd64", ""} {
		if _, err := s.Pin(ctx, "anna", name, sumOf("one")); !errors.Is(err, ErrNoFile) {
			t.Errorf("%q: %v", name, err)
		}
	}
	if f, err := s.Pin(ctx, "anna", linux, " "+strings.ToUpper(sumOf("one"))+"\n"); err != nil || !f.Good() || f.Pin.PinnedBy != "anna" {
		t.Fatalf("%+v, %v", f, err)
	}
	_, content, err := s.Open(ctx, linux)
	if err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(content); err != nil || string(b) != "one" || content.Close() != nil {
		t.Errorf("%q, %v", b, err)
	}
	s.put(t, linux, "changed")
	if _, _, err := s.Open(ctx, linux); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(s.say(t, linux), "another file") {
		t.Errorf("one that was exchanged is given: %v, %q", err, s.say(t, linux))
	}
	if err := os.Remove(filepath.Join(s.Dir, linux)); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(s.say(t, linux), "no more") {
		t.Error(s.say(t, linux))
	}
	if err := s.Unpin(ctx, "anna", linux); err != nil {
		t.Fatal(err)
	}
	if err := s.Unpin(ctx, "anna", linux); !errors.Is(err, ErrNoFile) {
		t.Error(err)
	}
}

func host(name string, change func(*store.Host)) store.Host {
	h := store.Host{ID: topics.HostID(name + "-0001"), Name: name, OS: "linux", Arch: "amd64", AgentVersion: "1.0.0", ResticVersion: "0.14.0"}
	h.Can.V = &[]topics.Ability{topics.FetchesRestic}
	h.Updates.V = &topics.Updates{OS: "linux", Arch: "amd64", Restic: &topics.ResticFetching{Allowed: true}}
	change(&h)
	return h
}

func TestOnlyHostsThatMayAreAsked(t *testing.T) {
	s, jobs := service(t)
	ctx := t.Context()
	s.put(t, linux, "one")
	sum := sumOf("one")
	want := Want{Version: "0.20.0"}
	var wrong field.Errors
	good := host("attic", func(*store.Host) {})
	if _, err := s.Fetch(ctx, "anna", []store.Host{good}, want); !errors.As(err, &wrong) || wrong["version"] == "" {
		t.Errorf("one that nobody confirmed: %v", err)
	}
	if _, err := s.Pin(ctx, "anna", linux, sum); err != nil {
		t.Fatal(err)
	}
	for name, w := range map[string]Want{"nothing": {}, "both": {Version: "0.20.0", Back: true}, "what is not here": {Version: "0.21.0"}} {
		if _, err := s.Fetch(ctx, "anna", []store.Host{good}, w); !errors.As(err, &wrong) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := s.Fetch(ctx, "anna", nil, want); !errors.As(err, &wrong) {
		t.Errorf("nobody: %v", err)
	}
	restic := func(h *store.Host) *topics.ResticFetching { return h.Updates.V.Restic }
	for name, c := range map[string]struct {
		change func(*store.Host)
		w      Want
		why    string
	}{
		"an old agent":                   {func(h *store.Host) { h.Can.V = nil }, want, "too old to fetch"},
		"no policy":                      {func(h *store.Host) { restic(h).Allowed = false }, want, "policy lets its agent fetch no restic"},
		"other checksums":                {func(h *store.Host) { restic(h).Sums = []string{sumOf("x")} }, want, "names which files"},
		"its checksum":                   {func(h *store.Host) { restic(h).Sums = []string{sum} }, want, ""},
		"another system":                 {func(h *store.Host) { h.OS = "windows" }, want, "for windows on amd64"},
		"a newer one there":              {func(h *store.Host) { h.ResticVersion = "0.21.0" }, want, "which is newer"},
		"older on purpose":               {func(h *store.Host) { h.ResticVersion = "0.21.0" }, Want{Version: "0.20.0", Older: true}, ""},
		"has it":                         {func(h *store.Host) { restic(h).Fetched = sum }, want, "uses that one already"},
		"retired":                        {func(h *store.Host) { h.RetiredAt = 1 }, want, "retired"},
		"not trusted":                    {func(h *store.Host) { h.RevokedAt = 1 }, want, "not trusted"},
		"all is well":                    {func(*store.Host) {}, want, ""},
		"back":                           {func(h *store.Host) { restic(h).Fetched = sum }, Want{Back: true}, ""},
		"back from one that is not used": {func(h *store.Host) { restic(h).Why = "it is not what it was" }, Want{Back: true}, ""},
		"more checksums than it tells": {func(h *store.Host) { restic(h).Sums = slices.Repeat([]string{sumOf("x")}, topics.MaxSums) },
			want, ""},
		"back from nothing": {func(*store.Host) {}, Want{Back: true}, "nothing to go back from"},
	} {
		t.Run(name, func(t *testing.T) {
			clear(jobs)
			h := host("attic", c.change)
			list, err := s.Fetch(ctx, "anna", []store.Host{h}, c.w)
			if err != nil || len(list) != 1 {
				t.Fatalf("%+v, %v", list, err)
			}
			u, is := jobs[h.ID]
			if is != (c.why == "") || !strings.Contains(list[0].Why, c.why) || (list[0].Job.ID == "") == is {
				t.Fatalf("%+v, asked for %+v", list[0], u)
			}
			if is && (u.Restic.Back != c.w.Back || !c.w.Back && (u.Restic.SHA256 != sum || u.Restic.Size != 3 || u.Restic.Older != c.w.Older)) {
				t.Errorf("%+v", u.Restic)
			}
			if o := (topics.Operation{Update: &u}); is && o.Check(topics.UpdateJob) != nil {
				t.Errorf("it is no job: %v", o.Check(topics.UpdateJob))
			}
		})
	}
	clear(jobs)
	for i, why := range []string{"", "", "told to use another restic already"} {
		w := want
		w.Older = i == 2
		if list, err := s.Fetch(ctx, "anna", []store.Host{good}, w); err != nil || list[0].Why == "" != (why == "") ||
			!strings.Contains(list[0].Why, why) {
			t.Errorf("asked again: %+v, %v", list, err)
		}
	}
}

func TestWhichHostsAreMeant(t *testing.T) {
	list := []store.Host{host("attic", func(h *store.Host) { h.Tags = store.List{"site=berlin"} }), host("barn", func(*store.Host) {}),
		host("gone", func(h *store.Host) { h.RetiredAt = 1 })}
	for _, c := range []struct {
		which Which
		n     int
	}{{Which{Host: "attic"}, 1}, {Which{Host: "barn-0001"}, 1}, {Which{Host: "gone"}, 1}, {Which{All: true}, 2},
		{Which{Tag: "site=berlin"}, 1}, {Which{Host: "nobody"}, 0}, {Which{Tag: "x"}, 0}} {
		if got, err := Wanted(list, c.which); err != nil || len(got) != c.n {
			t.Errorf("%+v: %d hosts, %v", c.which, len(got), err)
		}
	}
	// Nobody means all by naming none.
	for _, which := range []Which{{}, {Host: "attic", All: true}, {Tag: "site=berlin", All: true}} {
		if _, err := Wanted(list, which); !errors.As(err, new(field.Errors)) {
			t.Errorf("%+v: %v", which, err)
		}
	}
}
