package agent

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/restic-manager/restic-manager/topics"
)

// drillOf proves these snapshots of one group.
func (w *world) drillOf(snapshots []string, d topics.Drill) (topics.Finished, []topics.Proof) {
	w.t.Helper()
	d.Groups = []topics.DrillGroup{{Group: "letters-01", Name: "letters", Snapshots: snapshots}}
	return w.drill(d)
}

func verdictOf(proofs []topics.Proof, name string) topics.Proof {
	for _, p := range proofs {
		if strings.HasSuffix(p.Path, "/"+name) {
			return p
		}
	}
	return topics.Proof{}
}

// A source that is not any more what was saved says nothing: restic's own hashes do.
func TestADrillGivesNoFalseAlarmForASourceThatChanged(t *testing.T) {
	w, snapshots := drills(t, "")
	at := func(name string) string { return filepath.Join(w.home, name) }
	ok := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	info, err := os.Stat(at("newest"))
	ok(err)
	w.write("home/newest", strings.Repeat("2", 70_000)) // as long as before, and as old
	ok(os.Chtimes(at("newest"), info.ModTime(), info.ModTime()))
	ok(os.Remove(at("folder/2.txt")))
	ok(os.Remove(at("folder/3.txt")))
	ok(unix.Mkfifo(at("folder/3.txt"), 0o600)) // nobody writes into it
	ok(os.Remove(at("folder/4.txt")))
	ok(os.Symlink("/dev/zero", at("folder/4.txt")))
	w.write("home/folder/5.txt", "grown "+strings.Repeat("letter 5\n", 1000))
	ok(os.Chmod(at("folder/6.txt"), 0)) // root reads it all the same
	ok(os.RemoveAll(at("link")))
	end, proofs := w.drillOf(snapshots[1:], topics.Drill{Files: 100, Seed: 3})
	if end.State != topics.Succeeded || end.Result.Drill.Failed > 0 || !end.Result.Drill.Proves("letters-01") {
		t.Errorf("it ended %+v, %+v", end, end.Result)
	}
	for _, name := range []string{"newest", "folder/2.txt", "folder/3.txt", "folder/4.txt", "folder/5.txt"} {
		if p := verdictOf(proofs, name); p.Verdict != topics.SameAsSaved || len(p.Hash) != 64 {
			t.Errorf("%s: %+v", name, p)
		}
	}
	for _, name := range []string{"folder/7.txt", "-rf"} {
		if p := verdictOf(proofs, name); p.Verdict != topics.SameAsSource {
			t.Errorf("%s: %+v", name, p)
		}
	}
	if p := verdictOf(proofs, "link"); p.Verdict != topics.ThereAsSaved {
		t.Errorf("the link: %+v", p)
	}
}

// Sources that went are proven by one more run of restic, however many they are. Where that
// complains, as on a file system that keeps no owners, it says of each what the snapshot
// holds.
func TestADrillHasResticProveWhatTheSourcesDoNot(t *testing.T) {
	for _, c := range []struct {
		what, script string
		dumps        int
	}{
		{"all is well", ``, 0},
		{"no owners can be kept", `case "$*" in *--verify*) $real "$@" || exit
for f in newest folder/7.txt; do echo "ignoring error for /srv/$f: lchown /srv/$f: operation not permitted" >&2; done
echo "Fatal: There were 2 errors" >&2; exit 1;; esac`, 18},
	} {
		t.Run(c.what, func(t *testing.T) {
			w, snapshots := drills(t, `echo "$*" >> "$0.ledger"
`+c.script)
			if err := os.RemoveAll(w.home); err != nil {
				t.Fatal(err)
			}
			end, proofs := w.drillOf(snapshots[1:], topics.Drill{Files: 100, Seed: 3})
			if end.State != topics.Succeeded || end.Result.Drill.Failed > 0 || end.Result.Drill.Compared > 0 {
				t.Errorf("it ended %+v, %+v", end, end.Result.Drill)
			}
			for _, name := range []string{"newest", "empty", "folder/7.txt", "hard", "-rf"} {
				if p := verdictOf(proofs, name); p.Verdict != topics.SameAsSaved {
					t.Errorf("%s: %+v", name, p)
				}
			}
			ledger, err := os.ReadFile(filepath.Join(w.folder, "bin/restic.ledger"))
			if err != nil || strings.Count(string(ledger), "--verify") != 2 || strings.Count(string(ledger), "dump ") != c.dumps {
				t.Errorf("restic was asked for\n%s", ledger)
			}
		})
	}
}

// A file that holds more than it says it does is not read for ever. Files of /proc say
// that they hold nothing.
func TestWhatGrowsWhileItIsReadHasNoHash(t *testing.T) {
	f, err := os.Open("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if sum, err := sumOf(t.Context(), f); err == nil {
		t.Errorf("its hash is %x", sum)
	}
}

// What keeps a restore from its end is none of the data: it is no verdict of any file.
func TestADrillThatCannotRestoreProvesNothingWrong(t *testing.T) {
	for _, c := range []struct {
		what, script string
		cause        topics.Cause
	}{
		{"killed half way", `$real "$@"; find "$drills" -name newest -exec rm {} +; kill -9 $$`, topics.CauseKilled},
		{"the disk is full, says 0.14", `$real "$@" >/dev/null 2>&1; find "$drills" -name newest -exec sh -c ': > "$1"' - {} \;
echo "ignoring error for /srv/newest: write /srv/newest: no space left on device" >&2; echo "Fatal: There were 1 errors" >&2; exit 1`,
			topics.CauseHostDisk},
		{"the disk is full, says 0.19", `$real "$@" >/dev/null 2>&1; find "$drills" -name newest -exec sh -c ': > "$1"' - {} \;
no='"write /srv/newest: no space left on device"'
echo '{"message_type":"error","error":{"message":'"$no"'},"during":"restore","item":"/srv/newest"}' >&2
echo '{"message_type":"exit_error","code":1,"message":"Fatal: There were 1 errors"}' >&2; exit 1`, topics.CauseHostDisk},
		{"the repository is locked", `echo "Fatal: unable to create lock in backend: repository is already locked by PID 1 on a by root" >&2
exit 1`, topics.CauseLocked},
		{"the server is gone", `$real "$@" >/dev/null 2>&1; find "$drills" -name newest -exec rm {} +
echo "Fatal: Get http://127.0.0.1:1/x: dial tcp 127.0.0.1:1: connect: connection refused" >&2; exit 1`, topics.CauseUnreachable},
	} {
		t.Run(c.what, func(t *testing.T) {
			w, snapshots := drills(t, `drills=$(dirname "$0")/../state/drills
case "$*" in *"restore --json --verify"*)
`+c.script+`
;; esac`)
			end, proofs := w.drillOf(snapshots[1:], topics.Drill{Files: 5, Seed: 1})
			if end.State != topics.Failed || end.Cause != c.cause || len(proofs) > 0 || end.Result.Drill.Failed > 0 || end.Result.Drill.Complete {
				t.Errorf("it ended %+v, %+v with %+v", end, end.Result, proofs)
			}
			if s := end.Result.Drill.Snapshots; len(s) != 1 || s[0].Why == "" || end.Result.Drill.Proves("letters-01") {
				t.Errorf("of the snapshot it says %+v", s)
			}
		})
	}
}

// A full drill that meets damaged data names the file with restic's first word on it, and
// says of how much nothing is known: what comes after it in the archive was not read.
func TestAFullDrillSaysWhatItDidNotRead(t *testing.T) {
	w, snapshots := drills(t, `drills=$(dirname "$0")/../state/drills
home=$(cd "$(dirname "$0")/../home" && pwd)
case "$*" in *"restore --json --verify"*) $real "$@"; find "$drills" -name 5.txt -exec rm {} +
echo "ignoring error for $home/folder/5.txt: ciphertext verification failed" >&2
echo "ignoring error for $home/folder/5.txt: UtimesNano: no such file or directory" >&2
echo "Fatal: There were 2 errors" >&2; exit 1;;
*"dump --no-lock --archive tar"*) $real "$@" | head -c 10240
echo "cannot dump file: decrypting blob failed: ciphertext verification failed" >&2; exit 1;; esac`)
	end, proofs := w.drillOf(snapshots[1:], topics.Drill{Full: true})
	p := verdictOf(proofs, "5.txt")
	if end.State != topics.Failed || end.Cause != topics.CauseDamaged || end.Result.Drill.Failed != 1 || p.Verdict != topics.NotRestored ||
		!strings.Contains(p.Why, "ciphertext verification failed") {
		t.Errorf("it ended %+v, %+v with %+v", end, end.Result, p)
	}
	d := *end.Result.Drill
	if left := d.Snapshots[0].Holds - d.Proven - d.Failed - d.Skipped; left == 0 ||
		!strings.HasSuffix(end.Message, fmt.Sprintf("nothing is known of %d more, as restic read no further", left)) {
		t.Errorf("of %d it did not read it says %q", left, end.Message)
	}
}

func TestADrillRestoresNothingWhereItsFolderLeadsElsewhere(t *testing.T) {
	w, snapshots := drills(t, "")
	elsewhere := filepath.Join(w.folder, "elsewhere")
	w.write("elsewhere/precious", "precious")
	if err := os.Symlink(elsewhere, filepath.Join(w.state, scratch)); err != nil {
		t.Fatal(err)
	}
	end, proofs := w.drillOf(snapshots, topics.Drill{Files: 5, Seed: 1})
	if end.State != topics.Failed || len(proofs) > 0 || !strings.Contains(end.Message, filepath.Join(w.state, scratch)) {
		t.Errorf("it ended %+v", end)
	}
	only := func() {
		t.Helper()
		if names, err := filepath.Glob(elsewhere + "/*"); err != nil || len(names) != 1 {
			t.Errorf("elsewhere is %v, %v", names, err)
		}
	}
	only()
	if err := clearDrills(w.state); err != nil {
		t.Error(err)
	}
	only()
	if end, _ = w.drillOf(snapshots, topics.Drill{Files: 5, Seed: 1}); end.State != topics.Succeeded {
		t.Errorf("with the link gone it ended %+v", end)
	}
}

// Whoever owns the folder that a full drill restores to puts another in the drill's place
// when restic is about to write.
func TestADrillWritesNothingWhereItsFolderIsExchanged(t *testing.T) {
	w, snapshots := drills(t, `case "$*" in *"restore --json --verify"*)
cd "$(dirname "$0")/../chosen" && n=$(echo drill-*) && mv "$n" moved && ln -s ../elsewhere "$n" && touch ../exchanged;; esac`)
	chosen, elsewhere := filepath.Join(w.folder, "chosen"), filepath.Join(w.folder, "elsewhere")
	for _, dir := range []string{chosen, elsewhere} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	policy, err := LoadPolicy(w.state)
	policy.RestoreRoots = append(policy.RestoreRoots, chosen)
	if err == nil {
		err = policy.Save(w.state)
	}
	if err != nil {
		t.Fatal(err)
	}
	end, proofs := w.drillOf(snapshots[1:], topics.Drill{Full: true, Target: chosen})
	if end.State != topics.Succeeded || len(proofs) == 0 {
		t.Errorf("it ended %+v", end)
	}
	if _, err := os.Stat(filepath.Join(w.folder, "exchanged")); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{elsewhere, filepath.Join(chosen, "moved")} {
		if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
			t.Errorf("%s holds %v, %v", dir, left, err)
		}
	}
}

// A snapshot holds what leads out of the folder, is no file, or gives rights; a listing
// and an archive that were forged name what is above.
func TestADrillOfEvilSnapshotsTouchesNothingElse(t *testing.T) {
	w, _ := drills(t, `case "$*" in *"dump --no-lock --archive tar"*) [ -e "$0.tar" ] && exec cat "$0.tar";; esac
case " $* " in *" ls --json "*) [ -e "$0.ls" ] && { $real "$@"; exec cat "$0.ls"; };; esac`)
	at := func(name string) string { return filepath.Join(w.home, name) }
	w.write("outside/precious", "precious")
	w.write("home/suid", "#!/bin/sh\n")
	for _, err := range []error{
		os.Symlink(filepath.Join(w.folder, "outside"), at("away")), os.Symlink("../../../../../../etc/passwd", at("passwd")),
		os.Symlink("/dev/zero", at("zero")), os.Chmod(at("suid"), 0o755|fs.ModeSetuid), os.Link(at("suid"), at("hard-suid")),
		unix.Mknod(at("null"), unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))), unix.Mkfifo(at("fifo"), 0o644),
		os.MkdirAll(at("closed/in"), 0o700), os.Chmod(at("closed"), 0),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	snapshot := w.awaitEnd(w.order(w.backup())).Snapshot.ID
	before := time.Now()
	for _, d := range []topics.Drill{{Files: 500, Seed: 5}, {Full: true}} {
		end, proofs := w.drillOf([]string{snapshot}, d)
		if end.State != topics.Succeeded || end.Result.Drill.Failed > 0 {
			t.Errorf("%+v: it ended %+v, %+v", d, end, end.Result)
		}
		for name, want := range map[string]topics.Verdict{"away": topics.SameAsSource, "suid": topics.SameAsSource,
			"hard-suid": topics.SameAsSource, "closed": topics.ThereAsSaved} {
			if p := verdictOf(proofs, name); p.Verdict != want && (!d.Full || !p.Verdict.Proves()) {
				t.Errorf("%s: %+v", name, p)
			}
		}
		if p := verdictOf(proofs, "null"); d.Full && p.Verdict != topics.ThereAsSaved || !d.Full && p.Path != "" {
			t.Errorf("the device: %+v", p)
		}
	}

	w.write("bin/restic.ls", fmt.Sprintf(`{"name":"x","type":"file","path":%q,"size":8,"mtime":"2026-01-01T00:00:00Z","struct_type":"node"}
{"name":"precious","type":"file","path":"/../../precious","size":8,"mtime":"2026-01-01T00:00:00Z","struct_type":"node"}
`, w.home+"/away/../../outside/precious"))
	end, proofs := w.drillOf([]string{snapshot}, topics.Drill{Files: 500, Seed: 5})
	if end.State != topics.Succeeded || end.Result.Drill.Skipped != 3 || slices.ContainsFunc(proofs, func(p topics.Proof) bool {
		return strings.Contains(p.Path, "..")
	}) {
		t.Errorf("with a forged listing it ended %+v, %+v", end, end.Result)
	}

	var archive bytes.Buffer
	forged := tar.NewWriter(&archive)
	for _, name := range []string{strings.Repeat("../", 20) + w.folder[1:] + "/outside/precious", w.home[1:] + "/away/precious"} {
		for _, err := range []error{forged.WriteHeader(&tar.Header{Name: name, Mode: 0o600, Size: 8}), writeTo(forged, "precious")} {
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := forged.Close(); err != nil {
		t.Fatal(err)
	}
	w.write("bin/restic.tar", archive.String())
	end, proofs = w.drillOf([]string{snapshot}, topics.Drill{Full: true})
	if end.State != topics.Failed || end.Cause != topics.CauseProof || slices.ContainsFunc(proofs, func(p topics.Proof) bool {
		return p.Type == "file" && (p.Hash != "" || p.Verdict != topics.NotRestored)
	}) {
		t.Errorf("with a forged archive it ended %+v: %+v", end, proofs)
	}
	if info, err := os.Stat(filepath.Join(w.folder, "outside/precious")); err != nil || info.ModTime().After(before) || info.Size() != 8 {
		t.Errorf("what is outside is %v, %v", info, err)
	}
}

func writeTo(w io.Writer, text string) error {
	_, err := io.WriteString(w, text)
	return err
}
