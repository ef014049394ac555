package topics

import (
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
)

// QueryID names a query among those of the control plane.
type QueryID string

// A QueryKind says what a query asks for.
type QueryKind string

// The kinds of query.
const (
	FilesQuery       QueryKind = "files"       // the entries of one directory of a snapshot
	VersionsQuery    QueryKind = "versions"    // one path in several snapshots
	DirectoriesQuery QueryKind = "directories" // directories of the host below one, and the free space there
	SSHLook          QueryKind = "ssh"         // how servers are reached by SFTP, of agents with [KeepsSSHKeys]
	TestQuery        QueryKind = "test"        // what is where a repository is to be, of agents with [TestsPlaces]
)

// QueryKinds lists all of them.
var QueryKinds = []QueryKind{FilesQuery, VersionsQuery, DirectoriesQuery, SSHLook, TestQuery}

// Query asks an agent for something that a person waits for, or says that nobody waits any
// more. It is beside the jobs: nothing of it is written down, it is sent once, and it is
// over with its session.
//
//	rm/v1/ctl/{host}/query/{id}    plane → agent, QoS 1
//
// An agent answers at most MaxQueries at once, and each within Limit seconds; a cancelled
// one is not answered.
type Query struct {
	Stamp
	Kind       QueryKind   `json:"kind,omitempty"`
	Repository *Repository `json:"repository,omitempty"` // files, versions, test: there its password may be ""
	Snapshot   string      `json:"snapshot,omitempty"`   // files: an ID
	Snapshots  []string    `json:"snapshots,omitempty"`  // versions: whole IDs
	// Whole, of versions, says that about all snapshots of the repository are meant, of which
	// Snapshots names the newest alone if there are more than it holds: looking through all
	// at once is faster. An older agent looks through those named.
	Whole bool `json:"whole,omitempty"`
	// Path is, of files and versions, as snapshots name it, with slashes on every system; of
	// directories one of the host, "" for those that its policy names.
	Path   string `json:"path,omitempty"`
	Limit  int    `json:"limit,omitempty"` // seconds; 0 is 30
	Cancel bool   `json:"cancel,omitempty"`
	// SSH, of ssh, is what is to be done; nil is a look.
	SSH *SSHQuery `json:"ssh,omitempty"`
}

// Bounds of queries and answers.
const (
	MaxQueries        = 4      // at once on one host
	MaxQueryLimit     = 120    // seconds
	MaxQuerySnapshots = 700    // whose IDs fit into a message
	MaxQueryPath      = 8192   // bytes
	MaxAnswerParts    = 4000   // of one answer
	MaxAnswerEntries  = 200000 // in all parts of one answer
)

// Answer is a part of what an agent answers a [Query].
//
//	rm/v1/agent/{host}/answer/{id}    agent → plane, QoS 1
//
// Parts are numbered from 1 without holes, and the last one says so. One with a Cause is
// the last, and says that there is no answer.
type Answer struct {
	Stamp
	Part        int         `json:"part"`
	Last        bool        `json:"last,omitempty"`
	Entries     []Node      `json:"entries,omitempty"`
	Versions    []Version   `json:"versions,omitempty"`
	Directories []Directory `json:"directories,omitempty"`
	FreeBytes   *uint64     `json:"free_bytes,omitempty"` // directories: what the agent may still write there
	Path        string      `json:"path,omitempty"`       // directories: links resolved
	Truncated   bool        `json:"truncated,omitempty"`  // there was more than an answer holds
	Whole       bool        `json:"whole,omitempty"`      // versions: all snapshots were looked through
	SSH         *SSHState   `json:"ssh,omitempty"`        // ssh
	Finding     *Finding    `json:"finding,omitempty"`    // test
	Cause       Cause       `json:"cause,omitempty"`
	Message     string      `json:"message,omitempty"` // what happened, one line
}

// A Node is what one directory of a snapshot holds.
type Node struct {
	Name    string `json:"name"`
	Path    string `json:"path"`
	Type    string `json:"type"` // file, dir, symlink, dev, chardev, fifo, socket
	Size    uint64 `json:"size,omitempty"`
	Mode    uint32 `json:"mode"`            // the twelve bits of POSIX
	ModTime int64  `json:"mtime,omitempty"` // Unix milliseconds
	UID     uint32 `json:"uid"`
	GID     uint32 `json:"gid"`
	User    string `json:"user,omitempty"` // "" where restic does not say
	Group   string `json:"group,omitempty"`
	Target  string `json:"target,omitempty"` // of a symlink
	// Broken says that its name is no valid UTF-8. restic puts U+FFFD in the place of what
	// is not, so nothing can be asked for by this name; its directory can.
	Broken bool `json:"broken,omitempty"`
}

// A Version is what a path is in one snapshot.
type Version struct {
	Snapshot string `json:"snapshot"` // a whole ID
	Time     int64  `json:"time,omitempty"`
	Size     uint64 `json:"size,omitempty"`
	ModTime  int64  `json:"mtime,omitempty"` // Unix milliseconds
	Type     string `json:"type"`
}

// A Directory is one on a host, below what its policy lets restores write to.
type Directory struct {
	Name     string `json:"name"` // a whole path, if there is none above that may be shown
	Writable bool   `json:"writable,omitempty"`
}

// A FindingState says in a word what is where a repository is to be.
type FindingState string

// The states of a place.
const (
	FindingOurs    FindingState = "ours"    // a repository that opens with the password
	FindingEmpty   FindingState = "empty"   // the place is there, and nothing is in it
	FindingMissing FindingState = "missing" // nothing is there: no such folder or bucket, or no repository where more cannot be told
	// FindingOther is anything else: a repository that the password does not open, data that
	// is none, or that it could not be found out. Cause says which.
	FindingOther FindingState = "other"
)

// A Finding is what a host found where a repository is to be. Nothing was written there, and
// nothing removed.
type Finding struct {
	State   FindingState `json:"state"`
	Cause   Cause        `json:"cause,omitempty"`   // of other
	Message string       `json:"message,omitempty"` // what was found, or what went wrong, one line
	Reached bool         `json:"reached,omitempty"` // the server answered
	Entered bool         `json:"entered,omitempty"` // it let the credential in
	// Certificate is the server's, nil where there is none or it was not seen.
	Certificate *Certificate `json:"certificate,omitempty"`
	// MayDelete is whether the credential may delete there, nil where that cannot be told
	// without deleting.
	MayDelete *bool `json:"may_delete,omitempty"`
	// Snapshots is how many a repository of ours holds, nil where that is not known.
	Snapshots *int `json:"snapshots,omitempty"`
	// HostKeys are those that an SSH server showed, of host-key-unknown and host-key-changed.
	HostKeys []HostKey `json:"host_keys,omitempty"`
}

// A Certificate is what a server shows.
type Certificate struct {
	Subject   string `json:"subject"`
	Issuer    string `json:"issuer"`
	NotAfter  int64  `json:"not_after"` // Unix milliseconds
	SHA256    string `json:"sha256"`    // of the whole certificate, in hexadecimal
	Trusted   bool   `json:"trusted,omitempty"`
	Why       string `json:"why,omitempty"`        // it is not, one line
	PEM       string `json:"pem,omitempty"`        // what to trust, if that would help: of the authority, or the certificate itself
	PEMSHA256 string `json:"pem_sha256,omitempty"` // the fingerprint of what is in PEM
}

// MaxPEM is how many bytes the certificate of a [Finding] may have.
const MaxPEM = 16 << 10

var fingerprint = regexp.MustCompile(`^([0-9a-f]{64})?$`)

func (f *Finding) check() error {
	if f == nil {
		return nil
	}
	if !slices.Contains([]FindingState{FindingOurs, FindingEmpty, FindingMissing, FindingOther}, f.State) {
		return fmt.Errorf("%.40q is no state of a place", string(f.State))
	}
	if c := f.Certificate; c != nil && (len(c.PEM) > MaxPEM || !fingerprint.MatchString(c.SHA256) || !fingerprint.MatchString(c.PEMSHA256)) {
		return errors.New("certificate: it is too long, or its fingerprint is none")
	}
	if n := f.Snapshots; n != nil && (*n < 0 || f.State != FindingOurs) {
		return fmt.Errorf("%d snapshots of a place that is %s", *n, f.State)
	}
	return checkHostKeys(f.HostKeys)
}

// Causes of a query without an answer, besides those of jobs.
const (
	CauseTooMany  Cause = "too-many"  // MaxQueries are under way
	CauseSlow     Cause = "slow"      // its time was up
	CauseNotFound Cause = "not-found" // the snapshot, or the directory
)

func (q Query) check() error {
	bad := func(format string, args ...any) error { return fmt.Errorf("query: "+format, args...) }
	if q.Cancel {
		if q.Kind != "" || q.Repository != nil {
			return bad("either one, or its end")
		}
		return q.Stamp.check()
	}
	switch {
	case len(q.Path) > MaxQueryPath || strings.Contains(q.Path, "\x00"):
		return bad("path: at most %d bytes", MaxQueryPath)
	case q.Limit < 0 || q.Limit > MaxQueryLimit:
		return bad("limit: at most %d seconds", MaxQueryLimit)
	case (q.Kind == FilesQuery || q.Kind == VersionsQuery || q.Kind == TestQuery) && q.Repository == nil:
		return bad("of which repository?")
	case q.Kind == FilesQuery && !snapshotID.MatchString(q.Snapshot):
		return bad("%.80q is no snapshot ID", q.Snapshot)
	case q.Kind == VersionsQuery && (len(q.Snapshots) == 0 || len(q.Snapshots) > MaxQuerySnapshots):
		return bad("snapshots: 1 to %d", MaxQuerySnapshots)
	}
	if q.Kind == FilesQuery || q.Kind == VersionsQuery {
		if err := inSnapshot(q.Path); err != nil {
			return bad("path: %w", err)
		}
	}
	if err := q.SSH.check(); err != nil {
		return bad("ssh: %w", err)
	}
	for _, id := range q.Snapshots {
		if !wholeID.MatchString(id) {
			return bad("%.80q is no whole snapshot ID", id)
		}
	}
	return q.Stamp.check()
}

// Format prints what is asked, without secrets and without names of files.
func (q Query) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, "query for "+string(q.Kind)) }

func (a Answer) check() error {
	if a.Part < 1 || a.Part > MaxAnswerParts {
		return errors.New("parts are numbered from 1")
	}
	if err := a.SSH.check(); err != nil {
		return err
	}
	for _, v := range a.Versions {
		if !wholeID.MatchString(v.Snapshot) {
			return fmt.Errorf("%.80q is no snapshot ID", v.Snapshot)
		}
	}
	if err := a.Finding.check(); err != nil {
		return err
	}
	return a.Stamp.check()
}

// CheckSnapshotPath returns an error for a path that no snapshot can name.
func CheckSnapshotPath(p string) error { return inSnapshot(p) }
