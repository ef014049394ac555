package agent

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/restic-manager/restic-manager/agent/fetched"
	"github.com/restic-manager/restic-manager/agent/launcher"
	"github.com/restic-manager/restic-manager/agent/process"
	"github.com/restic-manager/restic-manager/agent/restic"
	"github.com/restic-manager/restic-manager/failpoint"
	"github.com/restic-manager/restic-manager/private"
	"github.com/restic-manager/restic-manager/release"
	"github.com/restic-manager/restic-manager/topics"
)

// hostsOwn is what the host's own restic is called.
const hostsOwn = "the host's own restic"

// restic has the agent use another restic, and says which. Nothing is replaced until the file
// has the checksum that was named, and what is in it has said that it is restic; what runs
// meanwhile goes on with its own.
func (u updater) restic(ctx context.Context, p Policy, o topics.ResticUpdate) (said string, err error) {
	if err := resticPermitted(p, o); err != nil {
		return "", err
	}
	defer func() {
		if ctx.Err() != nil && !errors.Is(context.Cause(ctx), errCancelled) {
			return // another process goes on with what has come
		}
		if err := fetched.Tidy(u.state, ""); err != nil {
			u.log.Warn("what is left of other restics cannot be removed", "err", err)
		}
	}()
	s, err := fetched.Load(u.state)
	if err != nil {
		u.log.Warn("which restic was used is not known any more", "err", err)
	}
	if o.Back {
		if s.Current == nil {
			return hostsOwn, nil
		}
		if err := u.turn(ctx, o); err != nil {
			return "", err
		}
		if said, err = RollbackRestic(u.state); err != nil {
			return "", failed(topics.CausePermission, "%v.", err)
		}
		return said, u.found(ctx)
	}
	if s.Current != nil && s.Current.SHA256 == o.SHA256 && fetched.Whole(u.state, *s.Current) == nil {
		return "restic " + s.Current.Version, u.found(ctx)
	}
	n, err := u.fetchRestic(ctx, o)
	if err != nil {
		return "", err
	}
	if err := u.turn(ctx, o); err != nil {
		return "", err
	}
	failpoint.Here("restic-fetched")
	if err := fetched.Use(u.state, n); err != nil {
		return "", err
	}
	if err := u.found(ctx); err != nil {
		if ctx.Err() == nil { // it ran a moment ago, and does not where it is now
			_, back := RollbackRestic(u.state)
			err = errors.Join(err, back)
		}
		return "", err
	}
	return "restic " + n.Version, nil
}

// turn waits until nothing else runs, and asks the policy anew: the host's administrator may
// have changed it while this waited.
func (u updater) turn(ctx context.Context, o topics.ResticUpdate) error {
	if err := u.alone(ctx); err != nil {
		return err
	}
	p, err := u.policy()
	if err != nil {
		return failed(topics.CausePolicy, "%v", err)
	}
	return resticPermitted(p, o)
}

// found looks for restic, so that what is used now is told at once. It is an error if one
// that was fetched is to be used, and the host's own is.
func (u updater) found(ctx context.Context) error {
	u.program.afresh()
	_, err := u.program.find(ctx)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		return failed(topics.CauseNoRestic, "%v.", err)
	}
	if _, why := u.program.used(); why != "" {
		return failed(topics.CauseCannotRun, "It is not used: %s. The host's own is, in its place.", why)
	}
	return nil
}

// resticPermitted returns why this host does not take a restic from its control plane.
func resticPermitted(p Policy, o topics.ResticUpdate) error {
	switch {
	case p.Restic == nil || !p.Restic.Allow:
		return failed(topics.CauseUpdateRefused, "This host's policy does not let its control plane have it fetch a restic: "+
			"restic-manager-agent policy allow-restic lets it.")
	case !o.Back && len(p.Restic.SHA256) > 0 && !slices.Contains(p.Restic.SHA256, o.SHA256):
		return failed(topics.CauseUpdateRefused, "This host's policy names which files with restic it takes, and %s with the SHA-256 %s is none "+
			"of them: restic-manager-agent policy allow-restic --sha256 names another.", o.Name, o.SHA256)
	}
	return nil
}

// fetchRestic downloads and unpacks a restic, and has it say its version.
func (u updater) fetchRestic(ctx context.Context, o topics.ResticUpdate) (n fetched.Program, err error) {
	n = fetched.Program{Name: o.Name, SHA256: o.SHA256, Job: u.job, At: now()}
	if _, system, arch, _ := topics.ResticFile(o.Name); !runsHere(system, arch) {
		is, on := release.Platform()
		return n, failed(topics.CauseNoProgram, "%s is for %s on %s, and this host is %s on %s.", o.Name, system, arch, is, on)
	}
	if err := fetched.Tidy(u.state, o.SHA256); err != nil {
		u.log.Warn("what is left of other restics cannot be removed", "err", err)
	}
	held := fetched.Held(u.state, o.SHA256)
	part := held + fetched.Partial
	for _, dir := range []string{fetched.Dir(u.state), part} {
		if err := private.MakeDir(dir); err != nil {
			return n, fmt.Errorf("make a directory: %w", err)
		}
	}
	free, total, err := process.Space(part)
	if need := 5*uint64(o.Size) + spare; err == nil && total > 0 && free < need { // with what is in it
		return n, errors.Join(failed(topics.CauseHostDisk, "There is no space left on the host for the new restic: it takes some %d bytes with "+
			"what is to stay free, and %d are.", need, free), os.RemoveAll(part))
	}
	file := filepath.Join(part, "file")
	if err := u.download(ctx, file, release.Program{Name: o.Name, Size: o.Size, SHA256: o.SHA256}); err != nil {
		if process.FullDisk(err) {
			err = errors.Join(err, os.RemoveAll(part))
		}
		return n, err
	}
	sum, size, err := fetched.Sum(file)
	if err != nil {
		return n, fmt.Errorf("read what was downloaded: %w", err)
	}
	if sum != o.SHA256 || size != o.Size {
		return n, errors.Join(failed(topics.CauseChecksum, "%s has the SHA-256 %s, and %s was named. It was not run, and nothing was replaced.",
			o.Name, sum, o.SHA256), os.RemoveAll(part))
	}
	program := filepath.Join(part, fetched.Name())
	if n.Program, err = fetched.Unpack(file, o.Name, program); err != nil {
		if process.FullDisk(err) {
			return n, errors.Join(err, os.RemoveAll(part))
		}
		return n, errors.Join(failed(topics.CauseCannotRun, "%s cannot be unpacked: %v. Nothing was replaced.", o.Name, err), os.RemoveAll(part))
	}
	if n.Version, err = u.tryRestic(ctx, program, o); err != nil {
		return n, errors.Join(err, os.RemoveAll(part))
	}
	if err := errors.Join(os.Remove(file), os.RemoveAll(held), launcher.SyncDir(part)); err != nil {
		return n, fmt.Errorf("write the new restic to disk: %w", err)
	}
	if err := os.Rename(part, held); err != nil {
		return n, fmt.Errorf("put the new restic in its place: %w", err)
	}
	return n, launcher.SyncDir(fetched.Dir(u.state))
}

// runsHere reports whether a file for a platform may run on this host. Whether it does is
// found out by running it.
func runsHere(system, arch string) bool {
	is, on := release.Platform()
	return system == is && (arch == on || arch == "arm" && on == "armv7" || arch == "386" && on == "amd64")
}

// tryRestic has a program say which version of restic it is.
func (u updater) tryRestic(ctx context.Context, program string, o topics.ResticUpdate) (version string, err error) {
	b, err := restic.Probe(ctx, program)
	switch {
	case ctx.Err() != nil:
		return "", ctx.Err()
	case errors.Is(err, restic.ErrTooOld):
		return "", failed(topics.CauseOldManifest, "%s holds a restic that is too old: %v.", o.Name, err)
	case err != nil:
		return "", failed(topics.CauseCannotRun, "What is in %s does not run here as restic: %s. Nothing was replaced.", o.Name,
			launcher.Reason(program, err))
	}
	before, none := u.program.find(ctx)
	if none == nil && b.Version.Compare(before.Version) < 0 && !o.Older {
		return "", failed(topics.CauseOldManifest, "%s holds restic %s, and this host has %s: an older one is taken only if that is asked for.",
			o.Name, b.Version, before.Version)
	}
	return b.Version.String(), nil
}

// fetching is what is told of restics that this agent may fetch.
func (r *runner) fetching(p Policy) *topics.ResticFetching {
	f := &topics.ResticFetching{}
	if p.Restic != nil && p.Restic.Allow {
		f.Allowed, f.Sums = true, p.Restic.SHA256[:min(len(p.Restic.SHA256), topics.MaxSums)]
	}
	use, why := r.program.used()
	f.Fetched, f.Name, f.Why = use.SHA256, use.Name, why[:min(len(why), 500)]
	return f
}

// RollbackRestic goes back to the restic that was used before the one that was fetched last,
// and says which that is.
func RollbackRestic(state string) (said string, err error) {
	_, to, err := fetched.Back(state)
	if err != nil {
		return "", err
	}
	if to == nil {
		return hostsOwn, nil
	}
	return "restic " + to.Version, nil
}

// FetchedRestic says which restic was fetched and is used, in a sentence.
func FetchedRestic(state string) (string, error) {
	s, err := fetched.Load(state)
	switch {
	case err != nil:
		return "", err
	case s.Current == nil:
		return "No restic was fetched: " + hostsOwn + " is used.", nil
	}
	text := fmt.Sprintf("restic %s is used, of %s with the SHA-256 %s: %s.", s.Current.Version, s.Current.Name, s.Current.SHA256,
		fetched.Path(state, *s.Current))
	if err := fetched.Whole(state, *s.Current); err != nil {
		text = "It is not used: " + err.Error() + "."
	}
	before := hostsOwn
	if s.Before != nil {
		before = "restic " + s.Before.Version
	}
	return text + " rollback goes back to " + before + ".", nil
}
