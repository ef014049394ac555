package e2e

import (
	"compress/gzip"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/restic-manager/restic-manager/e2e/world"
)

// TestTheFirstRunFromNothingToTheKit walks the road that a newcomer is shown, from an empty
// data directory to the emergency kit, with a real agent, restic and repository server. Each
// step is entered from the page of the first steps, which has to know by itself how far
// everything is.
func TestTheFirstRunFromNothingToTheKit(t *testing.T) {
	w := NewWorld(t)
	b := NewBrowser(t, w.HTTP)
	server := NewRestServer(t)
	w.layAgents()
	// What a reader has in place of this test's ports and directories.
	reader := map[string]string{w.HTTP: "backups.example.net", w.Agents: "backups.example.net:8883", server.Everyday: "nas.example.net:8000",
		"http://backups": "https://backups", filepath.Join(w.Dir, "attic", "home"): "/home", w.Dir: "/srv",
		password:       "a-long-password-of-its-own",
		everydaySecret: "a-login-of-its-own", w.Agents[strings.LastIndex(w.Agents, ":"):]: ":8883"}

	// The setup page and the account.
	b.Open(w.SetupLink())
	b.Fill("#name", person)
	b.Fill("#password", passphrase)
	b.Fill("#again", passphrase)
	b.Inspect("first-1-setup")
	b.Picture("1-account", "", reader)
	b.Press("Create account")
	b.AwaitPath("/start")
	b.AwaitText("#first-steps", "1 of 8 done")
	b.mustBeNext("address")
	b.Inspect("first-start")

	// The address, which the control plane dials: first one that leads nowhere.
	b.Click("#step-address .act a")
	b.AwaitPath("/start/address")
	b.Fill("#agents_public", world.FreeAddress(t))
	b.Press("Save and test")
	b.AwaitText("main", "refuses connections")
	b.Inspect("first-2-address-refused")
	b.set("#agents_public", w.Agents)
	b.set("#public_url", "http://"+w.HTTP)
	b.Press("Save and test")
	b.AwaitText("main", "leads here, and on this machine alone")
	b.Inspect("first-2-address")
	b.Picture("2-address", "", reader)
	b.Press("Back to the first steps")
	b.AwaitPath("/start")
	b.mustBeNext("repository")

	// Where backups go.
	b.Click("#step-repository .act a")
	b.AwaitPath("/repositories/new")
	if got := Eval[string](b, `document.querySelector("#keep_within").value`); got != "14d" {
		t.Errorf("what is kept is suggested as %q", got)
	}
	b.Fill("#name", "vault")
	b.Fill("#place-rest-address", "http://"+server.Everyday)
	b.Fill("#place-rest-path", "attic")
	b.AwaitText("#made-url", "rest:http://"+server.Everyday+"/attic")
	b.Fill("#password", password)
	b.Fill("#everyday-RESTIC_REST_USERNAME", "attic")
	b.Fill("#everyday-RESTIC_REST_PASSWORD", "not the password")
	b.Click("[formtarget=_blank]")
	b.AwaitText("#trial", "does not let this login in")
	b.set("#everyday-RESTIC_REST_PASSWORD", everydaySecret)
	b.Click("[formtarget=_blank]")
	b.AwaitText("#trial", "Nothing is there yet")
	b.Inspect("first-3-repository")
	b.Picture("3-repository", "", reader)
	b.Open("/repositories/new?from=start") // where nothing was written over
	b.Fill("#name", "vault")
	b.set("#place-rest-address", "http://"+server.Everyday)
	b.set("#place-rest-path", "attic")
	b.set("#password", password)
	b.set("#everyday-RESTIC_REST_USERNAME", "attic")
	b.set("#everyday-RESTIC_REST_PASSWORD", everydaySecret)
	b.Press("Add repository")
	b.AwaitPath("/start")
	b.mustBeNext("host")

	// A host, by the command that is shown. While it has not come, another administrator sees
	// the same, on another page.
	b.Click("#step-host .act a")
	b.AwaitPath("/hosts/new")
	b.Fill("#name", "attic")
	b.Press("Create token")
	b.AwaitText("#enrol-status", "Connect")
	b.Inspect("first-4-host-waiting")
	shown := strings.Fields(Eval[string](b, `document.querySelector("#cmd-enrol").textContent`))
	add := exec.Command(program("restic-manager"), "user", "add", "bert", "--role", "admin", "--password-stdin", "--data", w.Data)
	add.Stdin = strings.NewReader(passphrase + "\n")
	if r := command(t, add); r.code != 0 {
		t.Fatalf("user add: exit status %d: %s", r.code, r.errs)
	}
	second, ok := w.signInAs("bert", passphrase)
	if p := second.Page("/jobs"); !ok || p.Missing("First steps, 3 of 8 done", "Next: Add host") {
		t.Errorf("another administrator is not told: %s", p.Text)
	}
	a := &Agent{w: w, Name: "attic", Dir: filepath.Join(w.Dir, "attic"), Home: filepath.Join(w.Dir, "attic", "home"),
		State: filepath.Join(w.Dir, "attic", "state")}
	at := slices.Index(shown, "--state")
	if at < 0 || shown[0] != "restic-manager-agent" {
		t.Fatalf("the command to paste is %q", shown)
	}
	shown[at+1] = a.State
	r := command(t, agentCommand(shown[1:]...))
	if r.code != 0 {
		t.Fatalf("the command to paste ended with exit status %d: %s", r.code, r.errs)
	}
	a.ID = strings.TrimSpace(r.out)
	a.Start()
	b.AwaitText("#enrol-status", "Connected")
	b.Inspect("first-4-host")
	// That the address leads each machine to itself is so here; a reader has a name there.
	Eval[bool](b, `[...document.querySelectorAll("main .note")].find((n) => n.textContent.includes("to itself")).remove() === undefined`)
	b.Picture("4-host", "", reader)

	// Folders and schedule, filled in for such a machine.
	b.Open("/start")
	b.mustBeNext("plan")
	b.Click("#step-plan .act a")
	b.AwaitPath("/hosts/" + a.ID + "/source-groups/new")
	if got := Eval[string](b, `document.querySelector("#paths").value`); !strings.Contains(got, "/etc") {
		t.Errorf("the folders are suggested as %q", got)
	}
	a.Write("letters/dear reader.txt", "dear reader")
	a.Noise("photo.raw", 4)
	b.Inspect("first-5-folders")
	b.Picture("5-folders", "", reader)
	b.set("#paths", a.Home)
	b.set("#excludes", "*.tmp")
	b.Press("Save source group")
	b.AwaitPath("/hosts/" + a.ID + "/schedules/new")
	script := `["#name", "#time", "#jitter"].map((x) => document.querySelector(x).value).join(" ")`
	if got := Eval[string](b, script); got != "nightly 02:30 60" {
		t.Errorf("the schedule is suggested as %q", got)
	}
	b.AwaitText("#preview", "Next 5 runs")
	b.Inspect("first-5-schedule")
	b.Picture("5-schedule", "", reader)
	b.Press("Save schedule")
	b.AwaitPath("/start")
	b.mustBeNext("backup")

	// The first backup, live, and what the steps say meanwhile and afterwards by themselves.
	b.Mark()
	b.Press("Back up now")
	b.AwaitPath("/jobs/")
	backup := strings.TrimPrefix(b.Path(), "/jobs/")
	b.AwaitText("#job-header", "Succeeded")
	b.AwaitText("#first-steps-strip", "6 of 8 done. Next: Prove it")
	b.Inspect("first-6-backup")
	b.Picture("6-backup", "", reader)
	if files := w.AwaitState(backup, "succeeded"); files.SnapshotID == "" {
		t.Errorf("the backup made no snapshot: %+v", files)
	}

	// Prove it: files are restored and compared by their hashes.
	b.Press("Go on")
	b.AwaitPath("/start")
	b.mustBeNext("proof")
	b.Press("Restore a sample")
	b.AwaitPath("/jobs/")
	b.AwaitText("#job-header", "Proved 2 files")
	b.Inspect("first-7-proof")
	b.Picture("7-proof", "", reader)
	b.Press("Go on")
	b.AwaitPath("/start")
	b.mustBeNext("kit")
	b.Inspect("first-start-late")
	b.Picture("steps", "", reader)

	// The kit, and the end of the road.
	b.Click("#step-kit .act a")
	b.AwaitPath("/repositories/kit")
	b.AwaitText("main", password)
	b.Inspect("first-8-kit")
	b.Picture("8-kit", "", reader)
	b.Open("/start")
	b.AwaitText("#first-steps", "8 of 8 done")
	b.Inspect("first-start-done")
	b.Open("/")
	if b.Text("#first-steps-strip") != "" {
		t.Errorf("the road is over, and the fleet says %q", b.Text("#first-steps-strip"))
	}
	if found, err := os.ReadDir(filepath.Join(a.State, "restored")); err == nil && len(found) > 0 {
		t.Errorf("what was restored to prove it is still there: %v", found)
	}
	b.MustNotHaveBeenCut()
	a.MustStop()
	w.MustStopCleanly()
}

// mustBeNext insists that the page of the first steps names a step as the next.
func (b *Browser) mustBeNext(key string) {
	b.t.Helper()
	world.Await(b.t, key+" to be the next step", func() error {
		script := `[...document.querySelectorAll("#first-steps [aria-current=step]")].map((x) => x.id).join(" ")`
		if got := Eval[string](b, script); got != "step-"+key {
			return fmt.Errorf("it is %q: %s", got, b.Text("#first-steps"))
		}
		return nil
	})
}

// TestTheFirstStepsWithoutScript hides and shows them, and takes both addresses, by forms alone.
func TestTheFirstStepsWithoutScript(t *testing.T) {
	w := NewWorld(t)
	s := w.SignIn()
	if p := s.Page("/"); p.Missing("First steps, 1 of 8 done", "Next: Address") {
		t.Errorf("the fleet does not name the next step: %s", p.Text)
	}
	p := s.Press(s.Page("/start/address?from=start"), "Save and test", map[string]string{"agents_public": "0.0.0.0:1", "public_url": ""})
	if p.Status != 422 || p.Missing("where a server listens") {
		t.Errorf("a listener's address was taken: %d %s", p.Status, p.Text)
	}
	p = s.Press(p, "Save and test", map[string]string{"agents_public": w.Agents, "public_url": "http://" + w.HTTP})
	if p.URL.Path != "/start/address" || p.Missing("leads here, and on this machine alone", "Tested from this machine") {
		t.Errorf("what was found is not said: %s", p.Text)
	}
	// The bundle that helps to find a fault says how it is, has what was noticed, and no secret.
	w.AddRepository("canary", "rest:http://ada:canary-4711@127.0.0.1:1/a", "canary-0815")
	bundle := s.Submit("/settings/support-bundle", nil)
	z, err := gzip.NewReader(strings.NewReader(bundle.HTML))
	if err != nil {
		t.Fatalf("%d, no bundle: %v: %.300q", bundle.Status, err, bundle.HTML)
	}
	packed, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{"/versions.txt", "/doctor.txt", "/settings.txt", "/database.json", "/notices.txt", `"repositories": `,
		"agents: " + w.Agents} {
		if !strings.Contains(string(packed), part) {
			t.Errorf("the bundle has no %s", part)
		}
	}
	for _, secret := range []string{"canary-", passphrase} {
		if strings.Contains(string(packed), secret) {
			t.Errorf("the bundle tells %s", secret)
		}
	}
	if p := s.Page("/audit"); p.Missing("Took a support bundle") {
		t.Errorf("nobody is told who took it: %s", p.Text)
	}
	p = s.Press(s.Page("/start"), "Hide them there", nil)
	if p.URL.Path != "/start" || p.Missing(person+" hid the first steps", "3 of 8 done") {
		t.Errorf("hidden: %s", p.Text)
	}
	if p := s.Page("/"); !p.Missing("First steps,") {
		t.Errorf("they are hidden, and the fleet says: %s", p.Text)
	}
	s.Press(p, "Show them again", nil)
	if p := s.Page("/"); p.Missing("First steps, 3 of 8 done") {
		t.Errorf("they are shown again, and the fleet says: %s", p.Text)
	}
	w.MustStopCleanly()
}
