package e2e

import (
	"database/sql"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	_ "modernc.org/sqlite"

	"github.com/restic-manager/restic-manager/e2e/world"
)

func TestTheAuditLogInTheBrowser(t *testing.T) {
	w := NewWorld(t)
	attic := w.StartAgent("attic")
	attic.Write("a", "a")
	attic.Group("all")
	w.AwaitState(attic.Backup("all"), "succeeded")
	b := NewBrowser(t, w.HTTP)
	b.signIn(w)
	b.Open("/audit")
	b.AwaitText("#audit-rows", "Asked for the backup of attic")
	b.Inspect("audit")
	b.AwaitText("#live", "Live")
	w.CLI("api-token", "create", "--name", "late", "--role", "viewer", "--data", w.Data)
	b.AwaitText("#audit-new", "1 new")
	b.Press("1 new")
	b.AwaitText("#audit-rows", "late as viewer")
	b.Fill("#filter", "attic")
	world.Await(t, "the filter to be in the URL", func() error {
		if q := Eval[string](b, `location.search`); !strings.Contains(q, "q=attic") {
			return errors.New(q)
		}
		return nil
	})
	b.AwaitText("#audit-rows", "Enrolled the host attic")
	if text := b.Text("#audit-rows"); strings.Contains(text, "late as viewer") {
		t.Errorf("the filter leaves %s", text)
	}
	b.Open("/settings")
	b.Press("Show kit of attic-all")
	b.AwaitText("h1", "Emergency kit: attic-all")
	b.Inspect("kit")
	w.MustStopCleanly()
}

// TestAnEmergencyKitNeedsNothingOfOurs takes the page's commands to the letter,
// and gives them to a shell that has restic and nothing else.
func TestAnEmergencyKitNeedsNothingOfOurs(t *testing.T) {
	w := NewWorld(t)
	attic := w.StartAgent("attic")
	attic.Write("letters/dear reader.txt", "dear reader")
	const secret = `it's "50 %" \n $HOME` + "  \u202ea ü"
	url := filepath.Join(attic.Dir, "the vault's")
	attic.PutGroup("all", w.AddRepository("vault", url, secret))
	w.AwaitState(attic.Backup("all"), "succeeded")
	b := NewBrowser(t, w.HTTP)
	b.signIn(w)
	b.Open("/settings")
	b.Press("Show kit of vault")
	b.AwaitText("h1", "Emergency kit: vault")
	commands := func(kind string) []string {
		return Eval[[]string](b, `[...document.querySelectorAll("code[id^=kit-`+kind+`]")].map((e) => e.textContent)`)
	}
	exports, steps := commands("export"), commands("step")
	byHand := command(t, exec.Command(program("restic-manager"), "kit", "--repository", "vault", "--data", w.Data))
	if byHand.code != 0 {
		t.Fatalf("kit: exit status %d: %s", byHand.code, byHand.errs)
	}
	w.MustStopCleanly() // all of it has gone
	if err := os.Rename(w.Data, w.Data+".away"); err != nil {
		t.Fatal(err)
	}
	if len(exports) < 2 || len(steps) < 5 {
		t.Fatalf("the page has %q and %q", exports, steps)
	}
	for name, environment := range map[string]string{"page": strings.Join(exports, "\n"), "command line": byHand.out} {
		dir := t.TempDir()
		script := "set -e\n" + environment + "\n" + strings.Join(steps[:3], "\n") + "\n" +
			strings.ReplaceAll(steps[3], "/etc", "'"+attic.Home+"/letters'") + "\n"
		cmd := exec.Command("sh", "-c", script)
		cmd.Dir = dir
		cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir}
		r := command(t, cmd)
		if r.code != 0 {
			t.Fatalf("by the %s: exit status %d: %s%s", name, r.code, r.out, r.errs)
		}
		for _, into := range []string{"restored", "restored-part"} {
			got, err := os.ReadFile(filepath.Join(dir, into, attic.Home, "letters", "dear reader.txt"))
			if err != nil || string(got) != "dear reader" {
				t.Errorf("by the %s, below %s: %q, %v", name, into, got, err)
			}
		}
	}
	if !strings.Contains(steps[4], "restic mount look") {
		t.Errorf("the last command is %q", steps[4])
	}
	if _, err := os.Stat("/dev/fuse"); err != nil {
		t.Logf("restic mount was not tried: %v", err)
		return
	}
	if _, err := exec.LookPath("fusermount"); err != nil {
		t.Logf("restic mount was not tried: %v", err)
		return
	}
	mount := exec.Command("sh", "-c", strings.Join(exports, "\n")+"\n"+strings.Replace(steps[4], "&& restic", "&& exec restic", 1))
	mount.Dir = t.TempDir()
	mount.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + mount.Dir}
	p := world.Start(t, "restic mount", mount)
	world.Await(t, "the file below the mount", func() error {
		if !p.Running() {
			return world.Stop(fmt.Errorf("it ended: %s%s", p.Out.Tail(500), p.Errs.Tail(500)))
		}
		_, err := os.Stat(filepath.Join(mount.Dir, "look", "snapshots", "latest", attic.Home, "letters", "dear reader.txt"))
		return err
	})
	p.Signal(syscall.SIGINT)
	p.Wait(2 * time.Minute)
}

func TestTheAuditLogIsVerifiedOnTheCommandLine(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	run := func(args ...string) result {
		t.Helper()
		return command(t, exec.Command(program("restic-manager"), append(args, "--data", data)...))
	}
	for _, name := range []string{"first", "second", "third"} {
		if r := run("api-token", "create", "--name", name, "--role", "viewer"); r.code != 0 {
			t.Fatal(r.errs)
		}
	}
	r := run("audit", "verify")
	head := strings.TrimSuffix(r.out, "\n")
	if r.code != 0 || !regexp.MustCompile(`^3:[0-9a-f]{64}$`).MatchString(head) || !strings.Contains(r.errs, "3 entries") {
		t.Fatalf("exit status %d, %q, %q", r.code, r.out, r.errs)
	}
	if r := run("audit", "verify", "--head", "nonsense"); r.code != 1 {
		t.Errorf("a head that is none: exit status %d", r.code)
	}
	if r := run("audit", "verify", "--head", head); r.code != 0 {
		t.Errorf("its own head: exit status %d: %s", r.code, r.errs)
	}
	db, err := sql.Open("sqlite", "file:"+filepath.Join(data, "restic-manager.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, c := range []struct {
		do   string
		args []string
		code int
		says string
	}{
		{`DELETE FROM audit WHERE n = 3`, nil, 0, "2 entries"},
		{`SELECT 1`, []string{"--head", head}, 1, "broken at entry 3: it is missing"},
		{`UPDATE audit SET detail = 'second as admin' WHERE n = 2`, nil, 1, "broken at entry 2"},
		{`DELETE FROM audit WHERE n = 1`, nil, 1, "broken at entry 1: it is missing"},
	} {
		if _, err := db.Exec(`DROP TRIGGER audit_keeps_update; DROP TRIGGER audit_keeps_delete; ` + c.do); err != nil {
			t.Fatalf("%s: %v", c.do, err)
		}
		if r := run(append([]string{"audit", "verify"}, c.args...)...); r.code != c.code || !strings.Contains(r.errs, c.says) {
			t.Errorf("after %s: exit status %d, %s", c.do, r.code, r.errs)
		}
	}
}

func TestKeysOnTheCommandLine(t *testing.T) {
	dir := t.TempDir()
	data := filepath.Join(dir, "data")
	run := func(env []string, args ...string) result {
		t.Helper()
		cmd := exec.Command(program("restic-manager"), append(args, "--data", data)...)
		cmd.Env = append(os.Environ(), env...)
		return command(t, cmd)
	}
	if r := run(nil, "key", "rotate"); r.code != 1 {
		t.Errorf("without a database: exit status %d: %s", r.code, r.errs)
	}
	if _, err := os.Stat(data); err == nil {
		t.Error("a database was made")
	}
	token := func(env ...string) result {
		return run(env, "api-token", "create", "--name", "x", "--role", "viewer")
	}
	if r := token(); r.code != 0 {
		t.Fatal(r.errs)
	}
	key, err := os.ReadFile(data + ".key")
	if err != nil {
		t.Fatal(err)
	}
	credentials := filepath.Join(dir, "credentials")
	if err := os.Mkdir(credentials, 0o700); err != nil {
		t.Fatal(err)
	}
	write := func(path string, b []byte) {
		t.Helper()
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(filepath.Join(credentials, "restic-manager-key"), key)
	hollow := filepath.Join(dir, "hollow")
	if err := os.Mkdir(hollow, 0o700); err != nil {
		t.Fatal(err)
	}
	write(filepath.Join(hollow, "restic-manager-key"), []byte("\n"))
	if err := os.Rename(data+".key", data+".key.away"); err != nil {
		t.Fatal(err)
	}
	wrong := strings.Repeat("ab", 32)
	serve := func(env ...string) result {
		return run(env, "serve", "--http", "127.0.0.1:0", "--agents", "127.0.0.1:0", "--mqtt", "127.0.0.1:0")
	}
	for name, c := range map[string]struct {
		r    result
		code int
		says string
	}{
		"no key":                    {token(), 3, "is missing, and without it no secret"},
		"serve without a key":       {serve(), 3, "is missing, and without it no secret"},
		"a wrong key":               {token("RESTIC_MANAGER_KEY=" + wrong), 3, "the environment variable RESTIC_MANAGER_KEY is not the key"},
		"serve with a wrong key":    {serve("RESTIC_MANAGER_KEY=" + wrong), 3, "nothing was changed"},
		"half a key":                {token("RESTIC_MANAGER_KEY=" + wrong[:10]), 3, "64 hexadecimal digits"},
		"an empty key":              {token("RESTIC_MANAGER_KEY="), 3, "is empty"},
		"an empty credential":       {token("CREDENTIALS_DIRECTORY="+hollow, "RESTIC_MANAGER_KEY="+string(key)), 3, "is empty"},
		"from the environment":      {token("RESTIC_MANAGER_KEY=" + string(key)), 0, ""},
		"from a credential":         {token("CREDENTIALS_DIRECTORY=" + credentials), 0, ""},
		"a credential before a key": {token("CREDENTIALS_DIRECTORY="+credentials, "RESTIC_MANAGER_KEY="+wrong), 0, ""},
		"a directory without it":    {token("CREDENTIALS_DIRECTORY="+dir, "RESTIC_MANAGER_KEY="+string(key)), 0, ""},
		"a file before all of these": {token("RESTIC_MANAGER_KEY_FILE="+data+".key.away", "CREDENTIALS_DIRECTORY="+dir,
			"RESTIC_MANAGER_KEY="+wrong), 0, ""},
		"a change of what is not a file": {run([]string{"RESTIC_MANAGER_KEY=" + string(key)}, "key", "rotate"), 1, "--new-key-file"},
	} {
		if c.r.code != c.code || !strings.Contains(c.r.errs, c.says) || strings.Contains(c.r.errs, wrong[:10]) {
			t.Errorf("%s: exit status %d, want %d: %s", name, c.r.code, c.code, c.r.errs)
		}
	}
	if err := os.Rename(data+".key.away", data+".key"); err != nil {
		t.Fatal(err)
	}

	// Only alone, and then for good.
	p := world.Start(t, "serve", exec.Command(program("restic-manager"), "serve", "--http", "127.0.0.1:0", "--agents", "127.0.0.1:0",
		"--mqtt", "127.0.0.1:0", "--data", data))
	p.Await(`msg=serving`)
	if r := run(nil, "key", "rotate"); r.code != 1 || !strings.Contains(r.errs, "another control plane runs") {
		t.Errorf("beside a control plane: exit status %d: %s", r.code, r.errs)
	}
	p.MustStop(time.Minute)
	for _, point := range []string{"rotate-admitted", "rotate-in-place", "rotate-row:2", ""} {
		r := run([]string{"RESTIC_MANAGER_FAILPOINT=" + point}, "key", "rotate")
		if want := map[bool]int{true: 0, false: -1}[point == ""]; r.code != want {
			t.Fatalf("change of keys, killed at %q: exit status %d: %s", point, r.code, r.errs)
		}
		if r := token(); r.code != 0 {
			t.Fatalf("after it was killed at %q: exit status %d: %s", point, r.code, r.errs)
		}
	}
	if r := token("RESTIC_MANAGER_KEY=" + string(key)); r.code != 3 {
		t.Errorf("the old key: exit status %d: %s", r.code, r.errs)
	}
	for _, name := range []string{data, data + ".key", filepath.Join(data, "restic-manager.db")} {
		if err := os.Chmod(name, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	r := token()
	for _, name := range []string{data, data + ".key", filepath.Join(data, "restic-manager.db")} {
		if info, err := os.Stat(name); err != nil || info.Mode().Perm()&0o077 != 0 || !strings.Contains(r.errs, name+" could be used by others") {
			t.Errorf("%s: %v, %v: %s", name, info.Mode(), err, r.errs)
		}
	}
}

func TestFilesOfARunningSystemAreForTheirOwnerAlone(t *testing.T) {
	w := NewWorld(t)
	attic := w.Enrol("attic")
	attic.Group("all")
	attic.Write("a", "a")
	for _, open := range []string{attic.State, filepath.Join(attic.State, "identity.json")} {
		if err := os.Chmod(open, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	attic.Start()
	attic.process.Await(`identity\.json could be used by others`)
	w.AwaitState(attic.Backup("all"), "succeeded")
	seen := 0
	for _, dir := range []string{w.Data, attic.State} {
		err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
			if err != nil {
				if os.IsNotExist(err) {
					return nil
				}
				return err
			}
			if path != dir && d.IsDir() && d.Name() == "cache" {
				return filepath.SkipDir // restic's own, below a directory that is closed
			}
			info, err := d.Info()
			if os.IsNotExist(err) {
				return nil
			}
			seen++
			if err == nil && info.Mode().Perm()&0o077 != 0 {
				t.Errorf("%s is %v", path, info.Mode())
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"restic-manager.db-wal", "restic-manager.db-shm", "restic-manager.db"} {
		if _, err := os.Stat(filepath.Join(w.Data, name)); err != nil {
			t.Error(err)
		}
	}
	if r, err := http.Get("http://" + w.HTTP + "/healthz"); err != nil || r.StatusCode != 200 || seen < 8 {
		t.Errorf("%d files seen, %v", seen, err)
	}
	w.MustStopCleanly()
}
