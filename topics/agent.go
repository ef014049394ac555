package topics

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
)

// A Session is one connection attempt of an agent. N is a counter that is on
// disk before the attempt is made, so a later session always compares higher
// and a late last will can only name an older one.
type Session struct {
	Epoch int64  `json:"epoch"` // when the agent's journal was made, Unix milliseconds
	N     uint64 `json:"n"`
}

// After reports whether s began after o.
func (s Session) After(o Session) bool {
	return s.Epoch > o.Epoch || s.Epoch == o.Epoch && s.N > o.N
}

// Signed is what the MAC of a birth or death covers: the session, and the word
// that tells the two apart.
func (s Session) Signed(word string) []byte {
	return fmt.Appendf(nil, "%s %d %d", word, s.Epoch, s.N)
}

// Birth says that an agent connected.
//
//	rm/v1/agent/{host}/birth    agent → plane, QoS 1, retained
//
// It travels in clear, because the broker keeps it, and proves itself by its
// MAC. It counts only once a sealed message of the same session has come.
type Birth struct {
	Session
	Version  string `json:"version"`  // of the agent
	Protocol [2]int `json:"protocol"` // lowest and highest this agent speaks
	MAC      []byte `json:"mac"`
	// Instance is drawn by each process of an agent, and again with each new epoch; it
	// is kept in memory alone. Two of them at once are two machines with one identity.
	// Agents of older versions have none. Proof is the MAC that covers it, too.
	Instance string `json:"instance,omitempty"`
	Proof    []byte `json:"proof,omitempty"`
}

// BornAs is the word that a birth of an instance is signed with.
func BornAs(instance string) string { return Born + " " + instance }

// Reasons of a [Death], and the word a [Birth] is signed with.
const (
	Born    = "born"
	Lost    = "lost"    // the connection broke: the last will
	Stopped = "stopped" // the agent said goodbye
)

// Death says that a session is over.
//
//	rm/v1/agent/{host}/death    agent → plane, QoS 1, retained, the last will
type Death struct {
	Session
	Reason string `json:"reason"`
	MAC    []byte `json:"mac"`
}

// A Stamp orders the messages that are not in the durable stream. Session is
// the agent's, whoever writes; N rises with every message of one writer within
// it. What does not rise is a replay and is refused.
type Stamp struct {
	Session Session `json:"session"`
	N       uint64  `json:"n"`
	// To is the instance that a message of the control plane is meant for; "" is
	// whoever has the session. Another one passes over it.
	To string `json:"to,omitempty"`
}

// Heartbeat says that the agent lives.
//
//	rm/v1/agent/{host}/heartbeat    agent → plane, QoS 0
type Heartbeat struct {
	Stamp
	Clock int64  `json:"clock"` // the host's, Unix milliseconds
	Spool uint64 `json:"spool"` // events without a receipt
	// Refused is how many messages of this session were not from the control
	// plane, not for this host and topic, or old.
	Refused uint64 `json:"refused,omitempty"`
	// Silent says of each running restic how long it has done nothing, 0 of one that
	// works; nil from an agent that does not look, and ends none of them.
	Silent []Silence `json:"silent"`
	// Disk is how the disk is that the agent's state lies on; nil is not known.
	Disk *Disk `json:"disk,omitempty"`
	// Instance is the process that sends it; see Birth.
	Instance string `json:"instance,omitempty"`
	// Permits is the Digest of what the host permits now; "" from an agent that tells it
	// when it connects alone.
	Permits string `json:"permits,omitempty"`
}

// Disk is how the disk of an agent's state directory is: its journal, restic's cache and
// temporary files. While the journal cannot be written, the agent begins nothing: no
// command is answered, no slot fired. What runs goes on to its end.
type Disk struct {
	Free  uint64 `json:"free"`            // bytes the agent may still use
	Total uint64 `json:"total"`           // bytes; 0 is not known
	Since int64  `json:"since,omitempty"` // since when the journal cannot be written, Unix milliseconds by the host's clock; 0 is that it can
	Error string `json:"error,omitempty"` // why not, in words
}

// Low reports whether there is so little left that the disk will be full before long:
// less than 64 MiB, or less than a hundredth and a gibibyte.
func (d *Disk) Low() bool {
	return d != nil && d.Total > 0 && (d.Free < 64<<20 || d.Free < d.Total/100 && d.Free < 1<<30)
}

// Full reports whether the agent cannot write its journal.
func (d *Disk) Full() bool { return d != nil && d.Since > 0 }

// Silence says how long a running job has done nothing: no line, no progress, next to no
// bytes and next to no processor time. Seconds are those in which the host was awake.
type Silence struct {
	Job     JobID  `json:"job"`
	Seconds int64  `json:"seconds"`
	Limit   int64  `json:"limit"`          // the agent ends it after so many; 0 is never
	Last    string `json:"last,omitempty"` // what restic said last
}

// Progress carries restic's latest status of a running job.
//
//	rm/v1/agent/{host}/job/{job}/progress    agent → plane, QoS 0
//
// Losing one is harmless, the next says more; how a job ended is a [Finished].
type Progress struct {
	Stamp
	Scanned      bool     `json:"scanned"` // the totals are final
	Percent      float64  `json:"percent"` // 0 to 100, of the bytes read; means little before Scanned
	TotalFiles   uint64   `json:"total_files"`
	FilesDone    uint64   `json:"files_done"`
	TotalBytes   uint64   `json:"total_bytes"`
	BytesDone    uint64   `json:"bytes_done"`
	Errors       uint64   `json:"errors,omitempty"`
	Seconds      uint64   `json:"seconds"`                // since restic started
	SecondsLeft  uint64   `json:"seconds_left,omitempty"` // restic's estimate; 0 is unknown
	CurrentFiles []string `json:"current_files,omitempty"`
	// Trouble is what restic tries again with its storage; nil if nothing, as from an agent
	// that is too old to tell.
	Trouble *Trouble `json:"trouble,omitempty"`
}

// Trouble is what a storage answers to what restic is trying again. It may pass.
type Trouble struct {
	Words   string `json:"words"`           // the storage's, as restic gives them
	Code    int    `json:"code,omitempty"`  // HTTP's, 0 if none is named
	Mute    bool   `json:"mute,omitempty"`  // it does not answer at all
	Seconds int64  `json:"seconds"`         // for which it has gone on
	Times   int    `json:"times"`           // that something was tried in vain
	Again   int64  `json:"again,omitempty"` // seconds until restic tries the next time
	Heard   int64  `json:"-"`               // when the control plane heard of it, Unix milliseconds by its own clock
}

// Events is a batch of the durable stream. The agent keeps every event on disk
// until a [Receipt] names it, and sends again from there; so the stream has no
// holes, and what comes twice is known by its number.
//
//	rm/v1/agent/{host}/event    agent → plane, QoS 1
type Events struct {
	Epoch  int64   `json:"epoch"`
	First  uint64  `json:"first"` // the number of Events[0]; the others follow one by one
	Events []Event `json:"events"`
}

// Event is one entry of the durable stream; exactly one field but At is set.
type Event struct {
	At         int64       `json:"at"`             // Unix milliseconds by the host's clock
	Mark       string      `json:"mark,omitempty"` // tells it from any other event: see Received
	Hello      *Hello      `json:"hello,omitempty"`
	Facts      *Facts      `json:"facts,omitempty"` // they are others than the last hello or facts said
	Configured *Configured `json:"configured,omitempty"`
	Fired      *Fired      `json:"fired,omitempty"`
	Accepted   *Accepted   `json:"accepted,omitempty"`
	Started    *Started    `json:"started,omitempty"`
	Log        *Log        `json:"log,omitempty"`
	Report     *Report     `json:"report,omitempty"`
	Finished   *Finished   `json:"finished,omitempty"`
}

// Hello opens a session in the stream: what the host is, and which jobs it has
// in hand. A job the control plane believes to be in hand here and is not named
// was lost: everything before it in the stream has been received by then.
type Hello struct {
	Session Session `json:"session"`
	Facts   Facts   `json:"facts"`
	Jobs    []JobID `json:"jobs"` // accepted and not ended
	// Configured is the config in force; revision 0 is none yet. An agent that is
	// too old to fire by itself leaves it out.
	Configured *Configured `json:"configured,omitempty"`
	// Instance is the process that sends it, see Birth; and Machine is where it runs.
	Instance string   `json:"instance,omitempty"`
	Machine  *Machine `json:"machine,omitempty"`
	// Plane is the epoch of the control plane whose welcome this answers: what an agent
	// said to one that was lost since, and gives again to the one restored from its copy,
	// names another. 0 is from an agent or a control plane of an older version.
	Plane int64 `json:"plane,omitempty"`
}

// A Machine is what tells two machines apart that use one identity. A copy has some of
// it in common with its original, never all. Each is "" where it is not known.
type Machine struct {
	ID        string   `json:"id,omitempty"`   // a hash of the machine's ID, which a cloned disk has in common with its original
	Boot      string   `json:"boot,omitempty"` // a hash of what is drawn at each boot
	Hostname  string   `json:"hostname,omitempty"`
	Addresses []string `json:"addresses,omitempty"` // of its network interfaces, at most MaxAddresses
	State     string   `json:"state,omitempty"`     // the agent's directory
	Started   int64    `json:"started,omitempty"`   // when the agent's process began, Unix milliseconds by the host's clock
}

// MaxAddresses is how many addresses a Machine names.
const MaxAddresses = 16

// Configured says which [Config] is in force.
type Configured struct {
	Revision int64  `json:"revision"`
	Digest   string `json:"digest,omitempty"` // as the config has it
	Error    string `json:"error,omitempty"`  // what of it the agent cannot do, and why; the rest is done
}

// Fired says that the agent began a slot by itself: the job is in its journal,
// on disk, together with the slot. It also says that a backup which the control plane
// knows already, and which still ran then, serves further slots of its source group.
type Fired struct {
	Job        JobID         `json:"job"`
	Slot       Slot          `json:"slot"`
	Group      SourceGroupID `json:"group"`
	Repository RepositoryID  `json:"repository"`
	Revision   int64         `json:"revision"`         // of the config it was fired by
	Passed     int           `json:"passed,omitempty"` // how many missed slots before it this one stands for
	// Also holds slots of other schedules of the group that the same job serves, one
	// of each at most. Older agents run a job for each.
	Also []Slot `json:"also,omitempty"`
}

// Facts is what an agent knows of its host.
type Facts struct {
	Hostname string `json:"hostname"`
	OS       string `json:"os"`       // GOOS
	Arch     string `json:"arch"`     // GOARCH
	Platform string `json:"platform"` // "Debian GNU/Linux 12 (bookworm)"
	Agent    string `json:"agent"`    // version of the agent
	Restic   string `json:"restic"`   // version of restic, "" if there is none
	Policy   string `json:"policy"`   // name of the host's policy
	// Permits is what that policy allows; nil from an agent that does not say.
	Permits *Permits `json:"permits,omitempty"`
	// Jobs is how many jobs the agent can run at once, each in a repository of its own.
	// An older agent leaves it out and runs one.
	Jobs int `json:"jobs,omitempty"`
	// Makes says that the agent makes a repository in an init job alone, and runs the
	// hooks of a source group before and after it. An older agent leaves it out.
	Makes bool `json:"makes,omitempty"`
	// Can names what this agent can do that an older one cannot. An older agent leaves it out.
	Can []Ability `json:"can,omitempty"`
	// Updates is what it says of updates of itself; nil from an agent that knows of none.
	Updates *Updates `json:"updates,omitempty"`
}

// An Ability is something that an agent can do since some version. It is asked for it only
// if it said so; any other answer would be that the message is not understood.
type Ability string

// The abilities of agents.
const (
	AnswersQueries  Ability = "queries"  // it answers a [Query]
	RestoresBaskets Ability = "baskets"  // items of several snapshots, owners left out, in place, and what a dry run saw
	SearchesSome    Ability = "searches" // a find looks in some snapshots or groups, ignores case, and reports while it runs
	RunsDrills      Ability = "drills"   // it proves by itself that backups can be restored
	CopiesSnapshots Ability = "copies"   // into a second repository, which it makes like the first
	EndsPauses      Ability = "pauses"   // it knows when its schedules are paused, and has them go on by itself
	PastesFiles     Ability = "pasted"   // it has restic use the certificates and keys that were pasted, see [Repository].Files
	TakesOptions    Ability = "options"  // it knows [Repository].Options and [SourceGroup].Tuning
)

// MaxAbilities is how many abilities an agent may name.
const MaxAbilities = 32

// Permits is what a host lets its control plane do. It is told so that nobody
// asks in vain; the host holds to its policy whatever is asked.
type Permits struct {
	Kinds        []JobKind `json:"kinds"`                   // operations it runs
	Anywhere     bool      `json:"anywhere,omitempty"`      // repositories and paths are not limited
	Repositories []string  `json:"repositories,omitempty"`  // pinned: host and path of each, no credentials
	BackupRoots  []string  `json:"backup_roots,omitempty"`  // it reads below these; none is everywhere
	RestoreRoots []string  `json:"restore_roots,omitempty"` // it restores below these
	Overwrite    bool      `json:"overwrite,omitempty"`     // of files that are there
	// As says of each of Repositories who the host is there, see location.Identity, where
	// it is known; "?" is whoever is next to succeed.
	As map[string][]string `json:"repositories_as,omitempty"`
	// BackupPins says that a host without Repositories goes nowhere but to back up (or to
	// make, check or clean up the first), and to a path below RepositoryRoots only. An older
	// agent leaves it out: there the first job of any kind decides.
	BackupPins      bool     `json:"backup_pins,omitempty"`
	RepositoryRoots []string `json:"repository_roots,omitempty"`
	RepositoryFiles []string `json:"repository_files,omitempty"` // of the host, which a repository may name
	// RestoreTo is where a restore makes a directory of its own if nobody says where to;
	// an older agent leaves it out.
	RestoreTo string `json:"restore_to,omitempty"`
	// Quarantine is the directory below the agent's state into which restores go that may
	// touch nothing else, see [Operation].Confined; "" if the policy permits no restore
	// there, and of an older agent.
	Quarantine string   `json:"quarantine,omitempty"`
	Hooks      []string `json:"hooks,omitempty"` // names of programs it may run around a job
	// Moved says that the agent's state was where others could read its keys; nil if it never
	// was.
	Moved *Moved `json:"moved,omitempty"`
	// Digest stands for all of this, and heartbeats say it: what is stored is what the host
	// permits now while both are the same. An older agent leaves it out, and so does whoever
	// had to leave out some of the rest.
	Digest string `json:"digest,omitempty"`
}

// Moved is that an agent moved its state from where others could read it.
type Moved struct {
	From string `json:"from"`           // the directory that it was
	At   int64  `json:"at"`             // Unix milliseconds
	Keys int64  `json:"keys,omitempty"` // when its keys were replaced for that; 0 is not yet
}

// Digested returns a copy with its Digest.
func (p *Permits) Digested() *Permits {
	if p == nil {
		return nil
	}
	out := *p
	out.Digest = ""
	sum := sha256.Sum256(Encode(out))
	out.Digest = hex.EncodeToString(sum[:8])
	return &out
}

// Allows reports whether the host runs this operation. What is not known is
// allowed: the host decides.
func (p *Permits) Allows(k JobKind) bool { return p == nil || slices.Contains(p.Kinds, k) }

// Pinning are the kinds of job that go to a repository before a host has pinned any, and
// pin it: what a host is there for, and what a keeper does.
var Pinning = []JobKind{BackupJob, InitJob, CheckJob, ForgetJob, PruneJob}

// Opens reports whether the host goes to a repository for this kind of job while it has
// pinned none. A keeper lists what it is to clean up before it does so.
func (p *Permits) Opens(k JobKind) bool {
	if p == nil || p.Anywhere || !p.BackupPins || len(p.Repositories) > 0 || slices.Contains(Pinning, k) {
		return true
	}
	return slices.Contains(p.Kinds, ForgetJob) && slices.Contains([]JobKind{SnapshotsJob, KeyJob, LocksJob}, k)
}

// Restores reports whether a restore may write to this directory, by what the
// path says; where it leads, only the host knows.
func (p *Permits) Restores(target string) bool {
	return p == nil || p.Anywhere || below(target, p.RestoreRoots)
}

// Takes reports whether the first repository may be this path, by what the path says.
func (p *Permits) Takes(path string) bool {
	return p == nil || p.Anywhere || !p.BackupPins || below(path, p.RepositoryRoots)
}

func below(path string, roots []string) bool {
	to := parts(path)
	return slices.ContainsFunc(roots, func(root string) bool {
		r := parts(root)
		return len(to) >= len(r) && slices.Equal(to[:len(r)], r)
	})
}

// Quarantined reports whether a directory is one below the host's quarantine, by what
// the path says.
func (p *Permits) Quarantined(target string) bool {
	if p == nil || p.Quarantine == "" {
		return false
	}
	to, own := parts(target), parts(p.Quarantine)
	return len(to) > len(own) && slices.Equal(to[:len(own)], own) && !slices.Contains(to, "..")
}

// parts are the names in a path of Linux or Windows.
func parts(path string) []string {
	return strings.FieldsFunc(path, func(r rune) bool { return r == '/' || r == '\\' })
}

// Accepted says that a job is in the agent's journal, on disk. It is started at
// most once from here.
type Accepted struct {
	Job JobID `json:"job"`
	// What the job is, for a control plane that was restored from a copy in which it is
	// not. Older agents say nothing of it, and of a job that was accepted before nothing is said.
	Kind       JobKind       `json:"kind,omitempty"`
	Repository RepositoryID  `json:"repository,omitempty"`
	Group      SourceGroupID `json:"group,omitempty"`
	Slot       *Slot         `json:"slot,omitempty"`
}

// Started says that restic runs.
type Started struct {
	Job    JobID  `json:"job"`
	Restic string `json:"restic"` // version
}

// Log carries lines of a job's log. Lines[0] has the number First; numbers
// begin at 1 and have no holes. With Gap, no lines are carried and First to
// Gap.To were not kept.
type Log struct {
	Job   JobID  `json:"job"`
	First int    `json:"first"`
	Lines []Line `json:"lines,omitempty"`
	Gap   *Gap   `json:"gap,omitempty"`
}

// A Gap records lines that were not kept.
type Gap struct {
	To     int    `json:"to"` // the last missing line
	Reason string `json:"reason"`
}

// Finished is how a job ended, with everything there is to know. The first one
// counts.
type Finished struct {
	Job             JobID     `json:"job"`
	State           JobState  `json:"state"`
	Cause           Cause     `json:"cause,omitempty"`
	Message         string    `json:"message,omitempty"` // the evidence, one line
	ExitCode        *int      `json:"exit_code,omitempty"`
	Lines           int       `json:"lines"`             // how many log lines there are, kept or not
	Summary         *Summary  `json:"summary,omitempty"` // of a backup
	Result          *Result   `json:"result,omitempty"`  // of any other kind
	Snapshot        *Snapshot `json:"snapshot,omitempty"`
	RepositoryReady bool      `json:"repository_ready,omitempty"` // it exists, found or made by this job
	HostKeys        []HostKey `json:"host_keys,omitempty"`        // those that an SSH server showed, of host-key-unknown and host-key-changed
}
