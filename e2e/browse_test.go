package e2e

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/e2e/world"
)

type filesPage struct {
	Path    string `json:"path"`
	Entries []struct {
		Name   string `json:"name"`
		Path   string `json:"path"`
		Type   string `json:"type"`
		Size   uint64 `json:"size"`
		Mode   uint32 `json:"mode"`
		UID    uint32 `json:"uid"`
		User   string `json:"user"`
		Target string `json:"target"`
		Broken bool   `json:"broken"`
	} `json:"entries"`
	Next   string `json:"next"`
	Cached bool   `json:"cached"`
	Total  int    `json:"total"`
	Host   string `json:"host"`
}

func filesURL(r Repository, snapshot, dir string, more ...string) string {
	q := url.Values{"path": {dir}}
	for i := 0; i < len(more); i += 2 {
		q.Set(more[i], more[i+1])
	}
	return "/api/repositories/" + r.ID + "/snapshots/" + snapshot + "/files?" + q.Encode()
}

type problemJSON struct {
	Cause, Detail, Job string
}

// TestSomebodyBrowsesASnapshot opens folders of a real snapshot, whatever is called how in
// them, and asks in which snapshots a file is.
func TestSomebodyBrowsesASnapshot(t *testing.T) {
	w := NewWorld(t)
	attic := w.StartAgent("attic")
	names := []string{"-option", "<b>html", "two\nlines", "br[a]ck*?", "über", " space "}
	for _, name := range names {
		attic.Write("odd/"+name, "x")
	}
	attic.Write("odd/"+"bad\xff", "x")
	attic.Write("odd/sub/deep.txt", "deep")
	if err := errors.Join(os.Symlink("over -> there", filepath.Join(attic.Home, "odd/link")),
		os.Chmod(filepath.Join(attic.Home, "odd/-option"), 0o755|os.ModeSetuid)); err != nil {
		t.Fatal(err)
	}
	for i := range 600 {
		attic.Write(fmt.Sprintf("many/%04d", i), "")
	}
	vault := attic.Group("all")
	w.AwaitState(attic.Backup("all"), "succeeded")
	attic.Write("odd/über", "longer")
	w.AwaitState(attic.Backup("all"), "succeeded")
	w.AwaitState(attic.Backup("all"), "succeeded")
	snapshots := attic.Snapshots()
	dir := filepath.Join(attic.Home, "odd")

	var page filesPage
	w.API("GET", filesURL(vault, snapshots[0], dir), nil, http.StatusOK, &page)
	if page.Cached || page.Total != len(names)+3 || page.Host != attic.ID || page.Entries[0].Name != "sub" {
		t.Fatalf("%+v", page)
	}
	seen := map[string]int{}
	for i, e := range page.Entries {
		seen[e.Name] = i
	}
	for _, name := range names {
		if i, there := seen[name]; !there || page.Entries[i].Path != filepath.Join(dir, name) || page.Entries[i].Broken {
			t.Errorf("%q is not shown, or not as it is: %+v", name, page.Entries)
		}
	}
	if e := page.Entries[seen["-option"]]; e.Mode != 0o4755 || e.User != "root" && os.Getuid() == 0 {
		t.Errorf("%+v", e)
	}
	if e := page.Entries[seen["link"]]; e.Target != "over -> there" || e.Type != "symlink" {
		t.Errorf("%+v", e)
	}
	if e := page.Entries[seen["bad\ufffd"]]; !e.Broken {
		t.Errorf("a name that is no UTF-8 is not told apart: %+v", page.Entries)
	}

	// Once more from memory, by the beginning of the ID.
	w.API("GET", filesURL(vault, snapshots[0][:8], dir), nil, http.StatusOK, &page)
	if !page.Cached {
		t.Error("it was asked for again")
	}

	// Pages.
	var all []string
	for after, n := "", 0; n < 4; n++ {
		page = filesPage{}
		w.API("GET", filesURL(vault, snapshots[0], filepath.Join(attic.Home, "many"), "after", after), nil, http.StatusOK, &page)
		for _, e := range page.Entries {
			all = append(all, e.Name)
		}
		if after = page.Next; after == "" {
			break
		}
	}
	if len(all) != 600 || all[0] != "0000" || all[599] != "0599" {
		t.Errorf("%d names, from %s to %s", len(all), all[0], all[len(all)-1])
	}

	// What is not there, and what cannot be asked.
	for _, c := range []struct {
		url    string
		status int
		cause  string
	}{
		{filesURL(vault, snapshots[0], "/no/such"), 409, "not-found"},
		{filesURL(vault, snapshots[0], filepath.Join(dir, "-option")), 409, "not-found"},
		{filesURL(vault, strings.Repeat("ab", 32), "/"), 409, "not-found"},
		{filesURL(vault, snapshots[0], "relative"), 422, ""},
		{filesURL(vault, snapshots[0], dir, "after", "nonsense"), 422, ""},
		{filesURL(vault, snapshots[0], dir, "host", "nobody"), 404, ""},
		{filesURL(Repository{ID: "no-such-repository"}, snapshots[0], dir), 404, ""},
	} {
		var p problemJSON
		if w.API("GET", c.url, nil, c.status, &p); p.Cause != c.cause || p.Detail == "" {
			t.Errorf("GET %s: %+v", c.url, p)
		}
	}

	// In which snapshots is it?
	var versions []struct {
		Snapshot string `json:"snapshot"`
		Size     uint64 `json:"size"`
		SameAs   string `json:"same_as"`
	}
	q := url.Values{"path": {filepath.Join(dir, "über")}, "host": {"attic"}}
	w.API("GET", "/api/repositories/"+vault.ID+"/versions?"+q.Encode(), nil, http.StatusOK, &versions)
	if len(versions) != 3 || versions[0].Size != 6 || versions[0].Snapshot != snapshots[0] ||
		versions[1].SameAs != snapshots[0] || versions[2].SameAs != "" || versions[2].Size != 1 {
		t.Errorf("%+v of %v", versions, snapshots)
	}
	q = url.Values{"path": {filepath.Join(dir, "br[a]ck*?")}}
	w.API("GET", "/api/repositories/"+vault.ID+"/versions?"+q.Encode(), nil, http.StatusOK, &versions)
	if len(versions) != 3 || versions[2].SameAs != snapshots[0] {
		t.Errorf("%+v", versions)
	}

	// The same on the command line, by the control plane that runs.
	ls := command(t, exec.Command(program("restic-manager"), "ls", "attic:"+snapshots[2][:8], dir, "--data", w.Data))
	if ls.code != 0 || !strings.Contains(ls.out, "-rwsr-xr-x") || !strings.Contains(ls.out, "link -> over -> there") ||
		strings.Contains(ls.out, "two\nlines") || !strings.HasPrefix(strings.Split(ls.out, "\n")[1], "d") {
		t.Errorf("ls ended with %d: %s%s", ls.code, ls.out, ls.errs)
	}
	v := command(t, exec.Command(program("restic-manager"), "versions", "attic", filepath.Join(dir, "über"), "--data", w.Data))
	if v.code != 0 ||
		strings.Count(v.out, "\n") != 4 || !strings.Contains(v.out, snapshots[2][:16]) {
		t.Errorf("versions ended with %d: %s%s", v.code, v.out, v.errs)
	}
	if ls = command(t, exec.Command(program("restic-manager"), "ls", "attic", "/no/such", "--data", w.Data)); ls.code != 1 ||
		!strings.Contains(ls.errs, "There is no such directory") {
		t.Errorf("ls of nothing ended with %d: %s%s", ls.code, ls.out, ls.errs)
	}

	// Where restores may go to.
	var places struct {
		Path    string `json:"path"`
		Entries []struct {
			Name     string `json:"name"`
			Writable bool   `json:"writable"`
		} `json:"entries"`
		Free *uint64 `json:"free_bytes"`
	}
	own := filepath.Join(attic.State, "restored")
	if err := os.MkdirAll(filepath.Join(own, "earlier"), 0o700); err != nil {
		t.Fatal(err)
	}
	w.API("GET", "/api/hosts/"+attic.ID+"/directories", nil, http.StatusOK, &places)
	if len(places.Entries) != 1 || places.Entries[0].Name != own || !places.Entries[0].Writable {
		t.Errorf("%+v", places)
	}
	w.API("GET", "/api/hosts/"+attic.ID+"/directories?path="+url.QueryEscape(own), nil, http.StatusOK, &places)
	if len(places.Entries) != 1 || places.Entries[0].Name != "earlier" || places.Free == nil || *places.Free == 0 {
		t.Errorf("%+v", places)
	}
	var p problemJSON
	if w.API("GET", "/api/hosts/"+attic.ID+"/directories?path=/etc", nil, 409, &p); p.Cause != "policy" {
		t.Errorf("%+v", p)
	}

	// The audit log says who asked for what, and names no file.
	audit := string(w.request("GET", "/api/audit?limit=1000", nil).body)
	if n := strings.Count(audit, "query.files"); n < 3 || strings.Contains(audit, "/odd") || !strings.Contains(audit, "query.versions") ||
		!strings.Contains(audit, "query.directories") {
		t.Errorf("%d entries about files in %s", n, audit)
	}

	attic.MustStop()
	attic.AwaitOffline()
	w.API("GET", filesURL(vault, snapshots[0], dir), nil, http.StatusOK, &page) // from memory
	if w.API("GET", filesURL(vault, snapshots[1], dir), nil, 409, &p); p.Cause != "offline" {
		t.Errorf("%+v", p)
	}
	w.MustStopCleanly()
	if ls = command(t, exec.Command(program("restic-manager"), "ls", "attic", dir, "--data", w.Data)); ls.code != 1 ||
		!strings.Contains(ls.errs, "The control plane does not run") {
		t.Errorf("ls without a control plane ended with %d: %s%s", ls.code, ls.out, ls.errs)
	}
}

// TestWhoClosesTheTabEndsRestic leaves while restic works, in each way there is, and looks
// whether anything of it is left.
func TestWhoClosesTheTabEndsRestic(t *testing.T) {
	w := NewWorld(t)
	real, err := exec.LookPath("restic")
	if err != nil {
		t.Fatal(err)
	}
	attic := w.Enrol("attic")
	attic.Restic = filepath.Join(w.Dir, "slow")
	script := "#!/bin/sh\ncase \" $* \" in *\" ls \"*) trap '' INT; touch \"$0.runs\"; sleep 300 & wait; sleep 300;; esac\n" +
		"exec " + real + " \"$@\"\n"
	if err := os.WriteFile(attic.Restic, []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	attic.Write("a", "x")
	attic.Start()
	attic.AwaitOnline()
	vault := attic.Group("all")
	w.AwaitState(attic.Backup("all"), "succeeded")
	snapshot := attic.Snapshots()[0]
	ada := w.SignIn()
	ada.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse } // it leads to a listing
	made, err := ada.client.PostForm("http://"+w.HTTP+"/restore/new", url.Values{"snapshot": {vault.ID + "/" + snapshot}})
	if err != nil {
		t.Fatal(err)
	}
	made.Body.Close()
	files := made.Header.Get("Location")
	if !strings.HasSuffix(files, "/files") {
		t.Fatalf("a restore begins at %q: %s", files, made.Status)
	}

	for _, c := range []struct {
		what, url string
		client    *http.Client
		then      func(leave context.CancelFunc)
	}{
		{"the tab is closed", filesURL(vault, snapshot, attic.Home), http.DefaultClient, func(leave context.CancelFunc) { leave() }},
		{"the page of a restore is closed", files + "?path=" + url.QueryEscape(attic.Home), ada.client,
			func(leave context.CancelFunc) { leave() }},
		{"the control plane is killed", filesURL(vault, snapshot, attic.Home), http.DefaultClient, func(context.CancelFunc) { w.KillPlane() }},
	} {
		_ = os.Remove(attic.Restic + ".runs")
		ctx, leave := context.WithCancel(t.Context())
		r, err := http.NewRequestWithContext(ctx, "GET", "http://"+w.HTTP+c.url, nil)
		if err != nil {
			t.Fatal(err)
		}
		if c.client == http.DefaultClient {
			r.Header.Set("Authorization", "Bearer "+w.token)
		}
		gone := make(chan struct{})
		go func() {
			defer close(gone)
			if answer, err := c.client.Do(r); err == nil {
				answer.Body.Close()
			}
		}()
		world.Await(t, "restic to run", func() error {
			_, err := os.Stat(attic.Restic + ".runs")
			return err
		})
		c.then(leave)
		began := time.Now()
		world.Await(t, c.what+", and restic to end", func() error {
			if left := ofQueries(w.Dir); len(left) > 0 {
				return fmt.Errorf("processes %v", left)
			}
			return nil
		})
		took := time.Since(began)
		t.Logf("%s: restic ended after %v", c.what, took.Round(time.Millisecond))
		if took > 20*time.Second { // a second on a machine that does nothing else; a question's own end is at 30
			t.Errorf("%s: restic ended only after %v", c.what, took)
		}
		leave()
		<-gone
		world.Await(t, "its temporary files to go", func() error {
			left, err := filepath.Glob(filepath.Join(attic.State, "tmp", "*"))
			if err != nil || len(left) > 0 {
				return fmt.Errorf("%v %v", left, err)
			}
			return nil
		})
	}
	w.StartPlane()
	attic.AwaitOnline()
	w.MustStopCleanly()
}

// ofQueries lists the processes of jobs and queries below a directory.
func ofQueries(dir string) (pids []string) {
	all, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, path := range all {
		b, err := os.ReadFile(path)
		if err == nil && strings.Contains(string(b), "RESTIC_MANAGER_JOB=") && strings.Contains(string(b), dir) {
			pids = append(pids, filepath.Base(filepath.Dir(path)))
		}
	}
	return pids
}
