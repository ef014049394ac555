package main

import (
	"bytes"
	"context"
	crand "crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/restic-manager/restic-manager/controlplane/hosts"
	"github.com/restic-manager/restic-manager/controlplane/password"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/store/slotlog"
	"github.com/restic-manager/restic-manager/topics"
)

// A demoHost is one host of the demo's fleet.
type demoHost struct {
	name   string
	about  string        // what there is to see, for the terminal
	policy string        // what its agent permits
	ended  time.Duration // how long ago its agent was last heard of; 0 is that it runs
	since  int           // days of history
	until  int           // days ago the good history ends
	group  string        // what it backs up
	vault  string        // the repository it backs up to
	size   int           // KiB of sample files
}

var demoHosts = []demoHost{
	{name: "nas", policy: "keeper", since: 365, group: "documents", vault: "vault", size: 6 << 10,
		about: "protected; keeps the repository vault; uploads its photos slowly right now"},
	{name: "db", policy: "backup", since: 365, until: 1, group: "dumps", vault: "vault", size: 3 << 10,
		about: "failed, because a path was mistyped: Edit what it backs up, dump → dumps, then Run again"},
	{name: "web", policy: "backup", since: 300, group: "sites", vault: "vault", size: 2 << 10,
		about: "warnings: two files could not be read"},
	{name: "laptop", policy: "backup", ended: 9 * time.Hour, since: 240, group: "home", vault: "offsite", size: 8 << 10,
		about: "asleep, and not in trouble for it"},
	{name: "attic", policy: "backup", ended: 12 * 24 * time.Hour, since: 200, until: 12, group: "cameras", vault: "offsite", size: 12 << 10,
		about: "offline, and without a backup for twelve days: overdue"},
	{name: "pi", policy: "backup", group: "home", vault: "vault", size: 1 << 10,
		about: "new: no backup yet; press Back up now"},
}

const (
	demoUser     = "demo"
	demoConsumer = "home"
	demoRestic   = "0.17.3" // what the jobs of the past were run with
)

// demoKeep are the rules of the repository vault.
var demoKeep = store.Keep{Daily: 7, Monthly: 6}

// fleet shows a fleet of six hosts with a year behind it, until ctx ends. What an
// earlier run in this directory has made, it leaves as it is.
func (d *demo) fleet(ctx context.Context) error {
	_, err := os.Stat(d.at("furnished"))
	if errors.Is(err, fs.ErrNotExist) {
		// A control plane of its own writes the past: the one that shows it reads
		// when it begins which hosts were heard of last, and when.
		if err := d.serve(ctx, d.furnish); err != nil {
			return ignoreEnd(ctx, err)
		}
		err = os.WriteFile(d.at("furnished"), nil, 0o600)
	}
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() {
		fmt.Fprintln(os.Stderr, "\nEnding. A restic that uploads slowly finishes what it has begun, for up to half a minute.")
	})()
	return ignoreEnd(ctx, d.serve(ctx, func(ctx context.Context) error {
		var states []string
		for _, h := range demoHosts {
			if h.ended > 0 {
				continue
			}
			if err := d.readdress(d.state(h)); err != nil {
				return err
			}
			states = append(states, d.state(h))
		}
		return d.withAgents(ctx, states, d.live)
	}))
}

// ignoreEnd is for what was interrupted because somebody ended the demo.
func ignoreEnd(ctx context.Context, err error) error {
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

func (d *demo) state(h demoHost) string          { return d.at("agents", h.name) }
func (d *demo) files(h demoHost) string          { return d.at("hosts", h.name, h.group) }
func (d *demo) passwordFile(vault string) string { return d.at(vault + "-password") }

// furnish makes files, repositories, hosts, people and their past.
func (d *demo) furnish(ctx context.Context) error {
	if err := os.MkdirAll(d.at("agents"), 0o700); err != nil {
		return err
	}
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error { return d.addPeople(gctx) })
	g.Go(func() error { return d.initVault(gctx) })
	for _, h := range demoHosts {
		g.Go(func() error {
			if err := fillWithSamples(d.files(h), h.size); err != nil {
				return fmt.Errorf("write sample files: %w", err)
			}
			return d.letIn(gctx, h.name, h.policy, d.state(h))
		})
	}
	// Much of it does not compress, and passes slowly where it may.
	g.Go(func() error { return noise(d.at("hosts", "nas", "photos", "album.raw"), 320<<10) })
	if err := g.Wait(); err != nil {
		return err
	}
	ids, err := d.hostIDs(ctx)
	if err != nil {
		return err
	}
	vaults, err := d.addVaults(ctx, ids["nas"])
	if err != nil {
		return err
	}
	latest := map[string]int64{}
	past := &demoPast{now: time.Now(), chance: rand.New(rand.NewPCG(1, 2)), vaults: vaults}
	for _, h := range demoHosts {
		group, schedule, err := d.addPlan(ctx, h, ids[h.name], vaults[h.vault])
		if err != nil {
			return fmt.Errorf("%s: %w", h.name, err)
		}
		served := past.backups(h, ids[h.name], group, schedule, d.files(h))
		latest[h.name] = served
	}
	past.care(ids["nas"], vaults["vault"])
	slices.SortFunc(past.jobs, func(a, b store.Past) int { return strings.Compare(string(a.Job.ID), string(b.Job.ID)) })
	var done []store.Past
	for _, p := range past.jobs {
		if p.Snapshot == nil || p.Snapshot.ID != "" {
			done = append(done, p)
		}
	}
	if err := d.plane.Store.AddPast(ctx, done, past.days()); err != nil {
		return fmt.Errorf("write the past: %w", err)
	}
	// What the repository still holds is really there: it is made while the demo is
	// already being looked at.
	var real []store.Past
	for _, p := range past.jobs {
		if p.Snapshot != nil && p.Snapshot.ID == "" {
			real = append(real, p)
		}
	}
	b, err := json.Marshal(real)
	if err != nil {
		return err
	}
	if err := os.WriteFile(d.at("real-snapshots.json"), b, 0o600); err != nil {
		return err
	}
	// Last of all: the control plane that still runs would take who has been there for a
	// year, and was never heard of, for somebody who is missed.
	for _, h := range demoHosts {
		created, seen := past.now.AddDate(0, 0, -h.since), time.Now()
		if h.ended > 0 {
			seen = past.now.Add(-h.ended)
		}
		if err := d.plane.Store.Backdate(ctx, ids[h.name], store.Since{Created: created.UnixMilli(), Served: latest[h.name],
			Seen: seen.UnixMilli(), Ended: h.ended > 0}); err != nil {
			return err
		}
	}
	return nil
}

// addPeople lets the user and the consumer of the demo in.
func (d *demo) addPeople(ctx context.Context) error {
	secret := strings.ToLower(crand.Text()[:14])
	hash, err := password.Hash(secret)
	if err != nil {
		return err
	}
	now := time.Now()
	if err := d.plane.Store.AddUser(ctx, demoUser, store.User{ID: topics.NewID(now), Name: demoUser, Role: store.Admin,
		PasswordHash: hash, CreatedAt: now.UnixMilli()}); err != nil {
		return err
	}
	key := password.NewKey("")
	if err := d.plane.Store.AddMQTTUser(ctx, store.Maker{Name: demoUser}, store.MQTTUser{Name: demoConsumer, KeyHash: password.HashKey(key),
		MayDo: true, CreatedAt: now.UnixMilli()}); err != nil {
		return err
	}
	return errors.Join(os.WriteFile(d.at("demo-password"), []byte(secret), 0o600), os.WriteFile(d.at("mqtt-password"), []byte(key), 0o600))
}

// initVault makes the one repository that is really there.
func (d *demo) initVault(ctx context.Context) error {
	for _, vault := range []string{"vault", "offsite"} {
		if err := os.WriteFile(d.passwordFile(vault), []byte(crand.Text()), 0o600); err != nil {
			return err
		}
	}
	_, err := d.restic(ctx, "init")
	return err
}

// restic runs restic on the repository vault, and answers with what it printed.
func (d *demo) restic(ctx context.Context, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, "restic", append([]string{"-r", d.at("vault"), "--password-file", d.passwordFile("vault"),
		"--cache-dir", d.at("cache")}, args...)...)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 10 * time.Second
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	runtime.LockOSThread() // as followParent wants it
	defer runtime.UnlockOSThread()
	followParent(cmd)
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, fmt.Errorf("restic %s: %w: %s", args[0], err, strings.TrimSpace(errs.String()))
	}
	return out.Bytes(), nil
}

func (d *demo) hostIDs(ctx context.Context) (map[string]topics.HostID, error) {
	rows, err := d.plane.Store.Hosts(ctx)
	if err != nil {
		return nil, err
	}
	ids := map[string]topics.HostID{}
	for _, r := range rows {
		ids[r.Name] = r.ID
	}
	for _, h := range demoHosts {
		if ids[h.name] == "" {
			return nil, fmt.Errorf("the agent of %s enrolled and no host appeared", h.name)
		}
	}
	return ids, nil
}

// addVaults registers the repositories: one on this machine, and one elsewhere
// that only hosts which are away back up to.
func (d *demo) addVaults(ctx context.Context, keeper topics.HostID) (map[string]topics.RepositoryID, error) {
	now := time.Now()
	ids := map[string]topics.RepositoryID{}
	for _, r := range []store.Repository{
		{Name: "vault", Location: d.at("vault"), Keeper: keeper, Keep: store.JSON[store.Keep]{V: &demoKeep}},
		{Name: "offsite", Location: "rest:https://backup.example.net/demo"},
	} {
		secret, err := os.ReadFile(d.passwordFile(r.Name))
		if err != nil {
			return nil, err
		}
		r.ID, r.CreatedAt = topics.RepositoryID(topics.NewID(now)), now.AddDate(-1, 0, 0).UnixMilli()
		access := store.RepositoryAccess{URL: topics.Secret(r.Location), Password: topics.Secret(secret)}
		if r.Keeper != "" {
			access.Maintenance = &store.Maintenance{}
		}
		if err := d.plane.Store.AddRepository(ctx, demoUser, r, access); err != nil {
			return nil, err
		}
		ids[r.Name] = r.ID
	}
	return ids, nil
}

// addPlan says what a host backs up, and when.
func (d *demo) addPlan(ctx context.Context, h demoHost, host topics.HostID, vault topics.RepositoryID) (topics.SourceGroupID,
	store.ScheduleID, error) {
	now := time.Now()
	paths := store.List{d.files(h)}
	if h.name == "db" {
		paths = store.List{strings.TrimSuffix(d.files(h), "s")} // the path that is mistyped
	}
	group, err := d.plane.Store.PutSourceGroup(ctx, demoUser, store.SourceGroup{ID: topics.SourceGroupID(topics.NewID(now)), Host: host,
		Name: h.group, Repository: vault, Paths: paths, Excludes: store.List{"*.tmp"}, CreatedAt: now.UnixMilli()})
	if err != nil {
		return "", "", err
	}
	if h.ended > 0 {
		settings := hosts.Settings{Store: d.plane.Store}
		if _, err := settings.Put(ctx, demoUser, host, hosts.Input{Intermittent: new(true), OverdueDays: new(int64(7))}); err != nil {
			return "", "", err
		}
	}
	groups := []topics.SourceGroupID{group.ID}
	if h.name == "nas" {
		photos, err := d.plane.Store.PutSourceGroup(ctx, demoUser, store.SourceGroup{ID: topics.SourceGroupID(topics.NewID(now)), Host: host,
			Name: "photos", Repository: vault, Paths: store.List{d.at("hosts", "nas", "photos")}, CreatedAt: now.UnixMilli(),
			Limits: store.JSON[topics.Limits]{V: &topics.Limits{UploadKiB: 2 << 10}}})
		if err != nil {
			return "", "", err
		}
		groups = append(groups, photos.ID)
	}
	if h.since == 0 {
		return group.ID, "", nil
	}
	id := store.ScheduleID(topics.NewID(now))
	schedule, err := d.plane.Store.PutSchedule(ctx, demoUser, host, "nightly", id, func(s *store.Schedule) error {
		s.Cron, s.Zone, s.Enabled, s.RetryMax = "17 2 * * *", "UTC", true, 3
		s.Groups = groups
		return nil
	})
	return group.ID, schedule.ID, err
}

// live shows the demo until ctx ends: one backup goes on slowly, one fails.
func (d *demo) live(ctx context.Context) error {
	ids, err := d.hostIDs(ctx)
	if err != nil {
		return err
	}
	for host, group := range map[string]string{"nas": "photos", "db": "dumps"} {
		if _, _, err := d.plane.Jobs.AskBackup(ctx, demoUser, ids[host], group); err != nil {
			return err
		}
	}
	if err := d.tell(ctx); err != nil {
		return err
	}
	if err := d.takeRealSnapshots(ctx); err != nil && ctx.Err() == nil {
		say(os.Stderr, "The snapshots of the past are incomplete: %s\n", err)
	}
	<-ctx.Done()
	return ctx.Err()
}

// tell prints where everything is.
func (d *demo) tell(ctx context.Context) error {
	link, err := d.plane.SignInLink(ctx)
	if err != nil {
		return err
	}
	secret, err := os.ReadFile(d.at("demo-password"))
	if err != nil {
		return err
	}
	key, err := os.ReadFile(d.at("mqtt-password"))
	if err != nil {
		return err
	}
	host, port, err := net.SplitHostPort(d.plane.MQTTAddr())
	if err != nil {
		return err
	}
	var about strings.Builder
	for _, h := range demoHosts {
		fmt.Fprintf(&about, "    %-8s %s\n", h.name, h.about)
	}
	fmt.Fprintf(os.Stderr, `
A control plane, four agents of six hosts and a repository are running below %s.

This link signs you in:

    %s

and so does the user %s with the password %s on http://%s.

%s
What consumers see of it over MQTT:

    mosquitto_sub -h %s -p %s -u %s -P %s -t 'rm/v1/pub/#' -v

Ctrl-C ends it all.

`, d.dir, link, demoUser, secret, d.plane.HTTPAddr(), about.String(), host, port, demoConsumer, key)
	return nil
}

// takeRealSnapshots makes the snapshots that the repository vault still holds of
// the past, and the rows of their jobs. An earlier run may have made them.
func (d *demo) takeRealSnapshots(ctx context.Context) error {
	b, err := os.ReadFile(d.at("real-snapshots.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	var past []store.Past
	if err := json.Unmarshal(b, &past); err != nil {
		return err
	}
	slices.Reverse(past) // the newest first: that is what the first look is at
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(max(1, runtime.NumCPU()/2))
	for _, p := range past {
		g.Go(func() error { return d.takeRealSnapshot(gctx, p) })
	}
	if err := g.Wait(); err != nil {
		return err
	}
	return os.Remove(d.at("real-snapshots.json"))
}

func (d *demo) takeRealSnapshot(ctx context.Context, p store.Past) error {
	if _, err := d.plane.Store.Job(ctx, p.Job.ID); err == nil {
		return nil // an earlier run came that far
	}
	s := p.Snapshot
	out, err := d.restic(ctx, "backup", "--json", "--time", time.UnixMilli(s.Time).Format("2006-01-02 15:04:05"), "--host", s.Host,
		"--tag", s.Tags[0], s.Paths[0])
	if err != nil {
		return err
	}
	lines := bytes.Split(bytes.TrimSpace(out), []byte("\n"))
	var summary struct {
		SnapshotID string `json:"snapshot_id"`
	}
	if err := json.Unmarshal(lines[len(lines)-1], &summary); err != nil || summary.SnapshotID == "" {
		return fmt.Errorf("restic names no snapshot: %s", lines[len(lines)-1])
	}
	// restic before 0.16 names the beginning of the ID only.
	found, err := filepath.Glob(d.at("vault", "snapshots", summary.SnapshotID+"*"))
	if err != nil || len(found) != 1 {
		return fmt.Errorf("%d snapshots are named %s", len(found), summary.SnapshotID)
	}
	s.ID = filepath.Base(found[0])
	if err := d.plane.Store.AddPast(ctx, []store.Past{p}, nil); err != nil {
		return err
	}
	d.plane.Changed(p.Job.Host)
	return nil
}

// A demoPast is a year of nights, the same ones in each demo.
type demoPast struct {
	now    time.Time
	chance *rand.Rand
	vaults map[string]topics.RepositoryID
	jobs   []store.Past
}

// backups are a host's, one a night: one in a while fails or warns, a laptop
// sleeps through some. Those that the rules keep have a snapshot without an ID,
// which is still to be made; of the others it has been removed since. It answers
// with the latest slot before now.
func (p *demoPast) backups(h demoHost, host topics.HostID, group topics.SourceGroupID, schedule store.ScheduleID,
	path string) (served int64) {
	if h.since == 0 {
		return 0
	}
	var missed []slotlog.Row
	today := p.now.UTC().Truncate(24 * time.Hour)
	for day := h.since; day >= 0; day-- {
		slot := today.AddDate(0, 0, -day).Add(2*time.Hour + 17*time.Minute)
		begin := slot.Add(time.Duration(p.chance.IntN(600)) * time.Second)
		if slot.Before(p.now) {
			served = slot.UnixMilli()
		}
		asleep := h.name == "laptop" && p.chance.IntN(10) < 3
		outcome := slotlog.Row{Schedule: schedule, Group: group, Host: host, Slot: slot.UnixMilli()}
		if begin.After(p.now.Add(-10 * time.Minute)) {
			continue
		}
		mistyped := day < h.until && h.ended == 0
		if day < h.until && !mistyped || asleep && day > 1 {
			outcome.Outcome, outcome.At = slotlog.MissedAsleep, slot.Add(time.Hour).UnixMilli()
			outcome.Reason = "Its host, which is not always on, was not connected."
			missed = append(missed, outcome)
			continue
		}
		took := time.Duration(40+p.chance.IntN(200)) * time.Second
		total := uint64(h.size) << 10 * uint64(400+600*(h.since-day)/max(h.since, 1)) / 1000
		j := store.Job{
			ID:            topics.JobID(topics.NewID(begin)),
			Host:          host,
			Kind:          topics.BackupJob,
			SourceGroup:   group,
			Repository:    p.vaults[h.vault],
			State:         topics.Succeeded,
			RequestedBy:   "schedule:nightly",
			QueuedAt:      begin.UnixMilli(),
			StartedAt:     begin.UnixMilli(),
			FinishedAt:    begin.Add(took).UnixMilli(),
			NotAfter:      begin.AddDate(0, 0, 1).UnixMilli(),
			Attempts:      1,
			ResticVersion: demoRestic,
			Schedule:      schedule,
			Slot:          slot.UnixMilli(),
			Fired:         true,
			HeardAt:       begin.UnixMilli(),
		}
		j.ExitCode.Valid = true
		files := total/(24<<10) + 1
		sum := topics.Summary{FilesNew: uint64(p.chance.IntN(9)), FilesChanged: uint64(p.chance.IntN(20)), TotalFiles: files, TotalBytes: total,
			DataAdded: total / uint64(50+p.chance.IntN(100)), Seconds: took.Seconds()}
		sum.FilesUnmodified = files - min(files, sum.FilesNew+sum.FilesChanged)
		switch n := p.chance.IntN(100); {
		case mistyped:
			j.State, j.Cause, j.ExitCode.Int64 = topics.Failed, topics.CauseSourceMissing, 1
			j.Message = "Fatal: all source directories/files do not exist"
		case h.name == "web" && day < 2, n < 3 && day > 3:
			j.State, j.Cause, j.ExitCode.Int64, sum.Unreadable = topics.Warnings, topics.CauseUnreadable, 3, 2
			j.Message = "2 items could not be read; the snapshot holds all others."
		case n < 6 && day > 10:
			j.State, j.Cause, j.ExitCode.Int64 = topics.Failed, topics.CauseUnreachable, 1
			j.Message = "Fatal: unable to open repository: dial tcp: connection refused"
		}
		outcome.Outcome, outcome.Job, outcome.Cause, outcome.At = slotlog.Ran, j.ID, j.Cause, j.FinishedAt
		if j.State == topics.Failed {
			outcome.Outcome = slotlog.Failed
		}
		x := store.Past{Job: j, Slots: append(missed, outcome)}
		missed = nil
		if j.State != topics.Failed {
			x.Job.Summary = store.JSON[topics.Summary]{V: &sum}
			x.Snapshot = &topics.Snapshot{Time: begin.Add(time.Second).Truncate(time.Second).UnixMilli(), Host: h.name, Paths: []string{path},
				Tags: []string{"plan=" + string(group)}, Username: "root"}
			last := begin.AddDate(0, 0, 1).Month() != begin.Month()
			switch kept := day <= 9 || last && day < 190; {
			case kept && h.vault == "vault":
			case h.vault == "vault":
				x.Snapshot.ID, x.GoneAt = newSnapshotID(), begin.AddDate(0, 0, 8).UnixMilli()
			default:
				x.Snapshot.ID = newSnapshotID()
			}
		}
		if day < 30 {
			x.Lines = linesOf(x.Job, path)
		} else {
			x.Job.LogDroppedAt = begin.AddDate(0, 0, 30).UnixMilli()
		}
		p.jobs = append(p.jobs, x)
	}
	if len(missed) > 0 {
		last := &p.jobs[len(p.jobs)-1]
		last.Slots = append(last.Slots, missed...)
	}
	return served
}

// newSnapshotID is the ID of a snapshot that nobody will ask the repository for.
func newSnapshotID() string {
	b := make([]byte, 32)
	_, _ = crand.Read(b) // it never fails
	return fmt.Sprintf("%x", b)
}

// linesOf is what a job's log says.
func linesOf(j store.Job, path string) []topics.Line {
	texts := []string{"backup --json --tag plan=" + string(j.SourceGroup) + " " + path}
	levels := []topics.Level{topics.Info}
	say := func(level topics.Level, text string) { texts, levels = append(texts, text), append(levels, level) }
	switch j.State {
	case topics.Failed:
		say(topics.Error, j.Message)
	case topics.Warnings:
		for _, name := range []string{"session.lock", "upload.part"} {
			say(topics.Warn, "open "+filepath.Join(path, name)+": permission denied")
		}
	}
	if s := j.Summary.V; s != nil {
		say(topics.Info, fmt.Sprintf("%d files new, %d changed, %d unmodified", s.FilesNew, s.FilesChanged, s.FilesUnmodified))
	}
	lines := make([]topics.Line, len(texts))
	for i := range texts {
		lines[i] = topics.Line{At: j.StartedAt + (j.FinishedAt-j.StartedAt)*int64(i)/int64(len(texts)), Level: levels[i], Text: texts[i]}
	}
	return lines
}

// care is what the keeper did: it forgot daily, pruned and checked weekly.
func (p *demoPast) care(keeper topics.HostID, vault topics.RepositoryID) {
	today := p.now.UTC().Truncate(24 * time.Hour)
	for day := 60; day > 1; day-- {
		for i, kind := range []topics.JobKind{topics.ForgetJob, topics.PruneJob, topics.CheckJob} {
			begin := today.AddDate(0, 0, -day).Add(5*time.Hour + time.Duration(i*20)*time.Minute)
			if kind != topics.ForgetJob && begin.Weekday() != time.Sunday || kind == topics.ForgetJob && day < 3 {
				continue
			}
			p.jobs = append(p.jobs, store.Past{Job: store.Job{ID: topics.JobID(topics.NewID(begin)), Host: keeper, Kind: kind,
				Repository: vault, State: topics.Succeeded, RequestedBy: store.Plane, QueuedAt: begin.UnixMilli(), StartedAt: begin.UnixMilli(),
				FinishedAt: begin.Add(90 * time.Second).UnixMilli(), NotAfter: begin.AddDate(0, 0, 1).UnixMilli(), Attempts: 1,
				ResticVersion: demoRestic, LogDroppedAt: begin.AddDate(0, 0, 1).UnixMilli()}})
		}
	}
}

// days are how the repositories grew.
func (p *demoPast) days() (days []store.Day) {
	for name, id := range p.vaults {
		var size, most int64
		for _, h := range demoHosts {
			if h.vault == name {
				size, most = size+int64(h.size)<<10, max(most, int64(h.since))
			}
		}
		for day := most; day >= 1; day-- {
			grown := size * (400 + 600*(most-day)/most + p.chance.Int64N(12) + (most-day)%30) / 1000
			kept := min(most-day+1, 7) + min((most-day)/30, 6)
			if name == "offsite" {
				kept = most - day + 1
			}
			days = append(days, store.Day{Repository: id, Day: p.now.AddDate(0, 0, -int(day)).UnixMilli() / (24 * time.Hour).Milliseconds(),
				Snapshots: 3 * kept, RestoreBytes: grown * kept, StoredBytes: grown * 8 / 5, PlainBytes: grown * 9 / 4})
		}
	}
	return days
}

// fillWithSamples writes files of the kinds people have, this many KiB in all.
func fillWithSamples(dir string, kib int) error {
	if err := sampleFiles(dir, min(kib/2, 2<<10)); err != nil {
		return err
	}
	for i := range 12 {
		if err := noise(filepath.Join(dir, fmt.Sprintf("2026/%02d/scan.raw", i+1)), kib/24); err != nil {
			return err
		}
	}
	return nil
}

// noise writes a file that does not compress, unless it is there.
func noise(path string, kib int) error {
	if _, err := os.Stat(path); err == nil {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	b := make([]byte, kib<<10)
	if _, err := crand.Read(b); err != nil {
		return err
	}
	return os.WriteFile(path, b, 0o644)
}
