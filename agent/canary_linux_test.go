package agent

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/restic-manager/restic-manager/agent/process"
	"github.com/restic-manager/restic-manager/e2e/resticrepo"
	e2e "github.com/restic-manager/restic-manager/e2e/world"
	"github.com/restic-manager/restic-manager/topics"
)

// serveVault has rclone serve a new repository by restic's REST protocol: a host that has
// no policy takes no path.
func serveVault(t *testing.T) (url, dir string) {
	t.Helper()
	dir = t.TempDir()
	if err := resticrepo.Make(dir, vaultPassword); err != nil {
		t.Fatal(err)
	}
	address := e2e.FreeAddress(t)
	server := exec.Command("rclone", "serve", "restic", "--addr", address, dir)
	server.Env = append(process.Inherited(), "RCLONE_CONFIG="+filepath.Join(t.TempDir(), "none"))
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = server.Process.Kill()
		_ = server.Wait()
	})
	await(t, "rclone's server", func() error {
		c, err := net.Dial("tcp", address)
		if err != nil {
			return err
		}
		return c.Close()
	})
	return "rest:http://" + address + "/", dir
}

// TestTheAgentsKeysAreInNoSnapshot backs up what holds the agent's state, by every
// spelling of the state and of the source and under every policy, and looks for the key
// in all that comes out of the snapshots again.
func TestTheAgentsKeysAreInNoSnapshot(t *testing.T) {
	w := newWorld(t)
	folder, err := filepath.EvalSymlinks(w.folder)
	if err != nil {
		t.Fatal(err)
	}
	at := func(name string) string { return filepath.Join(folder, name) }
	name := "agent [a-z]*?" // wildcards, each of which would match the neighbour's
	real := at("tree/var/" + name)
	w.state = real
	for _, dir := range []string{"tree/var", "bound", "parent", "part", "kept", "links", "merged", "upper", "work", "later", "file"} {
		if err := os.MkdirAll(at(dir), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	w.enroll()
	identity, err := LoadIdentity(real)
	if err != nil {
		t.Fatal(err)
	}
	key, err := json.Marshal(identity.TLSKey)
	if err != nil {
		t.Fatal(err)
	}
	canaries := [][]byte{bytes.Trim(key, `"`)[20:80], []byte("a canary in the restored files"), []byte("a canary in the cache")}
	w.write("tree/var/"+name+"/restored/letter", string(canaries[1]))
	w.write("tree/var/"+name+"/cache/old/pack", string(canaries[2]))
	// The neighbours have the names of ours and are saved.
	neighbours := []string{"tree/var/agent a-z1x/identity.json", "tree/other/" + name + "/identity.json", "tree/agent/restored/mine",
		"tree/x/" + markerFile, "tree/marked/" + markerFile, "tree/marked/beside", "links/plain"}
	for _, n := range neighbours {
		w.write(n, "a neighbour's")
	}
	for link, to := range map[string]string{"middle": "tree/var", "end": real, "links/state": real, "links/key": real + "/identity.json"} {
		if !filepath.IsAbs(to) {
			to = at(to)
		}
		if err := os.Symlink(to, at(link)); err != nil {
			t.Fatal(err)
		}
	}
	for _, to := range []string{"links/hard", "kept/hard"} {
		if err := os.Link(filepath.Join(real, "identity.json"), at(to)); err != nil {
			t.Fatal(err)
		}
	}
	w.write("file/key", "")
	whole := []string{"tree", "links", "kept/../tree/var"}
	inside := []string{real, at("end"), at("middle/" + name), "/proc/self/root" + real, fmt.Sprintf("/proc/%d/root%s/", os.Getpid(), real),
		real + "//identity.json", real + "/../" + name, real + "/restored", at("links/state/cache"), at("links/key"), at("kept/hard"),
		"/proc/self/cwd/" + relativeTo(t, real)}
	for _, m := range []struct{ from, to, source string }{
		{real, "bound", ""}, {at("tree/var"), "parent/var", "parent"}, {real + "/restored", "part", ""},
		{real + "/identity.json", "file/key", "file"},
	} {
		if err := os.MkdirAll(at(m.to), 0o700); err != nil && !os.IsExist(err) && m.to != "file/key" {
			t.Fatal(err)
		}
		if err := unix.Mount(m.from, at(m.to), "", unix.MS_BIND, ""); err != nil {
			t.Logf("nothing may be mounted twice here (%v)", err)
			continue
		}
		t.Cleanup(func() { _ = unix.Unmount(at(m.to), unix.MNT_DETACH) })
		if m.source != "" {
			whole = append(whole, m.source)
		} else {
			inside = append(inside, at(m.to))
		}
	}
	// A file system over it numbers its files anew.
	options := fmt.Sprintf("lowerdir=%s,upperdir=%s,workdir=%s", strings.ReplaceAll(at("tree/var"), ":", `\:`), at("upper"), at("work"))
	if err := unix.Mount("overlay", at("merged"), "overlay", 0, options); err != nil {
		t.Logf("nothing may be overlaid here (%v)", err)
	} else {
		t.Cleanup(func() { _ = unix.Unmount(at("merged"), unix.MNT_DETACH) })
		whole = append(whole, "merged")
	}
	copied := "tree/whole copy" // what no identity tells: a copy made while a snapshot of the disk is mounted, say
	if out, err := exec.Command("cp", "-a", real, at(copied)).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}

	url, vault := serveVault(t)
	spellings := []string{real, at("end"), at("middle/" + name), at("tree/./other/..//var/" + name + "/"), at("tree/var/" + name)}
	for n, policy := range []string{PolicyBackup, PolicyRestore, PolicyKeeper, PolicyManaged, ""} {
		if policy == "" {
			if err := os.Remove(filepath.Join(real, policyFile)); err != nil {
				t.Fatal(err)
			}
		} else if err := preset(t, policy, real).Save(real); err != nil {
			t.Fatal(err)
		}
		w.state = spellings[n]
		stop := w.run()
		run := w.backup()
		run.Repository.URL = topics.Secret(url)
		paths := []string{at("kept")}
		for _, p := range whole {
			paths = append(paths, folder+"/"+p)
		}
		run.Group.Paths, run.Group.Excludes = paths, []string{"!identity.json", "!" + real}
		id := w.order(run)
		if end := w.awaitEnd(id); end.State != topics.Succeeded {
			t.Fatalf("%q: %+v\n%s", policy, end, w.log(id))
		}
		for _, path := range inside {
			run.Group.Paths = []string{path}
			id := w.order(run)
			if end := w.awaitEnd(id); end.Snapshot != nil || end.State != topics.Failed {
				t.Errorf("%q: a backup of %s ended %+v\n%s", policy, path, end, w.log(id))
			}
		}
		stop()
	}
	out := filepath.Join(t.TempDir(), "out")
	for i, snapshot := range snapshotsOf(t, vault) {
		to := filepath.Join(out, fmt.Sprint(i))
		plainRestic(t, vault, "restore", snapshot, "--target", to)
		_ = filepath.WalkDir(to, func(path string, d fs.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() {
				return err
			}
			b, err := os.ReadFile(path)
			for _, c := range canaries {
				if err == nil && bytes.Contains(b, c) {
					t.Errorf("snapshot %d holds %q in %s", i, c, path)
				}
			}
			return err
		})
		for _, n := range neighbours {
			if b, err := os.ReadFile(filepath.Join(to, folder, n)); err != nil || string(b) != "a neighbour's" {
				t.Errorf("snapshot %d lacks the neighbour %s: %v", i, n, err)
			}
		}
	}
}

// TestWhatBeginsWhileResticRunsFindsTheMarker mounts and moves the agent's files after
// they were looked for, when restic has its patterns already.
func TestWhatBeginsWhileResticRunsFindsTheMarker(t *testing.T) {
	w := newWorld(t)
	w.enroll()
	w.manage()
	stop := w.run()
	run := w.backup()
	if err := os.MkdirAll(filepath.Join(w.home, "later"), 0o700); err != nil {
		t.Fatal(err)
	}
	w.write("home/other/"+markerFile, "restic-manager-agent of somebody else\n")
	w.write("home/other/mine", "saved")
	w.write("restic.sh.wait", "")
	id := w.order(run)
	await(t, "restic", func() error {
		_, err := os.Stat(w.program + ".waiting")
		return err
	})
	late := "moved"
	if err := unix.Mount(w.state, filepath.Join(w.home, "later"), "", unix.MS_BIND, ""); err != nil {
		t.Logf("nothing may be mounted twice here (%v)", err)
	} else {
		late = "later"
		t.Cleanup(func() { _ = unix.Unmount(filepath.Join(w.home, "later"), unix.MNT_DETACH) })
	}
	if out, err := exec.Command("cp", "-a", w.state, filepath.Join(w.home, "copied")).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if err := os.Remove(w.program + ".wait"); err != nil {
		t.Fatal(err)
	}
	if end := w.awaitEnd(id); end.State != topics.Succeeded {
		t.Fatalf("%+v\n%s", end, w.log(id))
	}
	vault := filepath.Join(w.folder, "repository")
	saved := string(plainRestic(t, vault, "ls", "latest"))
	for _, name := range []string{"identity.json", "policy.json", ".db"} {
		if strings.Contains(saved, name) {
			t.Errorf("what was mounted (%s) or copied while restic ran is in the snapshot:\n%s", late, saved)
		}
	}
	if !strings.Contains(saved, "other/mine") || !strings.Contains(saved, "home/letter.txt") {
		t.Errorf("files beside a marker of somebody else are not saved:\n%s", saved)
	}
	// Without its directory an agent has no policy, and does nothing.
	if err := os.Rename(w.state, w.state+"2"); err != nil {
		t.Fatal(err)
	}
	id = w.order(run)
	if end := w.awaitEnd(id); end.State != topics.Failed || !strings.Contains(end.Message, "is not at "+w.state) {
		t.Errorf("with its state moved away it ended %+v", end)
	}
	if err := os.Rename(w.state+"2", w.state); err != nil {
		t.Fatal(err)
	}
	stop()
}

// TestNoPasswordComesOutOfProc saves what the kernel shows of restic itself.
func TestNoPasswordComesOutOfProc(t *testing.T) {
	w := newWorld(t)
	w.enroll()
	w.manage()
	w.run()
	run := w.backup()
	// A process of the same environment, in the place of restic's own, which nobody knows before.
	mark := "canary-in-the-environment"
	sleeper := exec.Command("sleep", "60")
	sleeper.Env = []string{"RESTIC_PASSWORD=" + mark}
	if err := sleeper.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = sleeper.Process.Kill(); _ = sleeper.Wait() }()
	of := fmt.Sprintf("/proc/%d", sleeper.Process.Pid)
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(of+"/environ", link); err != nil {
		t.Fatal(err)
	}
	run.Group.Paths = []string{of + "/environ", fmt.Sprintf("%s/task/%d/environ", of, sleeper.Process.Pid), of + "/comm", "/proc/kcore", link}
	bound, whole := filepath.Join(t.TempDir(), "file"), filepath.Join(t.TempDir(), "directory")
	if err := errors.Join(os.WriteFile(bound, nil, 0o600), os.Mkdir(whole, 0o700)); err != nil {
		t.Fatal(err)
	}
	for at, what := range map[string]string{bound: of + "/environ", whole: of + "/task"} {
		if err := unix.Mount(what, at, "", unix.MS_BIND, ""); err != nil {
			t.Logf("no mounts of our own (%v): two names fewer are tried", err)
			continue
		}
		defer func() { _ = unix.Unmount(at, unix.MNT_DETACH) }()
		path := at
		if at == whole {
			path = fmt.Sprintf("%s/%d/environ", whole, sleeper.Process.Pid)
		}
		run.Group.Paths = append(run.Group.Paths, path)
	}
	id := w.order(run)
	end := w.awaitEnd(id)
	if end.Snapshot == nil {
		t.Fatalf("%+v\n%s", end, w.log(id))
	}
	out := t.TempDir()
	plainRestic(t, filepath.Join(w.folder, "repository"), "restore", "latest", "--target", out)
	comm := false
	_ = filepath.WalkDir(out, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			b, _ := os.ReadFile(path)
			if bytes.Contains(b, []byte(mark)) || d.Name() == "kcore" {
				t.Errorf("%s holds %.100q", path, b)
			}
			comm = comm || d.Name() == "comm" && len(b) > 0
		}
		return nil
	})
	if !comm {
		t.Error("nothing of /proc is saved at all")
	}
}

// relativeTo returns a path as it continues from the working directory.
func relativeTo(t *testing.T, path string) string {
	t.Helper()
	wd, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	rel, err := filepath.Rel(wd, path)
	if err != nil {
		t.Fatal(err)
	}
	return rel
}

func plainRestic(t *testing.T, repository string, args ...string) []byte {
	t.Helper()
	cmd := exec.Command("restic", args...)
	cmd.Env = append(process.Inherited(), "RESTIC_REPOSITORY="+repository, "RESTIC_PASSWORD="+vaultPassword,
		"RESTIC_CACHE_DIR="+filepath.Join(t.TempDir(), "cache"))
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("restic %v: %v\n%s", args, err, out)
	}
	return out
}

func snapshotsOf(t *testing.T, repository string) (ids []string) {
	t.Helper()
	var list []struct{ ID string }
	if err := json.Unmarshal(plainRestic(t, repository, "snapshots", "--json"), &list); err != nil {
		t.Fatal(err)
	}
	for _, s := range list {
		ids = append(ids, s.ID)
	}
	if len(ids) == 0 {
		t.Fatal("there is no snapshot to look into")
	}
	slices.Sort(ids)
	return ids
}
