package topics

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
)

// A Config is everything a host does by itself: its enabled schedules, with all
// that their backups need. The agent keeps it on disk and runs by it for as long
// as there is no newer one, whether there is a control plane or not. A
// credential that may delete is never in it.
type Config struct {
	Revision     int64          `json:"revision"`
	Digest       string         `json:"digest,omitempty"` // tells it from another of the same number; the agent gives it back
	Schedules    []Schedule     `json:"schedules"`
	Groups       []PlannedGroup `json:"groups"`
	Repositories []Repository   `json:"repositories"`
	// JobsAtOnce is how many jobs the host runs at once, each in a repository of its
	// own; 0 is DefaultJobsAtOnce. An older agent runs one.
	JobsAtOnce int `json:"jobs_at_once,omitempty"`
	// Pauses are when nothing of all this is begun, the oldest first, those that are over too:
	// slots that fell into one are not caught up with. An older agent does not know them; while
	// one goes on it is sent no schedules.
	Pauses []Pause `json:"pauses,omitempty"`
	// Sent is the control plane's clock when it sent this, and Heard is the host's when it came,
	// which the agent writes down. By both a pause ends when it should where the host's clock is
	// wrong. Unix milliseconds; 0 is not known.
	Sent  int64 `json:"sent,omitempty"`
	Heard int64 `json:"heard,omitempty"`
}

// A Pause is a time in which the host begins nothing by itself, in Unix milliseconds by the
// control plane's clock: from From until before Until.
type Pause struct {
	From  int64 `json:"from"`
	Until int64 `json:"until"`
}

// How many jobs a host runs at once: unless something else is set, and at most.
const (
	DefaultJobsAtOnce = 3
	MaxJobsAtOnce     = 16
)

// AtOnce is how many jobs the host runs at once, from 1 to MaxJobsAtOnce.
func (c Config) AtOnce() int {
	if c.JobsAtOnce <= 0 {
		return DefaultJobsAtOnce
	}
	return min(c.JobsAtOnce, MaxJobsAtOnce)
}

// A Schedule says when source groups are backed up; package slots reads it.
type Schedule struct {
	ID            ScheduleID       `json:"id"`
	Name          string           `json:"name"`
	Cron          string           `json:"cron"`
	Zone          string           `json:"zone"`
	JitterSeconds int              `json:"jitter_seconds,omitempty"`
	Groups        []ScheduledGroup `json:"groups"`
}

// A ScheduledGroup is one source group of a schedule. Slots up to After, in Unix
// milliseconds, are none of the agent's: they lie before the schedule, or the
// control plane has them in hand.
type ScheduledGroup struct {
	Group SourceGroupID `json:"group"`
	After int64         `json:"after"`
}

// A PlannedGroup is a source group, and the repository it is backed up to.
type PlannedGroup struct {
	SourceGroup
	Repository RepositoryID `json:"repository"`
}

// A Slot is the planned instant of a schedule that a job is for, and which try
// of it the job is.
type Slot struct {
	Schedule ScheduleID `json:"schedule"`
	At       int64      `json:"at"` // Unix milliseconds
	Attempt  int        `json:"attempt,omitempty"`
}

// Run is what a backup of one of the config's source groups needs.
func (c Config) Run(id SourceGroupID, slot Slot) (Run, bool) {
	for _, g := range c.Groups {
		if g.ID != id {
			continue
		}
		for _, r := range c.Repositories {
			if r.ID == g.Repository {
				return Run{Kind: BackupJob, Repository: r, Group: g.SourceGroup, Slot: &slot}, true
			}
		}
	}
	return Run{}, false
}

// After is the moment up to which the slots of a schedule's group are none of
// the agent's; false if the config does not have them at all.
func (c Config) After(schedule ScheduleID, group SourceGroupID) (int64, bool) {
	for _, s := range c.Schedules {
		for _, g := range s.Groups {
			if s.ID == schedule && g.Group == group {
				return g.After, true
			}
		}
	}
	return 0, false
}

// A ConfigPart is one of the numbered parts that a [Config] travels in. The agent
// answers the whole with [Configured]; until then it is sent again.
//
//	rm/v1/ctl/{host}/config    plane → agent, QoS 1
type ConfigPart struct {
	Stamp
	Revision int64  `json:"revision"`
	Digest   []byte `json:"digest"` // SHA-256 of the whole; parts of another sending do not fit
	Part     int    `json:"part"`   // from 1
	Parts    int    `json:"parts"`
	Data     []byte `json:"data"`
}

// Bounds of a config on the wire: a part fits into a message once it is sealed.
const (
	configPartBytes = 45 << 10
	maxConfigParts  = 100
)

// ErrConfig says that a config cannot be carried, or does not fit together.
var ErrConfig = errors.New("the config does not fit")

// Split takes a config apart for its way. The parts lack their stamps.
func (c Config) Split() ([]ConfigPart, error) {
	text := Encode(c)
	digest := sha256.Sum256(text)
	n := (len(text) + configPartBytes - 1) / configPartBytes
	if n > maxConfigParts {
		return nil, fmt.Errorf("%w: %d bytes are more than %d", ErrConfig, len(text), maxConfigParts*configPartBytes)
	}
	parts := make([]ConfigPart, n)
	for i := range parts {
		data := text[i*configPartBytes : min((i+1)*configPartBytes, len(text))]
		parts[i] = ConfigPart{Revision: c.Revision, Digest: digest[:], Part: i + 1, Parts: n, Data: data}
	}
	return parts, nil
}

// A ConfigAssembly puts a config together again. Its zero value waits for the
// first part.
type ConfigAssembly struct {
	digest []byte
	parts  [][]byte
	have   int
}

// Add takes a part. Once all have come, in any order, it returns the config, and
// waits for another. A part of another sending discards what came before it.
func (a *ConfigAssembly) Add(p ConfigPart) (c Config, complete bool, err error) {
	if !bytes.Equal(a.digest, p.Digest) || len(a.parts) != p.Parts {
		*a = ConfigAssembly{digest: p.Digest, parts: make([][]byte, p.Parts)}
	}
	if a.parts[p.Part-1] == nil {
		a.parts[p.Part-1] = p.Data
		a.have++
	}
	if a.have < len(a.parts) {
		return c, false, nil
	}
	text := bytes.Join(a.parts, nil)
	*a = ConfigAssembly{}
	if digest := sha256.Sum256(text); !bytes.Equal(digest[:], p.Digest) {
		return c, false, fmt.Errorf("%w: its parts do not belong together", ErrConfig)
	}
	return whole(text)
}

func whole(text []byte) (c Config, ok bool, err error) {
	if err := json.Unmarshal(text, &c); err != nil {
		return c, false, fmt.Errorf("%w: %w", ErrConfig, err)
	}
	if err := c.check(); err != nil {
		return c, false, fmt.Errorf("%w: %w", ErrConfig, err)
	}
	return c, true, nil
}

func (p ConfigPart) check() error {
	if p.Revision < 1 || p.Parts < 1 || p.Parts > maxConfigParts || p.Part < 1 || p.Part > p.Parts ||
		len(p.Digest) != sha256.Size || len(p.Data) == 0 {
		return errors.New("no part of a config")
	}
	return p.Stamp.check()
}

func (c Config) check() error {
	if c.Revision < 1 {
		return errors.New("revisions begin at 1")
	}
	for _, s := range c.Schedules {
		if !validID(string(s.ID)) {
			return fmt.Errorf("%.60q is no schedule ID", s.ID)
		}
		for _, g := range s.Groups {
			if !validID(string(g.Group)) {
				return fmt.Errorf("%.60q is no source group ID", g.Group)
			}
		}
	}
	for _, g := range c.Groups {
		if !validID(string(g.ID)) || !validID(string(g.Repository)) {
			return fmt.Errorf("source group %.60q or its repository %.60q has no ID", g.ID, g.Repository)
		}
	}
	return nil
}

// MaxAlso is how many further slots one event can name. An agent names more in others.
const MaxAlso = 100

func (f Fired) check() error {
	if err := checkJob(f.Job); err != nil {
		return err
	}
	if !validID(string(f.Group)) || !validID(string(f.Repository)) || f.Passed < 0 || f.Revision < 0 {
		return errors.New("a slot of nothing")
	}
	if len(f.Also) > MaxAlso {
		return fmt.Errorf("one job for %d further slots", len(f.Also))
	}
	for _, s := range f.Also {
		if err := s.check(); err != nil {
			return err
		}
	}
	return f.Slot.check()
}

func (s Slot) check() error {
	if !validID(string(s.Schedule)) || s.At <= 0 || s.Attempt < 0 {
		return errors.New("no slot")
	}
	return nil
}
