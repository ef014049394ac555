package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/restic-manager/restic-manager/e2e/world"
)

// layAgents gives the control plane an agent to hand out.
func (w *World) layAgents() {
	w.t.Helper()
	dir := filepath.Join(w.Dir, "plane", "agents")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		w.t.Fatal(err)
	}
	from, err := os.Open(program("restic-manager-agent"))
	if err != nil {
		w.t.Fatal(err)
	}
	defer from.Close()
	to, err := os.Create(filepath.Join(dir, "restic-manager-agent_1.0_"+runtime.GOARCH+".deb"))
	if err != nil {
		w.t.Fatal(err)
	}
	if _, err := io.Copy(to, from); err != nil {
		w.t.Fatal(err)
	}
	if err := to.Close(); err != nil {
		w.t.Fatal(err)
	}
}

// handOut does so, and says where agents dial.
func (w *World) handOut() {
	w.t.Helper()
	w.layAgents()
	w.API("PUT", "/api/agents-public", map[string]any{"address": w.Agents}, 200, nil)
}

// TestTheLineThatIsShownInstallsAndEnrols runs the line that the API answers with, by a real
// shell and a real curl, which knows the agents' port by its key. Where it would install a
// package, a stand-in does.
func TestTheLineThatIsShownInstallsAndEnrols(t *testing.T) {
	w := NewWorld(t)
	w.handOut()
	var made struct{ Token, Install, Problem string }
	w.API("POST", "/api/enroll-tokens", map[string]any{"name": "attic"}, 201, &made)
	line, ok := strings.CutSuffix(made.Install, " | sudo sh -s -- --token "+made.Token+" --policy backup")
	if !ok || !strings.HasPrefix(line, "curl -fsSk --tlsv1.3 --pinnedpubkey 'sha256//") ||
		!strings.Contains(made.Problem, "leads each of them to itself") { // as this address does
		t.Fatalf("the line is %q, the problem %q", made.Install, made.Problem)
	}
	bin, state, log := t.TempDir(), filepath.Join(w.Dir, "attic"), filepath.Join(w.Dir, "installed")
	for name, does := range map[string]string{
		"sudo":                 `exec "$@"`,
		"id":                   "echo 0",
		"dpkg":                 `test "$*" = "-s dpkg"`, // it knows itself, and no agent
		"apt-get":              `for file; do :; done; cp "$file" ` + log + `; chmod 700 ` + log,
		"restic-manager-agent": log + ` "$@" --state ` + state, // what was installed is what runs
		"systemctl":            "exit 0",
	} {
		if err := os.WriteFile(filepath.Join(bin, name), []byte("#!/bin/sh\n"+does+"\n"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	run := func(text string) result {
		c := exec.Command("sh", "-c", text)
		c.Env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"))
		return command(t, c)
	}
	other := strings.Replace(made.Install, "sha256//", "sha256//AAAA", 1)
	if r := run(other); strings.Contains(r.errs+r.out, "Enrolled") || r.code != 0 && r.errs == "" {
		t.Fatalf("with another key it went on: %d %s%s", r.code, r.out, r.errs)
	}
	if _, err := os.Stat(log); err == nil {
		t.Fatal("with another key something was installed")
	}
	r := run(made.Install)
	if r.code != 0 || !strings.Contains(r.errs, `Enrolled as "attic"`) {
		t.Fatalf("the line ended with %d:\n%s%s", r.code, r.out, r.errs)
	}
	hosts := w.Hosts()
	if len(hosts) != 1 || hosts[0].Name != "attic" {
		t.Fatalf("hosts are %+v", hosts)
	}
	a := &Agent{w: w, Name: "attic", ID: hosts[0].ID, Dir: w.Dir, State: state}
	a.Start()
	a.AwaitOnline()
	a.MustStop()
}

// TestAFileEnrolsAndAnAdministratorApproves is how a tool that manages machines brings one
// in: a key, a file in the state directory, and the agent's start.
func TestAFileEnrolsAndAnAdministratorApproves(t *testing.T) {
	w := NewWorld(t)
	var key struct{ Token string }
	w.API("POST", "/api/enroll-keys", map[string]any{"name": "laptops", "approve": true, "drill": false,
		"tags": []string{"laptop"}}, 201, &key)
	state := filepath.Join(w.Dir, "attic")
	if err := os.MkdirAll(state, 0o700); err != nil {
		t.Fatal(err)
	}
	order, err := json.Marshal(map[string]any{"server": w.Agents, "token": key.Token, "policy": "backup"})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(state, "enroll.json")
	if err := os.WriteFile(file, order, 0o600); err != nil {
		t.Fatal(err)
	}
	a := &Agent{w: w, Name: "attic", Dir: w.Dir, State: state}
	a.Start()
	var held []struct{ Host, Name, Policy, Key string }
	world.Await(t, "the host to wait for approval", func() error {
		held = nil
		w.API("GET", "/api/held-hosts", nil, 200, &held)
		if len(held) != 1 {
			return fmt.Errorf("%+v wait: %s", held, a.process.Errs.Tail(1000))
		}
		return nil
	})
	if held[0].Policy != "backup" || held[0].Key != "laptops" {
		t.Errorf("who waits: %+v", held)
	}
	a.ID = held[0].Host
	world.Await(t, "the agent to be refused", func() error {
		if said := a.process.Errs.String(); !strings.Contains(said, "waits for approval") {
			return fmt.Errorf("it says: %s", said)
		}
		return nil
	})
	if _, err := os.Stat(file); err == nil {
		t.Error("the file with the token is still there")
	}
	someone := w.SignIn()
	for path, want := range map[string]string{"/hosts/" + a.ID: "Waits for approval", "/": "to be approved",
		"/hosts/" + a.ID + "/remove": "was never approved"} {
		p := someone.Page(path)
		if !strings.Contains(p.Text, want) || strings.Contains(p.Text, "Revoked") || strings.Contains(p.Text, "plan of retention is held") {
			t.Errorf("%s: of a host that waits it says:\n%s", path, p.Text)
		}
	}
	someone.Submit("/hosts/"+a.ID+"/approve", nil)
	a.AwaitOnline()
	a.MustStop()
}
