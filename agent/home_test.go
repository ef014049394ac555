package agent

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestTheFormerStateOfWindowsIsKnown(t *testing.T) {
	for path, want := range map[string]bool{
		`C:\var\lib\restic-manager-agent`: true, `d:\VAR\lib\restic-manager-agent\`: true, `C:/var/lib/restic-manager-agent`: true,
		`\\?\C:\var\lib\restic-manager-agent`: true,
		`C:\ProgramData\restic-manager-agent`: false, `C:\var\lib\restic-manager-agent2`: false, `C:\x\var\lib\restic-manager-agent`: false,
		`C:\var\lib`: false, "": false, "/var/lib/restic-manager-agent": false,
	} {
		if got := former(path); got != want {
			t.Errorf("%s is the former one: %t", path, got)
		}
	}
}

func TestAStateDirectoryIsMovedAsAWhole(t *testing.T) {
	dir := t.TempDir()
	from, to := filepath.Join(dir, "var", "lib", "agent"), filepath.Join(dir, "ProgramData", "agent")
	if got, said, err := move(from, to); got != to || len(said) > 0 || err != nil {
		t.Errorf("nothing is moved as %s, %q, %v", got, said, err)
	}
	if err := os.MkdirAll(from, 0o755); err != nil {
		t.Fatal(err)
	}
	p := preset(t, PolicyBackup, from)
	outside := filepath.Join(dir, "agent2", "x")
	p.RestoreRoots = append(p.RestoreRoots, outside)
	if err := p.Save(from); err != nil {
		t.Fatal(err)
	}
	if err := writeFile(from, identityFile, &Identity{Host: "attic-0001"}); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(to, 0o700); err != nil { // as an installer may have made it
		t.Fatal(err)
	}
	blocked := filepath.Join(to, "somebody's")
	if err := os.WriteFile(blocked, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if got, said, err := move(from, to); got != from || len(said) != 1 || err != nil {
		t.Errorf("over somebody's files it is moved to %s, %q, %v", got, said, err)
	}
	if err := os.Remove(blocked); err != nil {
		t.Fatal(err)
	}
	got, said, err := move(from, to)
	if got != to || err != nil || !strings.Contains(strings.Join(said, "\n"), "was moved from") {
		t.Fatalf("it is moved to %s, %q, %v", got, said, err)
	}
	if _, err := os.Lstat(from); err == nil {
		t.Error("the former one is still there")
	}
	if was := moved(to); was == nil || was.From != from || was.At.IsZero() {
		t.Errorf("that it was moved is remembered as %+v", was)
	}
	p, err = LoadPolicy(to)
	if err != nil || !slices.Equal(p.RestoreRoots, []string{filepath.Join(to, quarantine), outside}) {
		t.Errorf("the policy lets restores go to %q, %v", p.RestoreRoots, err)
	}
	if got, said, err := move(from, to); got != to || len(said) > 0 || err != nil {
		t.Errorf("the second time it is moved to %s, %q, %v", got, said, err)
	}
}

// A junction of Windows is neither a directory nor a symbolic link to Go; here a link stands
// for it, and what it leads to is what counts.
func TestWhatAPlaceLeadsToIsFollowedToItsEnd(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(dir, "outside")
	for _, d := range []string{out, filepath.Join(dir, "inside")} {
		if err := os.Mkdir(d, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	link := filepath.Join(dir, "inside", "link")
	if err := os.Symlink(out, link); err != nil {
		t.Skipf("this user makes no links: %v", err)
	}
	p := Policy{RestoreRoots: []string{filepath.Join(dir, "inside")}}
	if err := p.inPlace(filepath.Join(dir, "state"), filepath.Join(link, "file")); err == nil {
		t.Error("a restore in place goes out of its roots through a link")
	}
	if err := p.noWayOut(filepath.Join(dir, "inside")); err == nil {
		t.Error("a link that leads out is not found")
	}
}
