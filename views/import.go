package views

import "net/url"

// An Import is what a repository holds that no job here made, and which source group that
// may be of.
type Import struct {
	RepositoryID, Repository string
	Listed                   When // when a host listed it last
	Rows                     []ImportRow
	More                     int           // rows that are not shown
	Wrong                    string        // why what was chosen cannot be
	Review                   *ImportReview // of what was chosen; nil if nobody asked yet
	Done                     []ImportDone
}

// An ImportRow is snapshots that are alike.
type ImportRow struct {
	Key            string
	Hostname       string
	Place          string // the host at whose place they are, "" where all share one
	Paths, Tags    []string
	Varied         int // how many other tags they have, which vary from one to the next
	Count          int // of those that can be taken in
	Ahead          int // of others, which say that they were made in the future
	Oldest, Newest When
	Why            string
	Earlier        When     // when some like these were taken in before
	Chosen         string   // the source group, "" to leave them as they are
	Groups         []Option // that can be chosen
	Newer          int      // of them, those newer than the first backup here of what is chosen, or backdated
	Backdated      bool     // some say that they are older than a listing that had them not
	TakeNewer      bool
	NewGroup       string // URL of a form for a source group of their paths; "" if none is offered
}

// An ImportReview is what follows if it is confirmed.
type ImportReview struct {
	Rows   []ImportChoice
	Count  int
	Doubts []string // what to make sure of first, sentences
	Effect []string // sentences
	Goes   bool     // some go by the rules
}

// An ImportChoice is a row that was chosen, as it is sent.
type ImportChoice struct {
	Key, Group, Text string
	Newer            bool
	Count            int
	Digest           string // of what is shown of it
}

// An ImportDone is what was taken in at once.
type ImportDone struct {
	ID        string
	At        When
	By        string
	Rows      []string // "12 of web1, /etc, to etc of web1"
	Left      int
	UndoneAt  When
	UndoneBy  string
	Doing     string // "taking" or "giving back" while that goes on
	Snapshots int
}

// TakeIn is the field of a repository's form that says that somebody has used the repository
// before: no host makes it, and after it is saved its snapshots are taken in.
const TakeIn = "take_in"

// RepositoryImportURL is where snapshots of a repository are taken in.
func RepositoryImportURL(id string) string { return RepositoryURL(id) + "/import" }

// NewGroupURL is the form of a source group of a host, filled in.
func NewGroupURL(host, repository string, paths []string) string {
	return HostURL(host) + "/source-groups/new?" + url.Values{"path": paths, "repository": {repository}}.Encode()
}
