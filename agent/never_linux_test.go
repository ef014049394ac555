package agent

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/restic-manager/restic-manager/agent/process"
	"github.com/restic-manager/restic-manager/e2e/resticrepo"
	"github.com/restic-manager/restic-manager/location"
	"github.com/restic-manager/restic-manager/patterns"
	"github.com/restic-manager/restic-manager/topics"
)

// TestWhatNoBackupSavesIsFoundUnderEveryName spells the repository and the sources in
// all the ways that lead to the same directory, and has the neighbours that do not.
func TestWhatNoBackupSavesIsFoundUnderEveryName(t *testing.T) {
	top, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	at := func(name string) string { return filepath.Join(top, name) }
	for _, dir := range []string{"src/repo/data", "src/repo2/data", "src/[odd]*?dir", "state/tmp", "other/mnt", "other/part",
		"src/mnt", "disk/data/00", "disk/photos/data", "disk/lost+found"} {
		if err := os.MkdirAll(at(dir), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for link, to := range map[string]string{"link": "src/repo", "srclink": "src", "src/statelink": "state"} {
		if err := os.Symlink(at(to), at(link)); err != nil {
			t.Fatal(err)
		}
	}
	bound := true
	for from, to := range map[string]string{"src/repo": "other/mnt", "src/repo/data": "other/part"} {
		if err := unix.Mount(at(from), at(to), "", unix.MS_BIND, ""); err != nil {
			t.Logf("nothing may be mounted twice here (%v)", err)
			bound = false
			continue
		}
		t.Cleanup(func() { _ = unix.Unmount(at(to), unix.MNT_DETACH) })
	}
	for _, c := range []struct {
		is         string
		repository string
		sources    []string
		out        []string // below the sources
		holds      string   // the source that is one of them
		binds      bool
	}{
		{"below its source", at("src/repo"), []string{"src"}, []string{"src/repo"}, "", false},
		{"with a slash at its end", at("src/repo") + "/", []string{"src"}, []string{"src/repo"}, "", false},
		{"as local:", "local:" + at("src/repo"), []string{"src"}, []string{"src/repo"}, "", false},
		{"with dots", at("src/repo2/../repo"), []string{"src"}, []string{"src/repo"}, "", false},
		{"through a link", at("link"), []string{"src"}, []string{"src/repo"}, "", false},
		{"of a source that was a link", at("srclink/repo"), []string{"src"}, []string{"src/repo"}, "", false},
		{"through rclone", "rclone:local:" + at("src/repo"), []string{"src"}, nil, "", false}, // a remote that may be called so
		{"not there yet", at("src/new/repo"), []string{"src"}, []string{"src/new/repo"}, "", false},
		{"of several sources", at("src/repo"), []string{"other/part2", "src", "src/repo2"}, []string{"src/repo"}, "", false},
		{"a name that is a pattern", at("src/[odd]*?dir"), []string{"src"}, []string{"src/[odd]*?dir"}, "", false},
		{"another one", at("elsewhere"), []string{"src"}, nil, "", false},
		{"one whose name only begins so", at("src/repo"), []string{"src/repo2"}, nil, "", false},
		{"on a server", "rest:http://localhost:8000/", []string{"src"}, nil, "", false},
		{"the source itself", at("src/repo"), []string{"src/repo"}, nil, "src/repo", false},
		{"a source inside it", at("src/repo"), []string{"src/repo/data"}, nil, "src/repo/data", false},
		{"the source itself, through a link", at("link"), []string{"src/repo"}, nil, "src/repo", false},
		{"a disk with other files", at("disk"), []string{"disk/photos", "src"}, nil, "", false},
		{"a part of it", at("disk"), []string{"disk/data/00"}, nil, "disk/data/00", false},
		{"the disk itself", at("disk"), []string{"disk"}, []string{"disk/config", "disk/data", "disk/index", "disk/keys", "disk/locks",
			"disk/snapshots"}, "", false},
		{"the agent's files", at("elsewhere"), []string{"."}, []string{"elsewhere", "state"}, "", false},
		{"a source in the agent's files", at("elsewhere"), []string{"state/tmp"}, nil, "state/tmp", false},
		{"mounted a second time", at("src/repo"), []string{"other"}, []string{"other/mnt", "other/part"}, "", true},
		{"reached by its second mount", at("other/mnt"), []string{"src"}, []string{"src/repo"}, "", true},
		{"the source is its second mount", at("src/repo"), []string{"other/mnt"}, nil, "other/mnt", true},
		{"the source is the mount of a part of it", at("src/repo"), []string{"other/part"}, nil, "other/part", true},
	} {
		if c.binds && !bound {
			continue
		}
		address, err := location.ParseHere(c.repository)
		if err != nil {
			t.Fatal(err)
		}
		all := ownDirectories(at("state"), []string{at("state/tmp")}, address)
		var sources []string
		for _, s := range c.sources {
			sources = append(sources, at(s))
			if _, ours := holds(all, at(s)); ours != (c.holds == s) {
				t.Errorf("%s: the source %s is one of them: %t", c.is, s, ours)
			}
		}
		if c.holds != "" {
			continue
		}
		out := leftOut(all, sources)
		var got, want []string
		for _, o := range out {
			got = append(got, o.Path)
		}
		for _, o := range c.out {
			want = append(want, at(o))
		}
		slices.Sort(got)
		if !slices.Equal(got, want) && !(c.is == "the agent's files" && len(got) >= 2 && slices.Contains(got, want[1])) {
			t.Errorf("%s: left out %q, want %q", c.is, got, want)
		}
		// What a group takes in again stays out, and nothing beside it goes with it.
		excludes := patterns.Parse(append([]string{"!" + at("src/repo")}, never(out)...), false)
		for _, o := range c.out {
			if excludes.Excludes(at(o)) == "" || excludes.Excludes(filepath.Join(filepath.Dir(at(o)), "beside")) != "" ||
				excludes.Excludes(at("disk/photos/data")) != "" {
				t.Errorf("%s: %q does not leave out %s alone", c.is, never(out), o)
			}
		}
	}
}

// TestARepositoryBelowItsSourceDoesNotBackUpItself runs four backups by every spelling:
// the repository does not grow, its files and the agent's keys are in no snapshot.
func TestARepositoryBelowItsSourceDoesNotBackUpItself(t *testing.T) {
	w := newWorld(t)
	w.enroll()
	w.manage()
	w.run()
	at := func(name string) string { return filepath.Join(w.folder, name) }
	w.write("src/letter.txt", strings.Repeat("dear reader, ", 1000))
	w.write("alone/.keep", "")
	if err := os.Remove(at("alone/.keep")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(at("src"), at("link")); err != nil {
		t.Fatal(err)
	}
	plain := func(repository string, args ...string) string {
		cmd := exec.Command("restic", args...)
		cmd.Env = append(process.Inherited(), "RESTIC_REPOSITORY="+repository, "RESTIC_PASSWORD="+vaultPassword,
			"RESTIC_CACHE_DIR="+filepath.Join(t.TempDir(), "cache"))
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("restic %v: %v\n%s", args, err, out)
		}
		return string(out)
	}
	size := func(dir string) (bytes int64) {
		_ = filepath.Walk(dir, func(_ string, info os.FileInfo, err error) error {
			if err == nil && info.Mode().IsRegular() {
				bytes += info.Size()
			}
			return nil
		})
		return bytes
	}
	for n, c := range []struct {
		url, place, source string
		state              topics.JobState
		cause              topics.Cause
		says               string
	}{
		{at("src/repo"), "src/repo", "src", topics.Succeeded, "", ""},
		{"local:" + at("link/again"), "src/again", "src", topics.Succeeded, "", ""},
		{at("src/all"), "src/all", ".", topics.Succeeded, "", ""}, // with the agent's state
		{at("alone/repo"), "alone/repo", "alone", topics.Warnings, topics.CauseEmptySource, "holds nothing but"},
		{at("src/itself"), "src/itself", "src/itself", topics.Failed, topics.CauseUsage, "no backup saves that"},
	} {
		if err := resticrepo.Make(at(c.place), vaultPassword); err != nil {
			t.Fatal(err)
		}
		run := w.backup()
		run.Repository.URL = topics.Secret(c.url)
		run.Group = topics.SourceGroup{ID: topics.SourceGroupID(fmt.Sprintf("group-own-%d", n)), Paths: []string{at(c.source)}}
		var first int64
		for round := range 4 {
			id := w.order(run)
			end := w.awaitEnd(id)
			_, log, _ := w.job(id)
			if end.State != c.state || end.Cause != c.cause || !strings.Contains(end.Message, c.says) {
				t.Fatalf("%s: %s %q %q, want %s %q\n%s", c.url, end.State, end.Cause, end.Message, c.state, c.cause, strings.Join(log, "\n"))
			}
			if c.state == topics.Failed {
				break
			}
			if !end.Summary.LeavesRepository() || !strings.Contains(strings.Join(log, "\n"), "the repository that this backup goes into") {
				t.Errorf("%s: it is not said that the repository is left out: %+v\n%s", c.url, end.Summary, strings.Join(log, "\n"))
			}
			if round == 0 {
				first = size(at(c.place))
			}
		}
		if c.state == topics.Failed {
			continue
		}
		if now := size(at(c.place)); now > first+first/2+16<<10 {
			t.Errorf("%s: it grew from %d to %d bytes in four runs", c.url, first, now)
		}
		for _, line := range strings.Split(plain(at(c.place), "find", "--json", "identity.json", "config", "*.db", "keys"), "\n") {
			if strings.Contains(line, filepath.Join(w.folder, c.place)+"/") || strings.Contains(line, w.state+"/") {
				t.Errorf("%s: a snapshot holds %s", c.url, line)
			}
		}
	}
}
