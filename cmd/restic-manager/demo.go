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
	plane *controlplane.Plane
	agent string // path of the agent's program
}

// outcome is the line of JSON that --once prints.
type outcome struct {
	Job          topics.JobID    `json:"job"`
	State        topics.JobState `json:"state"`
	SnapshotID   string          `json:"snapshot_id"`
	Repository   string          `json:"repository"`
	PasswordFile string          `json:"password_file"`
	Source       string          `json:"source"`
}

func (c *demoCmd) Run(ctx context.Context) (err error) {
	d := demo{demoCmd: *c, dir: c.Dir}
	if d.agent, err = agentProgram(); err != nil {
		return err
	}
	if d.dir == "" {
		if d.dir, err = os.MkdirTemp("", "restic-manager-demo-"); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, os.RemoveAll(d.dir)) }()
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
	d.plane, err = controlplane.New(ctx, controlplane.Config{Data: d.at("data"), HTTP: c.HTTP, Agents: c.Agents, MQTT: c.MQTT,
		Log: slog.New(slog.NewTextHandler(logFile, nil)), Timing: controlplane.DefaultTiming(),
		Logs: controlplane.DefaultLogs(), Limits: protocol.DefaultLimits()})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.plane.Close()) }()

	// The plane stops last, so that it still hears how the agent ends.
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	serving, stopServing := context.WithCancel(context.WithoutCancel(ctx))
	defer stopServing()
	var g errgroup.Group
	g.Go(func() error {
		defer stop()
		return d.plane.Run(serving)
	})
	err = d.show(ctx)
	stopServing()
	return errors.Join(err, g.Wait())
}

func (d *demo) at(name string) string { return filepath.Join(d.dir, name) }

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

// show tells the story: a host enrols, something to back up appears, a backup
// runs. It returns when it is over, with the agent's process gone.
func (d *demo) show(ctx context.Context) error {
	host, err := d.enrol(ctx)
	if err != nil {
		return err
	}
	agentLog, err := os.OpenFile(d.at("agent.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer agentLog.Close()
	agent := exec.CommandContext(ctx, d.agent, "run", "--state", d.at("agent"))
	agent.Stderr = agentLog
	agent.Cancel = func() error { return agent.Process.Signal(os.Interrupt) }
	agent.WaitDelay = 100 * time.Second // it ends a running restic properly first
	followParent(agent)                 // one that is killed cannot end it
	started, agentEnded := make(chan error, 1), make(chan struct{})
	asked := ctx // ends when somebody ends the demo
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	go func() {
		runtime.LockOSThread() // as followParent wants it
		defer runtime.UnlockOSThread()
		defer close(agentEnded)
		defer stop()
		err := agent.Start()
		if started <- err; err == nil {
			_ = agent.Wait() // how it ended is in its state
		}
	}()
	if err := <-started; err != nil {
		return fmt.Errorf("start the agent: %w", err)
	}
	err = d.backUp(ctx, host)
	if ctx.Err() == nil {
		_ = agent.Process.Signal(os.Interrupt)
	}
	<-agentEnded
	switch {
	case errors.Is(err, context.Canceled) && asked.Err() == nil:
		return fmt.Errorf("the agent ended by itself (%v); see %s", agent.ProcessState, d.at("agent.log"))
	case errors.Is(err, context.Canceled):
		return nil
	}
	return err
}

// enrol lets the demo's host in, unless it was at an earlier run in this directory.
func (d *demo) enrol(ctx context.Context) (topics.HostID, error) {
	rows, err := d.plane.Store.Hosts(ctx)
	if err != nil {
		return "", err
	}
	if _, err := os.Stat(d.at("agent")); err == nil && len(rows) > 0 {
		return rows[0].ID, d.readdress()
	}
	_, token, err := d.plane.Desk.Issue(ctx, "demo", "", enroll.TokenLife)
	if err != nil {
		return "", err
	}
	cmd := exec.CommandContext(ctx, d.agent, "enroll", "--server", d.plane.AgentsAddr(), "--token", token.Reveal(), "--state", d.at("agent"))
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("enrol the agent: %w: %s", err, strings.TrimSpace(string(out)))
	}
	rows, err = d.plane.Store.Hosts(ctx)
	if err != nil || len(rows) == 0 {
		return "", errors.Join(err, errors.New("the agent enrolled and no host appeared"))
	}
	return rows[0].ID, nil
}

// readdress tells the agent of an earlier run the port of this one.
func (d *demo) readdress() error {
	path := filepath.Join(d.at("agent"), "identity.json")
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

// backUp makes sample files and a repository, asks for a backup, and waits: for
// its end with --once, otherwise for ever.
func (d *demo) backUp(ctx context.Context, host topics.HostID) error {
	result := outcome{Repository: d.at("repository"), PasswordFile: d.at("repository-password"), Source: d.at("sample-files")}
	if err := d.prepare(ctx, host, result); err != nil {
		return err
	}
	job, _, err := d.plane.Jobs.AskBackup(ctx, "demo", host, groupName)
	if err != nil {
		return err
	}
	if !d.Once {
		link, err := d.plane.SignInLink(ctx)
		if err != nil {
			return err
		}
		fmt.Fprintf(os.Stderr, "\nA control plane, an agent and a repository are running below %s.\nA first backup is on its way. This link signs you in:\n\n    %s\n\nCtrl-C ends it all.\n\n", d.dir, link)
		<-ctx.Done()
		return ctx.Err()
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
func (d *demo) prepare(ctx context.Context, host topics.HostID, o outcome) error {
	if err := sampleFiles(o.Source); err != nil {
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
	} else if err := d.plane.Store.AddRepository(ctx, "demo", r, store.RepositoryAccess{URL: topics.Secret(o.Repository), Password: topics.Secret(password)}); err != nil {
		return err
	}
	_, err = d.plane.Store.PutSourceGroup(ctx, "demo", store.SourceGroup{ID: topics.SourceGroupID(topics.NewID(now)), Host: host, Name: groupName,
		Repository: r.ID, Paths: store.List{o.Source}, CreatedAt: now.UnixMilli()})
	return err
}

// sampleFiles writes a few files of the kinds people have: texts, names beyond
// ASCII, something large that does not compress.
func sampleFiles(dir string) error {
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
	photo := filepath.Join(dir, "photo.raw")
	if _, err := os.Stat(photo); err == nil {
		return nil
	}
	noise := make([]byte, 8<<20)
	if _, err := rand.Read(noise); err != nil {
		return err
	}
	return os.WriteFile(photo, noise, 0o644)
}
