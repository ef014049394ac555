package restic

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/restic-manager/restic-manager/agent/sftp"
	"github.com/restic-manager/restic-manager/location"
	"github.com/restic-manager/restic-manager/topics"
)

// sshLog is the file in a run's own directory to which ssh's own words go.
const sshLog = "ssh.log"

// sftp says whom ssh is to reach, false for a repository that is not reached by it.
func (r Repository) sftp() (sftp.Target, bool) {
	at, err := location.ParseHere(r.URL.Reveal())
	if err != nil {
		return sftp.Target{}, false
	}
	return sftp.TargetOf(at)
}

// sshFlags have restic call ssh as the knock does, its own words kept apart in dir.
func (b Binary) sshFlags(ctx context.Context, repositories []Repository, dir string) ([]string, error) {
	var targets []sftp.Target
	var options sftp.Options
	for _, r := range repositories {
		if target, ok := r.sftp(); ok {
			targets, options = append(targets, target), append(options, r.sshOptions()...)
		}
	}
	if len(targets) == 0 {
		return nil, nil
	}
	name, say := "sftp.command=", b.SSH.Command
	if len(targets) > 1 {
		name, say = "sftp.args=", b.SSH.Args
	}
	command, err := say(ctx, targets[0], options, filepath.Join(dir, sshLog))
	if err != nil {
		return nil, err
	}
	option := name + command
	if strings.ContainsAny(option, `",`) { // restic takes the option for a line of comma-separated values
		option = `"` + strings.ReplaceAll(option, `"`, `""`) + `"`
	}
	return []string{"-o", option}, nil
}

// sshOptions are those of the repository's options that are ssh's.
func (r Repository) sshOptions() (o sftp.Options) {
	for _, name := range slices.Sorted(maps.Keys(r.Options)) {
		if of, known := location.FindOption(name); known && of.SSH != "" && of.Takes(r.Options[name]) == "" {
			o = append(o, of.SSH+"="+r.Options[name])
		}
	}
	return o
}

// reachSFTP is Reach for a server that ssh reaches.
func (b Binary) reachSFTP(ctx context.Context, target sftp.Target, o sftp.Options, sink Sink) Ending {
	t := b.Timing.orDefault()
	limit := time.Now().Add(t.Reach)
	for pause := time.Second; ; pause *= 2 {
		once, cancel := context.WithTimeout(ctx, t.Knock)
		e := b.knockSFTP(once, target, o, t.Knock)
		cancel()
		switch {
		case ctx.Err() != nil && errors.Is(context.Cause(ctx), context.DeadlineExceeded):
			return failed(topics.CauseUnreachable, errors.New("the server has not answered in time"))
		case ctx.Err() != nil:
			return Ending{State: topics.Cancelled, Cause: topics.CauseCancelled, Message: "cancelled before restic was started"}
		case e.State == topics.Succeeded:
			return e
		case e.Cause != topics.CauseUnreachable || time.Now().Add(pause).After(limit):
			sink.Line(topics.Error, e.Message)
			return e
		}
		sink.Line(topics.Warn, e.Message+"; trying again")
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
	}
}

// knockSFTP judges one knock by ssh's own words alone: what else comes may be the server's
// greeting, which can say anything.
func (b Binary) knockSFTP(ctx context.Context, target sftp.Target, o sftp.Options, limit time.Duration) Ending {
	a := b.SSH.Knock(ctx, target, o)
	at := target.Host
	if target.User != "" {
		at = target.User + "@" + at
	}
	switch {
	case a.Missing != nil:
		return failed(topics.CauseUsage, a.Missing)
	case a.Closed:
		return failed(topics.CausePermission, fmt.Errorf("%s does not let this user into %.300q: SSH_FX_PERMISSION_DENIED", at, target.Dir))
	case a.Speaks:
		return Ending{State: topics.Succeeded}
	case a.Late:
		return failed(topics.CauseUnreachable, fmt.Errorf("%s does not answer ssh: nothing came within %v", at, limit))
	}
	cause, line := sshCause(a.Said)
	if line == "" { // before ssh has a log, it speaks of its configuration alone
		if before, why := sshCause(a.Errs); before == topics.CauseUsage {
			cause, line = before, why
		}
	}
	switch {
	case cause == topics.CauseUnknown && a.Noise != "":
		return failed(topics.CauseUsage, fmt.Errorf("%s says something in the place of SFTP: %q", at, a.Noise))
	case cause == topics.CauseUnknown && line == "":
		return failed(topics.CauseUsage, fmt.Errorf("%s ended the session without a word of SFTP (exit code %d)", at, a.Code))
	}
	e := failed(cause, errors.New("ssh: "+line))
	if cause == topics.CauseHostKey || cause == topics.CauseHostKeyOther {
		e.HostKeys = b.SSH.Shown(ctx, target, a.Said, cause == topics.CauseHostKeyOther)
		for _, k := range e.HostKeys {
			e.Message = cut(clean(fmt.Sprintf("%s; it shows the %s key %s", strings.TrimRight(e.Message, "."), k.Type, k.Fingerprint)), maxMessage)
		}
	}
	return e
}

// sshCause is what ssh's own words come to, and the line that speaks for it, the last one
// if none does.
func sshCause(said []string) (topics.Cause, string) {
	var e evidence
	for _, line := range said {
		e.ssh = append(e.ssh, ofSSH+clean(line))
	}
	cause, line := e.judge(bounds{})
	if cause == topics.CauseUnknown && len(said) > 0 {
		line = said[len(said)-1]
	}
	return cause, strings.Trim(strings.TrimPrefix(line, ofSSH), "@ ")
}

// ofSSH is how restic marks what ssh says.
const ofSSH = "subprocess ssh: "

// hearSSH takes what ssh itself said in a run that is over.
func (o *output) hearSSH(dir string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, line := range sftp.Said(filepath.Join(dir, sshLog)) {
		line = ofSSH + o.safe(line)
		o.evidence.ssh = append(o.evidence.ssh, line)
		o.say(topics.Warn, line, 0)
	}
}
