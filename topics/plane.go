package topics

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Received is a place in a host's event stream: everything up to Seq of this epoch is
// committed. Mark belongs to the event at Seq; if the agent has another mark there,
// its journal was restored from an older copy and has gone on since.
type Received struct {
	Epoch int64  `json:"epoch"`
	Seq   uint64 `json:"seq"`
	Mark  string `json:"mark,omitempty"`
}

// Welcome answers a [Birth]. An agent that gets none within 15 s drops its connection
// and tries again with the next session.
//
//	rm/v1/ctl/{host}/welcome    plane → agent, QoS 1
type Welcome struct {
	Stamp
	Received Received `json:"received"`
	Clock    int64    `json:"clock"` // the control plane's, Unix milliseconds
	// Known is the highest session the control plane knows of this host, if it is a
	// higher one: the agent's journal is an older copy, and must begin a new epoch
	// before its events count.
	Known   Session `json:"known,omitzero"`
	Refused string  `json:"refused,omitempty"` // why this agent cannot work here, and what to do
	// Plane is the control plane's own epoch: it rises when it is restored from a copy. An
	// agent that a later one has welcomed leaves it: two would send it jobs. 0 is one of an
	// older version.
	Plane int64 `json:"plane,omitempty"`
	// Renew asks the agent to renew its certificate at once, due or not, so that a copy of
	// its keys is good no longer. A welcome that comes once more, in a session that was
	// welcomed, says nothing but this, Refused and Next.
	Renew bool `json:"renew,omitempty"`
	// Broadcasts says that the agent may subscribe to AllAgentsRead; an older control plane
	// refuses that, and an older agent does not.
	Broadcasts bool `json:"broadcasts,omitempty"`
	// Next is the identity of the control plane that the agent is to move to. None in the
	// first welcome of a session says that the one the agent uses is the only one.
	Next *Succession `json:"next,omitempty"`
}

// A Succession is the control plane's identity that follows the one over whose channel
// it is told. Until its end both are accepted. An agent gets a certificate of the next
// CA (see RenewRequest), and from the first connection with it on seals for the next
// key; the control plane goes on showing a certificate of the CA before, so that an
// agent that has moved trusts both until no Next is told any more. An agent of an older
// version passes over it, and has to be enrolled again after the end.
type Succession struct {
	CA      []byte `json:"ca"`       // DER
	SealKey []byte `json:"seal_key"` // the control plane's public one
	Until   int64  `json:"until"`    // Unix milliseconds
}

// Receipt says which events are committed, after the commit. They need not be sent
// again; an agent keeps them for a while all the same, for a control plane that is
// restored from an older copy.
//
//	rm/v1/ctl/{host}/receipt    plane → agent, QoS 1
type Receipt struct {
	Stamp
	Received Received `json:"received"`
}

// Command asks for a job to be run or cancelled, exactly one of the two. It is sent
// again until an event answers it, so it may arrive twice, and late.
//
//	rm/v1/ctl/{host}/job/{job}/command    plane → agent, QoS 1
type Command struct {
	Stamp
	Job      JobID `json:"job"`
	NotAfter int64 `json:"not_after,omitempty"` // Unix milliseconds; not started later than this
	Run      *Run  `json:"run,omitempty"`
	Cancel   bool  `json:"cancel,omitempty"`
}

// Run is everything an agent needs to run a job.
type Run struct {
	Kind       JobKind    `json:"kind"`
	Repository Repository `json:"repository"`
	// Group is of a backup, and of an init job the one whose backup waits for it. Of a
	// restore it holds the Limits alone, of the group whose snapshot it is.
	Group SourceGroup `json:"group,omitzero"`
	Slot  *Slot       `json:"slot,omitempty"` // of a schedule's backup: one that has been run here is refused
	// Other is the second repository: of a copy the one that the snapshots go to, and of an
	// init job with From the one whose chunker parameters the new one takes. Agents without
	// [CopiesSnapshots] know of none.
	Other *Repository `json:"other,omitempty"`
	Operation
}

// Limits restrict a job. From and To are minutes of the day in Zone, an IANA name or
// "" for the host's own; outside them the bandwidth is not limited. Equal values mean
// all day, and From may be later than To. The limits at restic's start hold until it
// ends.
type Limits struct {
	UploadKiB   int    `json:"upload_kib,omitempty"`   // a second; 0 is no limit
	DownloadKiB int    `json:"download_kib,omitempty"` // a second; 0 is no limit
	From        int    `json:"from,omitempty"`
	To          int    `json:"to,omitempty"`
	Zone        string `json:"zone,omitempty"`
	LowPriority bool   `json:"low_priority,omitempty"` // of processor and disk
}

// Check returns an error for limits that make no sense.
func (l Limits) Check() error {
	switch {
	case l.UploadKiB < 0 || l.DownloadKiB < 0 || l.UploadKiB > 1<<30 || l.DownloadKiB > 1<<30:
		return errors.New("limits: a bandwidth is 0 for none, or KiB a second")
	case l.From < 0 || l.To < 0 || l.From >= 24*60 || l.To >= 24*60:
		return errors.New("limits: from and to are minutes of the day, 0 to 1439")
	}
	if _, err := time.LoadLocation(l.Zone); err != nil {
		return fmt.Errorf("limits: %.60q is no time zone, as in Europe/Berlin", l.Zone)
	}
	return nil
}

// Strictest returns limits that keep both: of each bandwidth the lower one. If both limit
// it in different hours, that is all day.
func (l Limits) Strictest(o Limits) Limits {
	least := func(a, b int) int {
		if a <= 0 || b > 0 && b < a {
			return b
		}
		return a
	}
	unlimited := func(l Limits) bool { return l.UploadKiB <= 0 && l.DownloadKiB <= 0 }
	out := Limits{UploadKiB: least(l.UploadKiB, o.UploadKiB), DownloadKiB: least(l.DownloadKiB, o.DownloadKiB),
		LowPriority: l.LowPriority || o.LowPriority}
	switch {
	case unlimited(o):
		out.From, out.To, out.Zone = l.From, l.To, l.Zone
	case unlimited(l) || l.From == o.From && l.To == o.To && l.Zone == o.Zone:
		out.From, out.To, out.Zone = o.From, o.To, o.Zone
	}
	return out
}

// At returns the limits in force at a time, without hours. If the host does not know
// the zone it limits all day, and returns an error to report.
func (l Limits) At(now time.Time) (Limits, error) {
	in := Limits{UploadKiB: max(l.UploadKiB, 0), DownloadKiB: max(l.DownloadKiB, 0), LowPriority: l.LowPriority}
	if l.From == l.To {
		return in, nil
	}
	zone := time.Local
	if l.Zone != "" {
		var err error
		if zone, err = time.LoadLocation(l.Zone); err != nil {
			return in, fmt.Errorf("the limits' time zone %.60q is not known here", l.Zone)
		}
	}
	now = now.In(zone)
	minute := now.Hour()*60 + now.Minute()
	inside := l.From <= minute && minute < l.To
	if l.From > l.To {
		inside = minute >= l.From || minute < l.To
	}
	if !inside {
		in.UploadKiB, in.DownloadKiB = 0, 0
	}
	return in, nil
}

// Format prints what is run, without secrets. Without it, fmt would print what is
// behind a pointer for a verb that does not fit.
func (r Run) Format(s fmt.State, _ rune) {
	_, _ = io.WriteString(s, string(r.Kind)+" into "+string(r.Repository.ID))
}

// Repository is where the data goes, and the credentials for it.
type Repository struct {
	ID       RepositoryID      `json:"id"`
	URL      Secret            `json:"url"` // may hold user and password
	Password Secret            `json:"password"`
	Env      map[string]Secret `json:"env,omitempty"` // credentials of the backend, by restic's variable names
	// Files are the contents of files that such variables name: certificates and keys that
	// were pasted, see location.Pastes. The agent writes them where nobody else reads them,
	// for as long as the job runs. One without [PastesFiles] passes over them, and restic
	// then trusts the system's authorities, or has no login.
	Files map[string]Secret `json:"files,omitempty"`
	// Options are extended options of restic's, see location.Options. An agent without
	// [TakesOptions] passes over them, and restic does what it does by itself.
	Options map[string]string `json:"options,omitempty"`
	// Initialise allows an init job to make the repository if there is none. It is set in
	// the command of an init job alone, which one host has, and only while no job has
	// found a repository there: one that is missing later must not be replaced by an
	// empty one. Agents of older versions would make one in any job.
	Initialise bool `json:"initialise,omitempty"`
}

// SourceGroup is what a backup reads.
type SourceGroup struct {
	ID            SourceGroupID `json:"id"` // becomes the restic tag plan=<id>
	Name          string        `json:"name"`
	Paths         []string      `json:"paths"`
	Excludes      []string      `json:"excludes,omitempty"`
	OneFileSystem bool          `json:"one_file_system,omitempty"`
	LiveFiles     bool          `json:"live_files,omitempty"` // on Windows: no shadow copy of the volume
	// ShadowCopyOnly is, on Windows, that nothing is saved where no shadow copy is made.
	// Without it the files themselves are read then, and the job has a warning; agents of
	// older versions do that for a volume that has none, and fail for everything else.
	ShadowCopyOnly bool `json:"shadow_copy_only,omitempty"`

	AllowEmpty bool   `json:"allow_empty,omitempty"` // a backup without a single file is a good one
	Tuning     Tuning `json:"tuning,omitzero"`       // an agent without [TakesOptions] passes over it
	Hooks      Hooks  `json:"hooks,omitzero"`
	Limits     Limits `json:"limits,omitzero"` // of its backups, and of restores of them
}

// Tuning is how restic makes a backup, where it leaves a choice. What the host's restic does
// not know yet is left out, and the job says so.
type Tuning struct {
	Compression      string   `json:"compression,omitempty"`        // one of Compressions; "" is as restic does by itself
	PackSizeMiB      int      `json:"pack_size_mib,omitempty"`      // of the files in the repository, 4 to 128; 0 is restic's own
	ReadConcurrency  int      `json:"read_concurrency,omitempty"`   // files read at once, 1 to 32; 0 is restic's own
	ExcludeCaches    bool     `json:"exclude_caches,omitempty"`     // folders that a CACHEDIR.TAG says are caches
	ExcludeLarger    string   `json:"exclude_larger,omitempty"`     // files above this size, in bytes or as in 500M; "" is none
	ExcludeIfPresent []string `json:"exclude_if_present,omitempty"` // the content of folders with a file of this name, NAME or NAME:BEGINNING
	WithATime        bool     `json:"with_atime,omitempty"`         // save when each file was last read
	NoScan           bool     `json:"no_scan,omitempty"`            // do not look first how much there is; then no percentage is known
}

// Compressions are what [Tuning].Compression may be. fastest and better are of restic 0.19.
var Compressions = []string{"auto", "off", "fastest", "better", "max"}

// Bounds of a [Tuning].
const (
	MinPackSize        = 4
	MaxPackSize        = 128
	MaxReadConcurrency = 32
	MaxIfPresent       = 20
)

// IsZero reports whether all is left to restic.
func (t Tuning) IsZero() bool {
	return t.Compression == "" && t.PackSizeMiB == 0 && t.ReadConcurrency == 0 && !t.ExcludeCaches && t.ExcludeLarger == "" &&
		len(t.ExcludeIfPresent) == 0 && !t.WithATime && !t.NoScan
}

var size = regexp.MustCompile(`^[1-9][0-9]{0,11}[kKmMgGtT]?$`)

// Check returns an error for what restic would refuse or misread.
func (t Tuning) Check() error {
	switch {
	case t.Compression != "" && !slices.Contains(Compressions, t.Compression):
		return fmt.Errorf("tuning: the compression is one of %s", strings.Join(Compressions, ", "))
	case t.PackSizeMiB != 0 && (t.PackSizeMiB < MinPackSize || t.PackSizeMiB > MaxPackSize):
		return fmt.Errorf("tuning: the pack size is a whole number of MiB from %d to %d", MinPackSize, MaxPackSize)
	case t.ReadConcurrency < 0 || t.ReadConcurrency > MaxReadConcurrency:
		return fmt.Errorf("tuning: files read at once are a whole number from 1 to %d", MaxReadConcurrency)
	case t.ExcludeLarger != "" && !size.MatchString(t.ExcludeLarger):
		return errors.New("tuning: a size above which files are left out is a whole number with k, M, G or T after it, as in 500M")
	case len(t.ExcludeIfPresent) > MaxIfPresent:
		return fmt.Errorf("tuning: at most %d names of files leave out the folders that they are in", MaxIfPresent)
	}
	for _, text := range t.ExcludeIfPresent {
		name, _, _ := strings.Cut(text, ":")
		if strings.TrimSpace(name) == "" || name == "." || name == ".." || len(text) > 200 || !utf8.ValidString(text) ||
			strings.ContainsAny(name, `/\`) || strings.ContainsFunc(text, unicode.IsControl) {
			return fmt.Errorf("tuning: %.60q is no name of a file, alone or with : and how the file begins after it", text)
		}
	}
	return nil
}

// Hooks names programs in the host's own policy; the control plane sends nothing but
// the names.
type Hooks struct {
	Before    []string `json:"before,omitempty"`     // in this order; one that fails fails the job, and restic is not started
	After     []string `json:"after,omitempty"`      // once the first of Before was to run, however the job ended
	OnFailure []string `json:"on_failure,omitempty"` // after a failure, before After
}

// Check returns an error for names that no hook can have.
func (h Hooks) Check() error {
	for _, names := range [][]string{h.Before, h.After, h.OnFailure} {
		if len(names) > 20 {
			return errors.New("hooks: at most 20 of a kind")
		}
		for _, name := range names {
			if name == "" || len(name) > 60 || strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r > '~' }) {
				return fmt.Errorf("hooks: %.60q is no name of one: up to 60 letters, digits and signs", name)
			}
		}
	}
	return nil
}

// A Secret does not print itself. Only its JSON form contains it, inside a sealed
// payload. fmt prints it, though, if it is an unexported field of a printed value.
type Secret string

const redacted = "[redacted]"

// String hides the secret from whoever asks for a text.
func (Secret) String() string { return redacted }

// Format hides the secret from fmt, whatever the verb: a wrong one would print it.
// Only %p cannot be helped.
func (Secret) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, redacted) }

// LogValue hides the secret from slog.
func (Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// Reveal returns the secret itself.
func (s Secret) Reveal() string { return string(s) }
