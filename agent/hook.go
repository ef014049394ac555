package agent

import (
	"context"
	"fmt"
	"strings"

	"github.com/restic-manager/restic-manager/agent/process"
	"github.com/restic-manager/restic-manager/agent/restic"
	"github.com/restic-manager/restic-manager/topics"
)

// before runs the hooks that have to succeed before restic is started.
func (w work) before(ctx context.Context) restic.Ending {
	for _, name := range w.Run.Group.Hooks.Before {
		if e := w.hook(ctx, "before", name, topics.Finished{}); e.State != topics.Succeeded {
			return e
		}
	}
	return restic.Ending{State: topics.Succeeded}
}

// afterwards runs the hooks that follow a backup or an init: on failure of a backup those
// for failures, then, if a hook before it was started, those that undo what it did. A hook
// that fails turns the success of a backup into a warning, because the snapshot exists all
// the same; a repository that was made is made. None of them runs if the agent is killed.
func (w work) afterwards(ctx context.Context, hooked bool, f *topics.Finished) {
	if ctx.Err() != nil { // of a cancelled job, they still have their moment
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(context.WithoutCancel(ctx), w.HookLate)
		defer cancel()
	}
	run := func(when string, names []string) {
		for _, name := range names {
			e := w.hook(ctx, when, name, *f)
			if e.State == topics.Succeeded || f.State != topics.Succeeded || w.Run.Kind != topics.BackupJob {
				continue
			}
			f.State, f.Cause, f.Message = topics.Warnings, topics.CauseHook, "The snapshot is there, but "+e.Message
		}
	}
	if f.State == topics.Failed && w.Run.Kind == topics.BackupJob {
		run("on failure", w.Run.Group.Hooks.OnFailure)
	}
	if hooked {
		run("after", w.Run.Group.Hooks.After)
	}
}

// hook runs one program of the host's. It is looked up in the policy file each time;
// its environment holds the outcome so far and no secret.
func (w work) hook(ctx context.Context, when, name string, f topics.Finished) restic.Ending {
	policy, err := LoadPolicy(w.state)
	var e restic.Ending
	if err == nil {
		path, sum, ok := policy.hook(name)
		if !ok {
			err = fmt.Errorf("this host's policy knows no hook of this name")
		} else {
			w.out.Line(topics.Info, fmt.Sprintf("hook %s, %s: %s", name, when, path))
			hook := restic.Program{
				Program: process.Program{Path: path, SHA256: sum},
				Limit:   w.Hook,
				Env:     w.outcome(when, f),
				Tell:    w.details(when, f),
				Mark:    "[" + name + "] ",
			}
			e = hook.Run(ctx, w.Restic, w.place, w.out)
		}
	}
	if err != nil {
		e = restic.Ending{State: topics.Failed, Cause: topics.CauseHook, Message: err.Error()}
	}
	if e.State != topics.Succeeded && e.State != topics.Cancelled {
		e.Message = "hook " + name + " failed: " + e.Message
		w.out.Line(topics.Error, e.Message)
	}
	e.ExitCode, e.Signal, e.Killed = nil, "", false // those are restic's to have
	return e
}

// A detail is something that a hook is told.
type detail struct{ name, value string }

// outcomes are what a hook is told. Before the backup the state is empty.
func (w work) outcomes(when string, f topics.Finished) []detail {
	snapshot := ""
	if f.Snapshot != nil {
		snapshot = f.Snapshot.ID
	}
	return []detail{
		{"hook", when},
		{"kind", string(w.Run.Kind)},
		{"state", string(f.State)},
		{"cause", string(f.Cause)},
		{"snapshot", snapshot},
		{"group", w.Run.Group.Name},
		{"repository", string(w.Run.Repository.ID)},
	}
}

// outcome returns the environment of hooks. What the control plane says is in letters that
// no script can take for a command: a batch file reads a line again once its variables
// stand in it, and others hand a value to a shell elsewhere.
func (w work) outcome(when string, f topics.Finished) (env []string) {
	for _, d := range w.outcomes(when, f) {
		env = append(env, "RESTIC_MANAGER_"+strings.ToUpper(d.name)+"="+process.Harmless(d.value))
	}
	return env
}

// details are the same in full, as JSON.
func (w work) details(when string, f topics.Finished) []byte {
	all := map[string]string{"job": string(w.Job)}
	for _, d := range w.outcomes(when, f) {
		all[d.name] = d.value
	}
	return topics.Encode(all)
}
