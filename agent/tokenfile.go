package agent

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/restic-manager/restic-manager/topics"
)

// TokenFile is the name of a file in the state directory by which a host is enrolled that
// has no identity yet: a tool that manages machines puts it there, and it is removed once
// the host is enrolled. Nobody but root, or the system and its administrators, may be able
// to write it.
const TokenFile = "enroll.json"

// mostTokenFile is how many bytes such a file may have.
const mostTokenFile = 64 << 10

// A fileOrder is what stands in it: what enroll is told by its flags. What the host permits
// stands here and comes from nowhere else. The token has the CA's fingerprint in it.
type fileOrder struct {
	Server          string   `json:"server"` // HOST:PORT
	Token           string   `json:"token"`
	Policy          string   `json:"policy"` // a preset; "" is the narrowest
	Repositories    []string `json:"repositories,omitempty"`
	RepositoryRoots []string `json:"repository_roots,omitempty"`
	BackupRoots     []string `json:"backup_roots,omitempty"`
	RestoreRoots    []string `json:"restore_roots,omitempty"`
}

// readOrder reads the file if it is there: fs.ErrNotExist if it is not.
func readOrder(state string) (o fileOrder, err error) {
	path := filepath.Join(state, TokenFile)
	before, err := os.Lstat(path)
	if err != nil {
		return o, err
	}
	if !before.Mode().IsRegular() {
		return o, fmt.Errorf("%s is no file of its own: a link, or something else; put a file there", path)
	}
	for _, p := range []string{state, path} {
		if err := onlyOurs(p); err != nil {
			return o, fmt.Errorf("%s is not used, because %s is not safe: %w", path, p, err)
		}
	}
	f, err := os.Open(path)
	if err != nil {
		return o, err
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !os.SameFile(before, info) {
		return o, errors.Join(fmt.Errorf("%s was changed a moment ago", path), err)
	}
	b, err := io.ReadAll(io.LimitReader(f, mostTokenFile+1))
	if err != nil {
		return o, err
	}
	d := json.NewDecoder(bytes.NewReader(bytes.TrimPrefix(b, []byte("\ufeff")))) // PowerShell writes a mark before it
	d.DisallowUnknownFields()
	if err := d.Decode(&o); err != nil || len(b) > mostTokenFile || d.More() {
		return o, fmt.Errorf(`%s cannot be read: it is {"server": "HOST:8883", "token": "rmt1_…", "policy": "backup"}; correct it (%w)`, path,
			errors.Join(err, errTokenFile))
	}
	return o, nil
}

var errTokenFile = errors.New("the file is no order to enrol")

// enrolment is what is asked for, with its policy checked.
func (o fileOrder) enrolment(state string) (Enrolment, error) {
	name := o.Policy
	if name == "" {
		name = PolicyBackup
	}
	p, err := Preset(name, state)
	if err != nil {
		return Enrolment{}, err
	}
	if name == PolicyRestore && len(o.RestoreRoots) == 0 {
		return Enrolment{}, errors.New("the policy restore needs restore_roots: say below which directories restores may write")
	}
	for _, dir := range o.RepositoryRoots {
		p.RepositoryRoots = append(p.RepositoryRoots, filepath.Clean(dir))
	}
	if err := p.Narrow(o.Repositories, o.BackupRoots, o.RestoreRoots); err != nil {
		return Enrolment{}, err
	}
	return Enrolment{Server: o.Server, Token: o.Token, State: state, Policy: p}, nil
}

// Pauses of an agent without an identity.
const (
	lookAgain = 10 * time.Second // for the file
	askAgain  = 30 * time.Second // a control plane that was not reached
	refusedBy = 10 * time.Minute // one that said no; a file that changes is looked at at once
)

// enrolled is the host's identity, which it may have to get first.
func (a *Agent) enrolled(ctx context.Context, state string) (*Identity, error) {
	identity, err := LoadIdentity(state)
	if errors.Is(err, ErrNotEnrolled) {
		identity, err = a.enrolByFile(ctx, state, err)
	}
	if err != nil {
		return nil, err
	}
	if err := planted(state); err != nil { // before any of it is made the administrators'
		return nil, fmt.Errorf("the agent does not start, and nothing is backed up: %w", err)
	}
	a.dropTokenFile(state)
	return identity, nil
}

// enrolByFile enrols a host without an identity by the file in its state directory. Where
// the agent waits, it waits for that file, and tries again whatever goes wrong; else the
// error is ErrNotEnrolled if there is none.
func (a *Agent) enrolByFile(ctx context.Context, state string, without error) (*Identity, error) {
	var tried struct {
		at      time.Time // of the file
		size    int64
		next    time.Time
		waiting bool
	}
	for {
		info, err := os.Lstat(filepath.Join(state, TokenFile))
		switch {
		case errors.Is(err, fs.ErrNotExist):
			if !a.Waits {
				return nil, without
			}
			if !tried.waiting {
				a.Log.Info("this host is not enrolled: the agent waits for restic-manager-agent enroll, or for a file to enrol by",
					"file", filepath.Join(state, TokenFile))
				tried.waiting = true
			}
		case err == nil && (time.Now().After(tried.next) || !info.ModTime().Equal(tried.at) || info.Size() != tried.size):
			identity, err := a.enrolOnce(ctx, state)
			if err == nil {
				return identity, nil
			}
			if !a.Waits || ctx.Err() != nil {
				return nil, err
			}
			pause := refusedBy
			if errors.Is(err, ErrUnreachable) {
				pause = askAgain
			}
			a.Log.Error("this host could not be enrolled by its file; it is tried again", "err", err, "after", pause)
			tried.at, tried.size, tried.next = info.ModTime(), info.Size(), time.Now().Add(pause)
		}
		look := time.NewTimer(a.look())
		select {
		case <-ctx.Done():
			look.Stop()
			return nil, context.Cause(ctx)
		case <-look.C:
		}
		identity, err := LoadIdentity(state) // somebody may have run enroll beside us
		if !errors.Is(err, ErrNotEnrolled) {
			return identity, err
		}
	}
}

func (a *Agent) look() time.Duration {
	if a.Timing.TokenFile > 0 {
		return a.Timing.TokenFile
	}
	return lookAgain
}

func (a *Agent) enrolOnce(ctx context.Context, state string) (*Identity, error) {
	o, err := readOrder(state)
	if err != nil {
		return nil, err
	}
	if _, err := topics.ParseEnrollToken(o.Token); err != nil {
		return nil, err
	}
	e, err := o.enrolment(state)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Join(state, TokenFile), err)
	}
	identity, err := e.Run(ctx)
	if err != nil {
		return nil, err
	}
	a.Log.Info("this host is enrolled by its file", "name", identity.Name, "host", identity.Host, "policy", e.Policy.Name,
		"held", identity.Held)
	return identity, nil
}

// dropTokenFile removes the file of a host that has its identity: its token is a secret, and
// lets nobody in here any more.
func (a *Agent) dropTokenFile(state string) {
	switch err := os.Remove(filepath.Join(state, TokenFile)); {
	case err == nil:
		a.Log.Info("the file to enrol by was removed: this host is enrolled", "file", TokenFile)
	case !errors.Is(err, fs.ErrNotExist):
		a.Log.Warn("the file to enrol by cannot be removed, and has a token in it: remove it", "err", err)
	}
}
