package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/restic-manager/restic-manager/agent/launcher"
	"github.com/restic-manager/restic-manager/agent/process"
	"github.com/restic-manager/restic-manager/failpoint"
	"github.com/restic-manager/restic-manager/private"
	"github.com/restic-manager/restic-manager/protocol"
	"github.com/restic-manager/restic-manager/release"
	"github.com/restic-manager/restic-manager/topics"
)

// Keys are those whose signatures this host takes: what its policy names, or else the one
// that the program was built with.
func Keys(state string) ([]string, error) {
	p, err := LoadPolicy(state)
	if err != nil {
		return nil, err
	}
	return p.keys(), nil
}

func (p Policy) keys() []string {
	if p.Updates != nil && len(p.Updates.Keys) > 0 {
		return p.Updates.Keys
	}
	return release.Pinned()
}

// running is the number of the release that this process is.
func (a *Agent) running() int64 {
	if a.Child != nil {
		return a.Child.Number
	}
	return release.Own()
}

// onTrial reports whether this process has yet to prove itself.
func (r *runner) onTrial() bool {
	if r.child == nil || !r.trial {
		return false
	}
	select {
	case <-r.child.Kept:
		return false
	default:
		return true
	}
}

// prove tells the launcher that this release works: the control plane has welcomed it, and
// restic answers if it did before.
func (r *runner) prove(ctx context.Context) {
	failpoint.Here("update-trial")
	select {
	case <-r.welcomed:
	case <-ctx.Done():
		return
	}
	s, err := launcher.Load(r.state)
	if err == nil && s.Trial != nil && s.Trial.Restic {
		if _, err := r.program.find(ctx); err != nil {
			if ctx.Err() == nil {
				r.child.LostRestic(err.Error())
			}
			return
		}
	}
	r.child.Welcomed()
	failpoint.Here("update-welcomed")
}

// update runs a job of kind update, on a goroutine of its own. It is called again in each
// process that goes on with it, and finds by what is on disk how far it is. Called by the
// loop.
func (r *runner) update(id topics.JobID, run topics.Run) {
	ctx, cancel := context.WithCancelCause(r.quit)
	r.jobs[id] = cancel
	r.updating = id
	r.log.Info("an update of the agent is at work", "job", id)
	r.work.Go(func() {
		defer cancel(nil)
		u := updater{runner: r, job: id, update: run.Update}
		end, over := u.all(ctx)
		if !over {
			return // another process goes on with it
		}
		failpoint.Here("update-ends")
		r.do(protocol.Ended{Job: id, End: end, At: now()})
		if err := launcher.Tidy(r.state); err != nil {
			r.log.Warn("what is left of other releases cannot be removed", "err", err)
		}
		r.log.Info("job ended", "job", id, "state", end.State, "cause", end.Cause)
	})
}

// An updater is a running update.
type updater struct {
	*runner
	job    topics.JobID
	update *topics.Update
}

func (u updater) say(level topics.Level, format string, args ...any) {
	text := strings.ToValidUTF8(fmt.Sprintf(format, args...), "\uFFFD")
	u.runner.do(protocol.Printed{Job: u.job, Lines: []topics.Line{{At: now(), Level: level, Text: text}}, At: now()})
}

func failed(cause topics.Cause, format string, args ...any) error {
	return &launcher.Failure{Cause: cause, Message: fmt.Sprintf(format, args...)}
}

// errLeaves is that another process goes on with the update.
var errLeaves = errors.New("another process goes on")

// all runs the update. over is false if it is to be gone on with by another process.
func (u updater) all(ctx context.Context) (end topics.Finished, over bool) {
	u.runner.do(protocol.Spawned{Job: u.job, At: now()})
	m, err := u.steps(ctx)
	switch {
	case err == nil && u.update.Restic != nil:
		u.say(topics.Info, "%s is used from now on", m.Version)
		return topics.Finished{State: topics.Succeeded}, true
	case err == nil:
		u.say(topics.Info, "the agent is release %d, %s, from now on", m.Number, m.Version)
		return topics.Finished{State: topics.Succeeded}, true
	case errors.Is(err, errLeaves), errors.Is(context.Cause(ctx), errStopping):
		return end, false
	case errors.Is(context.Cause(ctx), errCancelled):
		return topics.Finished{State: topics.Cancelled, Cause: topics.CauseCancelled,
			Message: "Cancelled before the new program was tried."}, true
	case ctx.Err() != nil:
		return end, false
	}
	why := launcher.Failed(err)
	if process.FullDisk(err) {
		why = &launcher.Failure{Cause: topics.CauseHostDisk, Message: err.Error()}
	}
	u.say(topics.Error, "%s", why.Message)
	if why.Cause == topics.CauseExpired {
		return topics.Finished{State: topics.Abandoned, Cause: why.Cause, Message: why.Message}, true
	}
	return topics.Finished{State: topics.Failed, Cause: why.Cause, Message: why.Message}, true
}

func (u updater) steps(ctx context.Context) (m release.Manifest, err error) {
	policy, err := u.policy()
	if err != nil {
		return m, failed(topics.CausePolicy, "%v", err)
	}
	if u.update.Restic != nil {
		m.Version, err = u.restic(ctx, policy, *u.update.Restic)
		return m, err
	}
	if m, err = u.permitted(policy); err != nil {
		return m, err
	}
	s, err := launcher.Load(u.state)
	if err != nil {
		return m, failed(topics.CausePermission, "%v", err)
	}
	switch {
	case u.runner.number == m.Number:
		return m, u.proven(ctx)
	case s.BackJob == u.job && s.Back != nil && s.Back.From == m.Number:
		return m, failed(s.Back.Cause, "Went back to what ran before: %s.", s.Back.Message)
	case release.Newer(m.Number, max(u.runner.number, s.Highest)) <= 0 && !u.again(m, s):
		return m, failed(topics.CauseOldManifest, "It is release %d, of %s. Release %d runs here, and %d is the newest that did: an older one "+
			"is not taken, and neither is one that somebody on this host went back from.", m.Number, day(m.Number), u.runner.number,
			max(u.runner.number, s.Highest))
	}
	system, arch := release.Platform()
	p, ok := m.For(system, arch)
	if !ok {
		return m, failed(topics.CauseNoProgram, "Release %d (%s) has no program for %s %s.", m.Number, m.Version, system, arch)
	}
	if s.Trial != nil && s.Trial.Number == m.Number { // proposed before, and the launcher has not begun it
		// What kept it from that keeps it again, and this agent is to work, not to leave for ever.
		if _, err := launcher.Change(u.state, func(*launcher.State) bool { return true }); err != nil {
			return m, errors.Join(failed(topics.CausePermission, "That it is tried cannot be written down: %v.", err), err)
		}
		return m, u.leave()
	}
	if err := u.fetch(ctx, m, p); err != nil {
		return m, err
	}
	if err := u.test(ctx, m); err != nil {
		return m, err
	}
	if err := u.alone(ctx); err != nil {
		return m, err
	}
	_, none := u.program.find(ctx)
	if ctx.Err() != nil {
		return m, ctx.Err()
	}
	failpoint.Here("update-proposes")
	trial := launcher.Trial{Number: m.Number, Version: m.Version, Job: u.job, Restic: none == nil, Since: now()}
	if _, err := launcher.Change(u.state, func(s *launcher.State) bool {
		s.Trial = &trial
		return true
	}); err != nil {
		return m, fmt.Errorf("write down what is to be tried: %w", err)
	}
	failpoint.Here("update-proposed")
	u.say(topics.Info, "release %d, %s, is on trial: it is kept once the control plane has welcomed it", m.Number, m.Version)
	return m, u.leave()
}

// again reports whether a release is the newest that ever ran here, and was left since it
// could not be run any more: its files were damaged or removed, not somebody went back.
func (u updater) again(m release.Manifest, s launcher.State) bool {
	return m.Number == s.Highest && m.Number > u.runner.number && s.Back != nil && s.Back.From == m.Number &&
		s.Back.Cause != topics.CauseRolledBack
}

func day(number int64) string { return time.Unix(number, 0).UTC().Format("2 January 2006") }

// leave has this process end, so that the launcher starts what is to run.
func (u updater) leave() error {
	select {
	case u.leaves <- struct{}{}:
	default:
	}
	return errLeaves
}

// permitted returns the manifest if this host takes it.
func (u updater) permitted(p Policy) (m release.Manifest, err error) {
	if p.Updates != nil && p.Updates.Forbid {
		return m, failed(topics.CauseUpdateRefused, "This host's policy forbids updates from its control plane.")
	}
	if !u.launched {
		return m, failed(topics.CauseUpdateRefused, "This agent was not started by run, and cannot be replaced.")
	}
	m, err = release.Verify(p.keys(), u.update.Manifest, u.update.Signature)
	switch {
	case errors.Is(err, release.ErrNoKey):
		return m, failed(topics.CauseUpdateRefused, "This build of the agent has no release key, and refuses every update.")
	case err != nil:
		return m, failed(topics.CauseSignature, "%v.", err)
	}
	return m, nil
}

// proven waits until the launcher keeps the release that this process is.
func (u updater) proven(ctx context.Context) error {
	if !u.onTrial() {
		return nil
	}
	select {
	case <-u.child.Kept:
		failpoint.Here("update-kept")
		return u.journal.Raise()
	case <-ctx.Done():
	}
	if errors.Is(context.Cause(ctx), errStopping) {
		return errLeaves
	}
	select { // it is not cancelled any more: the launcher decides
	case <-u.child.Kept:
		return u.journal.Raise()
	case <-u.child.Told:
	case <-u.quit.Done():
	}
	return errLeaves
}

// alone waits until nothing else runs: nothing was begun since this update was accepted.
func (u updater) alone(ctx context.Context) error {
	j, _, err := u.journal.Job(u.job)
	if err != nil {
		return err
	}
	said := false
	for {
		jobs, err := u.journal.Open()
		if err != nil {
			return err
		}
		if len(jobs) <= 1 {
			return nil
		}
		if !said {
			said = true
			u.say(topics.Info, "waiting until what else runs on this host has ended: %d jobs", len(jobs)-1)
		}
		if j.NotAfter > 0 && now() > j.NotAfter {
			return failed(topics.CauseExpired, "Other jobs ran on the host until the time had passed by which this had to begin.")
		}
		select {
		case <-time.After(u.runner.Timing.Turn):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// test runs the program once, for it to say its version. What cannot be run is found here,
// while the agent still works.
func (u updater) test(ctx context.Context, m release.Manifest) error {
	path := launcher.Program(u.state, m.Number)
	ctx, cancel := context.WithTimeout(ctx, u.runner.Timing.Try)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, "version")
	cmd.WaitDelay = time.Second
	out, err := cmd.Output()
	failpoint.Here("update-tested")
	if err != nil {
		return failed(topics.CauseCannotRun, "The new program does not run here: %s.", launcher.Reason(path, err))
	}
	if !strings.HasPrefix(string(out), "restic-manager-agent ") {
		return failed(topics.CauseCannotRun, "The new program does not say that it is the agent, but %.100q.", string(out))
	}
	return nil
}

// spare is how many bytes stay free beside a program that is downloaded: the journal needs
// some.
const spare = 2 << 20

// fetch has the release be in its directory: whole, verified and on disk. What has come of
// it before is not downloaded again.
func (u updater) fetch(ctx context.Context, m release.Manifest, p release.Program) error {
	if _, err := launcher.Verify(u.state, m.Number, mustKeys(u.policy())); err == nil {
		return nil
	}
	if err := launcher.Tidy(u.state, m.Number); err != nil {
		u.log.Warn("what is left of other releases cannot be removed", "err", err)
	}
	held := launcher.Held(u.state, m.Number)
	if err := os.RemoveAll(held); err != nil { // it is not what was signed
		return fmt.Errorf("remove a release that is not whole: %w", err)
	}
	part := held + launcher.Partial
	for _, dir := range []string{launcher.Dir(u.state), part} {
		if err := private.MakeDir(dir); err != nil {
			return fmt.Errorf("make a directory: %w", err)
		}
	}
	for name, content := range map[string][]byte{release.ManifestFile: u.update.Manifest, release.SignatureFile: u.update.Signature} {
		if err := launcher.WriteFile(filepath.Join(part, name), content, 0o600); err != nil {
			return fmt.Errorf("write the manifest: %w", err)
		}
	}
	failpoint.Here("update-manifest-written")
	free, total, err := process.Space(part)
	if need := uint64(p.Size) + spare; err == nil && total > 0 && free < need {
		return errors.Join(failed(topics.CauseHostDisk, "There is no space left on the host for the new program: it takes %d bytes with what is "+
			"to stay free, and %d are.", need, free), os.RemoveAll(part))
	}
	path := filepath.Join(part, filepath.Base(launcher.Program(u.state, m.Number)))
	if err := u.download(ctx, path, p); err != nil {
		if process.FullDisk(err) { // the journal needs the room, before anything else is said
			err = errors.Join(err, os.RemoveAll(part))
		}
		return err
	}
	failpoint.Here("update-downloaded")
	if err := launcher.Matches(path, p); err != nil {
		return errors.Join(err, os.Remove(path))
	}
	if err := os.Chmod(path, 0o700); err != nil {
		return fmt.Errorf("make the program one: %w", err)
	}
	if err := launcher.SyncDir(part); err != nil {
		return fmt.Errorf("write the program to disk: %w", err)
	}
	failpoint.Here("update-checked")
	if err := os.Rename(part, held); err != nil {
		return fmt.Errorf("put the release in its place: %w", err)
	}
	failpoint.Here("update-staged")
	return launcher.SyncDir(launcher.Dir(u.state))
}

func mustKeys(p Policy, err error) []string {
	if err != nil {
		return nil
	}
	return p.keys()
}

// download has a file be as long as the program, and tries again while the control plane is
// away or busy.
func (u updater) download(ctx context.Context, path string, p release.Program) error {
	u.say(topics.Info, "downloading %s", p.Name)
	var last error
	for try := range u.runner.Timing.Tries {
		if try > 0 {
			select {
			case <-time.After(min(time.Duration(try)*u.runner.Timing.Again, time.Minute)):
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		again := false
		if again, last = u.piece(ctx, path, p); last == nil || !again || ctx.Err() != nil {
			break
		}
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return last
}

// piece downloads what a file lacks. again is that it may be tried once more.
func (u updater) piece(ctx context.Context, path string, p release.Program) (again bool, err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return false, fmt.Errorf("write the program: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	has, err := f.Seek(0, io.SeekEnd)
	if err == nil && has > p.Size {
		has = 0
		err = errors.Join(f.Truncate(0), seek(f))
	}
	if err != nil || has == p.Size {
		return false, err
	}
	client := &http.Client{
		Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: u.shown.current.Load().tls(topics.ALPNHTTP),
			ResponseHeaderTimeout: 30 * time.Second},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	ask, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+u.identity.Server+"/download/"+p.Name, nil)
	if err != nil {
		return false, err
	}
	if has > 0 {
		ask.Header.Set("Range", fmt.Sprintf("bytes=%d-", has))
	}
	answer, err := client.Do(ask)
	if err != nil {
		return true, failed(topics.CauseUnreachable, "The new program cannot be downloaded: %v.", err)
	}
	defer answer.Body.Close()
	switch answer.StatusCode {
	case http.StatusPartialContent:
	case http.StatusOK:
		if err := errors.Join(f.Truncate(0), seek(f)); err != nil {
			return false, fmt.Errorf("write the program: %w", err)
		}
		has = 0
	case http.StatusTooManyRequests, http.StatusServiceUnavailable, http.StatusBadGateway, http.StatusGatewayTimeout:
		return true, failed(topics.CauseUnreachable, "The control plane is too busy to hand the new program out: %s.", answer.Status)
	default:
		return false, failed(topics.CauseUnreachable, "The control plane does not hand %s out: %s.", p.Name, answer.Status)
	}
	in := &progressing{Reader: io.LimitReader(answer.Body, p.Size-has+1), updater: u, has: has, size: p.Size}
	n, err := io.Copy(f, in)
	switch full := process.FullDisk(err); {
	case full:
		return false, fmt.Errorf("write the program: %w", err)
	case err != nil || has+n < p.Size:
		return true, errors.Join(failed(topics.CauseUnreachable, "The download broke off after %d of %d bytes.", has+n, p.Size), f.Sync())
	case has+n > p.Size:
		return false, errors.Join(failed(topics.CauseChecksum, "%s is longer than the %d bytes that it is to have.", p.Name, p.Size),
			f.Truncate(0))
	}
	failpoint.Here("update-came")
	return false, f.Sync()
}

func seek(f *os.File) error {
	_, err := f.Seek(0, io.SeekStart)
	return err
}

// progressing tells how much of the program has come.
type progressing struct {
	io.Reader
	updater
	has, size int64
	told      time.Time
}

func (p *progressing) Read(b []byte) (int, error) {
	n, err := p.Reader.Read(b)
	p.has += int64(n)
	if time.Since(p.told) >= time.Second {
		p.told = time.Now()
		status := progress{job: p.job}
		status.status.Scanned = true
		status.status.TotalBytes, status.status.BytesDone = uint64(p.size), uint64(min(p.has, p.size))
		status.status.Percent = 100 * float64(min(p.has, p.size)) / float64(p.size)
		select {
		case p.progress <- status:
		default:
		}
	}
	return n, err
}

// updates is what is told of updates of this agent.
func (r *runner) updates(p Policy) *topics.Updates {
	u := &topics.Updates{Number: r.number, Forbidden: p.Updates != nil && p.Updates.Forbid, Kept: r.child != nil, Trial: r.onTrial()}
	u.OS, u.Arch = release.Platform()
	for _, key := range p.keys() {
		if id, err := release.KeyID(key); err == nil && len(u.Keys) < topics.MaxKeys {
			u.Keys = append(u.Keys, id)
		}
	}
	if r.child != nil {
		u.Installed = r.installed
	}
	u.Restic = r.fetching(p)
	if s, err := launcher.Load(r.state); err == nil && s.Back != nil {
		back := *s.Back
		back.Message = strings.ToValidUTF8(back.Message[:min(len(back.Message), 1000)], "")
		u.Back = &back
	}
	return u
}

// Rollback goes back to the release before the one that runs. The agent that runs ends in its
// own way, and the other is started.
func Rollback(state string) (said string, err error) {
	if _, err := os.Stat(state); errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("there is no agent's state in %s", state)
	}
	keys, err := Keys(state)
	if err != nil {
		return "", err
	}
	from, to, err := launcher.Rollback(state, keys, release.Own(), time.Now())
	if err != nil {
		return "", err
	}
	if to == 0 {
		return fmt.Sprintf("release %d is left; the installed program runs again", from), nil
	}
	return fmt.Sprintf("release %d is left; release %d runs again", from, to), nil
}
