package agent

import (
	"errors"
	"strings"

	"github.com/restic-manager/restic-manager/agent/process"
	"github.com/restic-manager/restic-manager/agent/spool"
	"github.com/restic-manager/restic-manager/protocol"
	"github.com/restic-manager/restic-manager/topics"
)

// A trouble is that the journal cannot be written, so that nothing new can begin. It
// belongs to the loop.
type trouble struct {
	since int64 // Unix milliseconds; 0 is that all is well
	text  string
}

// journalled takes how writing an input went. Trouble is said once, in the log and to
// the control plane, and so is its end.
func (r *runner) journalled(err error) {
	switch {
	case err != nil && r.trouble.since == 0:
		r.trouble = trouble{now(), strings.ToValidUTF8(err.Error()[:min(300, len(err.Error()))], "")}
		text := "the journal cannot be written: no job begins until it can be; trying again"
		if errors.Is(err, spool.ErrFull) {
			text = "THE DISK IS FULL: no job begins until there is room; what runs goes on to its end"
		}
		r.log.Error(text, "directory", r.state, "err", err)
		r.heartbeat()
	case err == nil && r.trouble.since != 0:
		r.trouble = trouble{}
		r.log.Info("the journal can be written again", "directory", r.state)
		r.heartbeat()
		r.clock.Reset(0)
	}
}

// roomy looks whether anything new can begin.
func (r *runner) roomy() bool {
	if r.disk().Low() { // what the control plane has is the first to go; the journal grows into its place
		if err := r.journal.Forget(); err != nil {
			r.log.Warn("what the control plane has received cannot be dropped from the journal", "err", err)
		}
	}
	err := r.journal.Room(r.trouble.since != 0)
	r.journalled(err)
	return err == nil
}

// disk is what heartbeats say of the state's disk.
func (r *runner) disk() *topics.Disk {
	free, total, err := process.Space(r.state)
	if err != nil {
		if r.trouble.since == 0 {
			return nil
		}
		free, total = 0, 0
	}
	return &topics.Disk{Free: free, Total: total, Since: r.trouble.since, Error: r.trouble.text}
}

// begins reports whether an input begins something, which shows that all is well if it
// can be written.
func begins(in protocol.AgentInput) bool {
	switch in.(type) {
	case protocol.Commanded, protocol.Configured, protocol.Fired:
		return true
	}
	return false
}
