package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/restic-manager/restic-manager/controlplane"
	"github.com/restic-manager/restic-manager/controlplane/enroll"
	"github.com/restic-manager/restic-manager/controlplane/jobs"
	"github.com/restic-manager/restic-manager/protocol"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
)

type demoCmd struct {
	Dir    string `placeholder:"DIR" help:"Directory for everything; by default a temporary one, removed at the end."`
	HTTP   string `name:"http" default:"127.0.0.1:0" placeholder:"ADDR" help:"Web pages and API; any free port by default."`
	Agents string `default:"127.0.0.1:0" placeholder:"ADDR" help:"Agents."`
	MQTT   string `name:"mqtt" default:"127.0.0.1:0" placeholder:"ADDR" help:"Consumers."`
	Once   bool   `help:"Wait for the backup, print one line of JSON and stop. Fails if the backup failed."`
}

// A demo is one run of the command.
type demo struct {
	demoCmd
	dir   string
	log   *slog.Logger // of the control plane
	plane *controlplane.Plane
	agent string // path of the agent's program
}

// ending is the line of JSON that --once prints.
type ending struct {
	Job          topics.JobID    `json:"job"`
	State        topics.JobState `json:"state"`
	SnapshotID   string          `json:"snapshot_id"`
	Repository   string          `json:"repository"`
	PasswordFile string          `json:"password_file"`
	Source       string          `json:"source"`
}

// demoPrefix begins the name of a demo's temporary directory.
const demoPrefix = "restic-manager-demo-"

// removeLeftovers removes the directories of demos that were killed: those that a
// demo has claimed and that no process claims now. What cannot be removed stays;
// the next demo tries it again.
func removeLeftovers(temp string) {
	dirs, _ := filepath.Glob(filepath.Join(temp, demoPrefix+"*")) // it fails for a bad pattern alone
	for _, dir := range dirs {
		if _, err := os.Lstat(filepath.Join(dir, "serving.lock")); err != nil {
			continue // another demo is about to claim it
		}
		claim, err := controlplane.Claim(dir)
		if err != nil {
			continue
		}
		_ = claim.Close()
		_ = os.RemoveAll(dir)
	}
}

func (c *demoCmd) Run(ctx context.Context) (err error) {
	d := demo{demoCmd: *c, dir: c.Dir}
	if d.agent, err = agentProgram(); err != nil {
		return err
	}
	if d.dir == "" {
		removeLeftovers(os.TempDir())
		if d.dir, err = os.MkdirTemp("", demoPrefix); err != nil {
			return err
		}
		var claim *os.File
		if claim, err = controlplane.Claim(d.dir); err != nil {
			return err
		}
		// Windows removes no file that is open.
		defer func() { err = errors.Join(err, claim.Close(), os.RemoveAll(d.dir)) }()
	}
	if d.dir, err = filepath.Abs(d.dir); err != nil {
		return err
	}
	if err := os.MkdirAll(d.dir, 0o700); err != nil {
		return err
	}
	logFile, err := os.OpenFile(d.at("control-plane.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer logFile.Close()
	d.log = slog.New(slog.NewTextHandler(logFile, nil))
	if c.Once {
		return d.serve(ctx, d.once)
	}
	return d.fleet(ctx)
}

// serve runs a control plane until during returns, and ends during's context when
// the control plane ends by itself. The control plane stops last, so that it still
// hears how the agents end.
func (d *demo) serve(ctx context.Context, during func(context.Context) error) (err error) {
	timing := controlplane.DefaultTiming()
	timing.Hosts.Grace = 5 * time.Second // nobody waits two minutes to see who is offline
	d.plane, err = controlplane.New(ctx, controlplane.Config{Data: d.at("data"), HTTP: d.HTTP, Agents: d.Agents, MQTT: d.MQTT,
		Log: d.log, Timing: timing, Logs: controlplane.DefaultLogs(), Limits: protocol.DefaultLimits()})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.plane.Close()) }()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	serving, stopServing := context.WithCancel(context.WithoutCancel(ctx))
	defer stopServing()
	var g errgroup.Group
	g.Go(func() error {
		defer stop()
		return d.plane.Run(serving)
	})
	err = during(ctx)
	stopServing()
	return errors.Join(err, g.Wait())
}

func (d *demo) at(name ...string) string { return filepath.Join(append([]string{d.dir}, name...)...) }

// agentProgram finds the agent beside this program, or on PATH.
func agentProgram() (string, error) {
	name := "restic-manager-agent"
	if runtime.GOOS == "windows" {
		name += ".exe"
	}
	if self, err := os.Executable(); err == nil {
		beside := filepath.Join(filepath.Dir(self), name)
		if _, err := os.Stat(beside); err == nil {
			return beside, nil
		}
	}
	path, err := exec.LookPath(name)
	if err != nil {
		return "", fmt.Errorf("the demo needs %s beside this program or on PATH; make build puts both into bin/", name)
	}
	return path, nil
}

// once lets one host in and has it back up what there is.
func (d *demo) once(ctx context.Context) error {
	host, err := d.enrol(ctx)
	if err != nil {
		return err
	}
	return d.withAgents(ctx, []string{d.at("agent")}, func(ctx context.Context) error { return d.backUp(ctx, host) })
}

// withAgents runs an agent for each state directory while during works. When one
// of them ends by itself, all ends. It returns with their processes gone.
func (d *demo) withAgents(ctx context.Context, states []string, during func(context.Context) error) error {
	asked := ctx // ends when somebody ends the demo
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var g errgroup.Group
	for _, state := range states {
		g.Go(func() error {
			defer stop()
			return d.runAgent(ctx, state)
		})
	}
	err := during(ctx)
	stop()
	ended := g.Wait()
	if errors.Is(err, context.Canceled) && (asked.Err() != nil || ended != nil) {
		err = nil // one of the two is the reason
	}
	return errors.Join(err, ended)
}

// runAgent runs the agent of a state directory until ctx ends.
func (d *demo) runAgent(ctx context.Context, state string) error {
	log, err := os.OpenFile(state+".log", os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	agent := exec.CommandContext(ctx, d.agent, "run", "--state", state)
	agent.Stderr = log
	agent.Cancel = func() error { return agent.Process.Signal(os.Interrupt) }
	agent.WaitDelay = 100 * time.Second // it ends a running restic properly first
	runtime.LockOSThread()              // as followParent wants it
	defer runtime.UnlockOSThread()
	followParent(agent) // one that is killed cannot end it
	if err := agent.Start(); err != nil {
		return fmt.Errorf("start the agent: %w", err)
	}
	_ = agent.Wait() // how it ended is in its state
	if ctx.Err() == nil {
		return fmt.Errorf("the agent ended by itself (%v); see %s", agent.ProcessState, state+".log")
	}
	return nil
}

// enrol lets the demo's host in, unless it was at an earlier run in this directory.
func (d *demo) enrol(ctx context.Context) (topics.HostID, error) {
	rows, err := d.plane.Store.Hosts(ctx)
	if err != nil {
		return "", err
	}
	if _, err := os.Stat(d.at("agent")); err == nil && len(rows) > 0 {
		return rows[0].ID, d.readdress(d.at("agent"))
	}
	if err := d.letIn(ctx, "", "backup", d.at("agent")); err != nil {
		return "", err
	}
	rows, err = d.plane.Store.Hosts(ctx)
	if err != nil || len(rows) == 0 {
		return "", errors.Join(err, errors.New("the agent enrolled and no host appeared"))
	}
	return rows[0].ID, nil
}

// letIn gives a host of this name an identity in a state directory.
func (d *demo) letIn(ctx context.Context, name, policy, state string) error {
	_, token, err := d.plane.Desk.Issue(ctx, "demo", name, enroll.TokenLife)
	if err != nil {
		return err
	}
	args := []string{"enroll", "--server", d.plane.AgentsAddr(), "--token", token.Reveal(), "--state", state, "--policy", policy}
	if policy != "managed" { // the demo's repositories are directories
		args = append(args, "--repository-root", d.dir)
	}
	cmd := exec.CommandContext(ctx, d.agent, args...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("enrol the agent: %w: %s", err, strings.TrimSpace(string(out)))
	}
	return nil
}

// readdress tells the agent of an earlier run the port of this one.
func (d *demo) readdress(state string) error {
	path := filepath.Join(state, "identity.json")
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var identity map[string]any
	if err := json.Unmarshal(b, &identity); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	identity["server"] = d.plane.AgentsAddr()
	if b, err = json.MarshalIndent(identity, "", "  "); err != nil {
		return err
	}
	return os.WriteFile(path, b, 0o600)
}

const groupName = "letters"

// backUp makes sample files and a repository, asks for a backup, and waits for its
// end.
func (d *demo) backUp(ctx context.Context, host topics.HostID) error {
	result := ending{Repository: d.at("repository"), PasswordFile: d.at("repository-password"), Source: d.at("sample-files")}
	if err := d.prepare(ctx, host, result); err != nil {
		return err
	}
	job, _, err := d.plane.Jobs.AskBackup(ctx, "demo", host, groupName)
	if err != nil {
		return err
	}
	ended, err := d.await(ctx, job.ID)
	if err != nil {
		return err
	}
	result.Job, result.State, result.SnapshotID = ended.ID, ended.State, ended.SnapshotID
	line, err := json.Marshal(result)
	if err != nil {
		return err
	}
	fmt.Println(string(line))
	if ended.State != topics.Succeeded {
		e := jobs.Explain(ended.Kind, ended.Cause, ended.State)
		return fmt.Errorf("the backup ended as %s: %s (%s). %s", ended.State, e.Cause, ended.Message, strings.Join(e.Texts(), " "))
	}
	return nil
}

func (d *demo) await(ctx context.Context, id topics.JobID) (ended store.Job, err error) {
	err = jobs.Follow(ctx, d.plane.Store, d.plane.Hub, id, 0, func(e jobs.Envelope) error {
		if e.Type == jobs.JobFinished {
			ended = *e.Job
		}
		for _, l := range e.Lines {
			say(os.Stderr, "%s", l.Text)
		}
		return nil
	})
	return ended, err
}

// prepare leaves what an earlier run in this directory has made as it is.
func (d *demo) prepare(ctx context.Context, host topics.HostID, o ending) error {
	if err := sampleFiles(o.Source, 8<<10); err != nil {
		return fmt.Errorf("write sample files: %w", err)
	}
	password, err := os.ReadFile(o.PasswordFile)
	if errors.Is(err, fs.ErrNotExist) {
		password = []byte(rand.Text())
		err = os.WriteFile(o.PasswordFile, password, 0o600)
	}
	if err != nil {
		return err
	}
	repositories, err := d.plane.Store.Repositories(ctx)
	if err != nil {
		return err
	}
	now := time.Now()
	r := store.Repository{ID: topics.RepositoryID(topics.NewID(now)), Name: "demo", Location: o.Repository, CreatedAt: now.UnixMilli()}
	if len(repositories) > 0 {
		r = repositories[0]
	} else if err := d.plane.Store.AddRepository(ctx, "demo", r,
		store.RepositoryAccess{URL: topics.Secret(o.Repository), Password: topics.Secret(password)}); err != nil {
		return err
	}
	_, err = d.plane.Store.PutSourceGroup(ctx, "demo", store.SourceGroup{ID: topics.SourceGroupID(topics.NewID(now)), Host: host,
		Name: groupName, Repository: r.ID, Paths: store.List{o.Source}, CreatedAt: now.UnixMilli()})
	return err
}

// sampleFiles writes a few files of the kinds people have: texts, names beyond
// ASCII, something large that does not compress.
func sampleFiles(dir string, kib int) error {
	for name, text := range map[string]string{
		"letters/dear-reader.txt":        "Dear reader,\n\nthese files are here to be backed up.\n",
		"letters/liebe Grüße.txt":        "Unterwegs nach Köln.\n",
		"letters/写信.txt":                 "你好\n",
		"empty":                          "",
		"notes/2026/a list of things.md": strings.Repeat("- one more thing\n", 2000),
	} {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			return err
		}
	}
	return noise(filepath.Join(dir, "photo.raw"), kib)
}
