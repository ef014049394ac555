package topics

import "log/slog"

// Received is a place in a host's durable stream: everything up to Seq of this
// epoch is committed.
type Received struct {
	Epoch int64  `json:"epoch"`
	Seq   uint64 `json:"seq"`
}

// Welcome answers a [Birth]. An agent that gets none within 15 s is deaf, drops
// its connection and tries again with the next session.
//
//	rm/v1/ctl/{host}/welcome    plane → agent, QoS 1
type Welcome struct {
	Stamp
	Received Received `json:"received"`
	Clock    int64    `json:"clock"` // the control plane's, Unix milliseconds
	// Known is the highest session the control plane knows of this host, if that
	// is another: the agent's journal is an older copy of itself, and has to begin
	// a new epoch before anything it says can count.
	Known   Session `json:"known,omitzero"`
	Refused string  `json:"refused,omitempty"`
}

// Receipt lets an agent forget events. It is sent after the commit.
//
//	rm/v1/ctl/{host}/receipt    plane → agent, QoS 1
type Receipt struct {
	Stamp
	Received Received `json:"received"`
}

// Command asks for a job to be run, or cancelled; exactly one of the two. It is
// sent again until an event answers it, so it may arrive twice, and late.
//
//	rm/v1/ctl/{host}/job/{job}/command    plane → agent, QoS 1
type Command struct {
	Stamp
	Job      JobID `json:"job"`
	NotAfter int64 `json:"not_after,omitempty"` // Unix milliseconds; not started later than this
	Run      *Run  `json:"run,omitempty"`
	Cancel   bool  `json:"cancel,omitempty"`
}

// Run is everything an agent needs for a job, whatever else it knows.
type Run struct {
	Kind       JobKind     `json:"kind"`
	Repository Repository  `json:"repository"`
	Group      SourceGroup `json:"group,omitzero"` // of a backup
	Operation
}

// Repository says where the data goes, and how to get in.
type Repository struct {
	ID       RepositoryID      `json:"id"`
	URL      Secret            `json:"url"` // may hold user and password
	Password Secret            `json:"password"`
	Env      map[string]Secret `json:"env,omitempty"` // credentials of the backend, by restic's variable names
	// Initialise allows the agent to create the repository if there is none. It
	// is false for ever after the first success: one that is gone then is missing,
	// and is never quietly begun anew.
	Initialise bool `json:"initialise,omitempty"`
}

// SourceGroup says what a backup reads.
type SourceGroup struct {
	ID            SourceGroupID `json:"id"` // becomes the restic tag plan=<id>
	Name          string        `json:"name"`
	Paths         []string      `json:"paths"`
	Excludes      []string      `json:"excludes,omitempty"`
	OneFileSystem bool          `json:"one_file_system,omitempty"`
	// Before and After name hooks of the host's policy to run around the backup.
	Before []string `json:"before,omitempty"`
	After  []string `json:"after,omitempty"`
}

// A Secret does not print itself. Only its JSON form carries it, inside a
// sealed payload.
type Secret string

const redacted = "[redacted]"

// String hides the secret from fmt.
func (Secret) String() string { return redacted }

// GoString hides the secret from %#v.
func (Secret) GoString() string { return redacted }

// LogValue hides the secret from slog.
func (Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// Reveal gives the secret itself, to whoever must hand it on.
func (s Secret) Reveal() string { return string(s) }
