package agent

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	_ "time/tzdata" // Windows has none that Go reads
	"unsafe"

	"golang.org/x/sys/windows"

	"github.com/restic-manager/restic-manager/topics"
)

// live is a backup of the world's home as this path, of the files themselves: there are
// no shadow copies where these tests run.
func (w *world) live(path string) topics.Run {
	run := w.backup()
	run.Group.Paths, run.Group.LiveFiles = []string{path}, true
	return run
}

// TestATreeOfWindowsThereAndBack backs it up under three spellings of one place and
// restores it to where it was.
func TestATreeOfWindowsThereAndBack(t *testing.T) {
	w := newWorld(t)
	w.vault()
	w.enroll()
	w.manage()
	w.run()
	deep := strings.Repeat("a folder with a long name/", 12) // longer than the 260 characters of old
	noise := make([]byte, 3<<20)
	_, _ = rand.Read(noise) // never fails
	files := map[string]string{"home/letter.txt": "dear reader", "home/Gr\u00fc\u00dfe/\u65e5\u672c.txt": "unicode", "home/empty": "",
		"home/noise.bin": string(noise), "home/" + deep + "at the end.txt": "deep", "home/Read Only.txt": "do not touch"}
	for name, content := range files {
		w.write(name, content)
	}
	w.write("home/Debug.LOG", "left out, whatever the capitals")
	if err := os.Chmod(filepath.Join(w.folder, "home/Read Only.txt"), 0o400); err != nil {
		t.Fatal(err)
	}
	drive := w.home[:2]
	var snapshots []string
	for _, path := range []string{strings.ToLower(drive) + filepath.ToSlash(w.home[2:]), `\\?\` + w.home, w.home} {
		run := w.live(path)
		run.Group.Excludes = []string{"*.log"}
		end := w.awaitEnd(w.order(run))
		if end.State != topics.Succeeded || end.Snapshot == nil {
			t.Fatalf("the backup of %s ended %+v", path, end)
		}
		if want := []string{w.home}; !slices.Equal(end.Snapshot.Paths, want) {
			t.Errorf("%s is saved as %q, want %q", path, end.Snapshot.Paths, want)
		}
		if len(snapshots) > 0 && end.Summary.FilesNew > 0 {
			t.Errorf("%s is another tree: %+v", path, end.Summary)
		}
		snapshots = append(snapshots, end.Snapshot.ID)
	}
	inSnapshot := "/" + drive[:1] + filepath.ToSlash(w.home[2:])
	found := w.ask(topics.FindJob, topics.Operation{Pattern: "LETTER.*", Snapshots: snapshots[2:]})
	if found.State != topics.Succeeded || found.Result == nil {
		t.Errorf("the search ended %+v", found)
	}
	if err := os.Chmod(filepath.Join(w.folder, "home/Read Only.txt"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(w.home); err != nil {
		t.Fatal(err)
	}
	end := w.ask(topics.RestoreJob, topics.Operation{InPlace: true, Overwrite: "always",
		Items: []topics.Item{{Snapshot: snapshots[2], Paths: []string{inSnapshot}}}})
	if end.State != topics.Succeeded && end.State != topics.Warnings {
		t.Fatalf("the restore ended %+v", end)
	}
	for name, want := range files {
		if got, err := os.ReadFile(filepath.Join(w.folder, name)); err != nil || !bytes.Equal(got, []byte(want)) {
			t.Errorf("%s came back with %d bytes, %v; it had %d", name, len(got), err, len(want))
		}
	}
	if _, err := os.Stat(filepath.Join(w.home, "Debug.LOG")); err == nil {
		t.Error("what was left out came back")
	}
}

// TestACancelOnWindowsIsSoonAndLeavesNoLock crawls when it is cancelled.
func TestACancelOnWindowsIsSoonAndLeavesNoLock(t *testing.T) {
	w := newWorld(t)
	w.vault()
	w.enroll()
	w.run()
	id := w.order(w.crawl())
	w.crawling(id)
	began := time.Now()
	w.cancel(id)
	end := w.awaitEnd(id)
	if took := time.Since(began); end.State != topics.Cancelled || took > 5*time.Second {
		t.Errorf("after %v it ended %+v", took, end)
	}
	if locks := w.locks(); len(locks) > 0 {
		t.Errorf("locks are left: %v", locks)
	}
	if n := running(t, "restic.exe"); n > 0 {
		t.Errorf("%d restic still run", n)
	}
}

// crawl is a backup that takes minutes.
func (w *world) crawl() topics.Run {
	noise := make([]byte, 4<<20)
	_, _ = rand.Read(noise) // never fails
	w.write("home/noise", string(noise))
	run := w.live(w.home)
	run.Group.Limits.UploadKiB = 20
	return run
}

// TestAfterAKillOnWindowsNothingRuns kills the agent in the midst of a backup.
func TestAfterAKillOnWindowsNothingRuns(t *testing.T) {
	w := newWorld(t)
	w.vault()
	w.enroll()
	agent := exec.Command(os.Args[0])
	agent.Env = append(os.Environ(), "TEST_AGENT_STATE="+w.state, "TEST_AGENT_RESTIC="+w.program)
	if err := agent.Start(); err != nil {
		t.Fatal(err)
	}
	id := w.order(w.crawl())
	w.crawling(id)
	if running(t, "restic.exe") == 0 {
		t.Fatal("no restic runs, so this shows nothing")
	}
	_ = agent.Process.Kill()
	_ = agent.Wait()
	await(t, "restic to end with its agent", func() error {
		if n := running(t, "restic.exe"); n > 0 {
			return fmt.Errorf("%d restic run", n)
		}
		return nil
	})
	w.run()
	if end := w.awaitEnd(id); end.Cause != topics.CauseAgentDied {
		t.Errorf("the job ended %+v", end)
	}
	await(t, "its lock to be removed", func() error {
		if locks := w.locks(); len(locks) > 0 {
			return errors.New(strings.Join(locks, " "))
		}
		return nil
	})
}

// running counts the processes of a program.
func running(t *testing.T, program string) (n int) {
	t.Helper()
	h, err := windows.CreateToolhelp32Snapshot(windows.TH32CS_SNAPPROCESS, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer windows.CloseHandle(h)
	e := windows.ProcessEntry32{Size: uint32(unsafe.Sizeof(windows.ProcessEntry32{}))}
	for err = windows.Process32First(h, &e); err == nil; err = windows.Process32Next(h, &e) {
		if strings.EqualFold(windows.UTF16ToString(e.ExeFile[:]), program) {
			n++
		}
	}
	return n
}

// TestAHooksNamesRunNoCommands has a group's name that a batch file would run.
func TestAHooksNamesRunNoCommands(t *testing.T) {
	w := newWorld(t)
	w.vault()
	w.enroll()
	pwned := filepath.Join(w.folder, "pwned")
	hook := filepath.Join(w.folder, "dump it.cmd")
	w.write("dump it.cmd", "@echo off\r\necho for %RESTIC_MANAGER_GROUP%\r\ntype \"%RESTIC_MANAGER_DETAILS%\"\r\n")
	if err := AllowHook(w.state, "dump", hook); err != nil {
		t.Fatal(err)
	}
	w.run()
	for _, name := range []string{"docs&echo x>" + pwned, "a|b>" + pwned, "%PATH%^&", `"&echo x>` + pwned + `&"`} {
		run := w.live(w.home)
		run.Group.Name, run.Group.Hooks.Before = name, []string{"dump"}
		id := w.order(run)
		end := w.awaitEnd(id)
		_, log, _ := w.job(id)
		if end.State != topics.Succeeded || !strings.Contains(strings.Join(log, "\n"), "[dump] for ") {
			t.Errorf("%q: it ended %+v\n%s", name, end, strings.Join(log, "\n"))
		}
		if _, err := os.Stat(pwned); err == nil {
			t.Fatalf("%q ran a command", name)
		}
	}
	w.write("dump.sh", "echo")
	if err := AllowHook(w.state, "sh", filepath.Join(w.folder, "dump.sh")); err == nil || !strings.Contains(err.Error(), ".ps1") {
		t.Errorf("what Windows does not run is allowed: %v", err)
	}
}
