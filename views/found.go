package views

import (
	"net/url"
	"strconv"
	"strings"

	"github.com/restic-manager/restic-manager/words"
)

// FoundRows is how many paths a page of what was found shows, and DiffRows how many changes.
const (
	FoundRows = 100
	DiffRows  = 250
)

// A FoundVersion is a file as one or several snapshots have it.
type FoundVersion struct {
	Snapshot string // the newest that has it so; its short ID
	At       When   // of that
	Changed  When   // of the file
	Size     string
	In       int    // snapshots that have it so
	Restore  string // URL
}

// A FoundPath is a path that a search found, with its versions, the newest first.
type FoundPath struct {
	Path     string
	Type     string
	Broken   bool // its name cannot be told exactly: its folder is restored
	Versions []FoundVersion
	URL      string // of all its versions
}

// Found is what a search found.
type Found struct {
	JobID   string
	Host    string // which looks
	Pattern string
	Running bool
	Cut     bool // there was more than is kept
	Gone    bool // what it found is kept no longer
	Until   When // until when what it found is kept
	Query   string
	Matches int // paths, each as often as snapshots have it
	Total   int // paths that the text finds
	Rows    []FoundPath

	AgainURL string // the page that searches for it anew
	Paging   Paging
	Page     bool // it is a page of its own, with a filter
}

// FoundURL is the page of what a search found.
func FoundURL(job, query string, page int) string { return listURL(JobURL(job)+"/found", query, page) }

// VersionsURL is the page of all versions of a path; host is whose snapshots, "" everybody's.
func VersionsURL(repository, host, path string) string {
	q := url.Values{"repository": {repository}, "path": {path}}
	if host != "" {
		q.Set("host", host)
	}
	return "/versions?" + q.Encode()
}

// SearchURL is the page that looks for files in the snapshots of a repository, a host, or
// both.
func SearchURL(repository, host string) string {
	q := url.Values{}
	if repository != "" {
		q.Set("repository", repository)
	}
	if host != "" {
		q.Set("host", host)
	}
	if len(q) == 0 {
		return "/search"
	}
	return "/search?" + q.Encode()
}

// PagingBy is a page of a list with so many rows a page.
func PagingBy(total, page, rows int, one, many string, url func(page int) string) Paging {
	pages := max((total+rows-1)/rows, 1)
	page = min(max(page, 1), pages)
	p := Paging{From: (page - 1) * rows, To: min(page*rows, total)}
	p.Text = words.Count(uint64(max(total, 0)), one, many)
	if pages > 1 {
		p.Text = words.Number(uint64(p.From+1)) + " to " + words.Number(uint64(p.To)) + " of " + p.Text
	}
	if page > 1 {
		p.Prev = url(page - 1)
	}
	if page < pages {
		p.Next = url(page + 1)
	}
	return p
}

// A Search is the page that looks for files.
type Search struct {
	Repositories []Option
	Repository   string
	Hosts        []Option
	Host         string
	Pattern      string
	IgnoreCase   bool
	Problems     map[string]string
	Recent       []JobRow // searches, the newest first
}

// A DiffChange is one path that differs.
type DiffChange struct {
	Name string
	Path string
	Kind DiffKind
}

// A DiffKind is what became of a file, as a page shows it.
type DiffKind struct{ Key, Word, Icon, Tone string }

// DiffKinds are the kinds that a diff knows, by their keys.
var DiffKinds = []DiffKind{
	{"damaged", "Damaged", "octagon-x", "fail"},
	{"removed", "Removed", "circle-minus", "fail"},
	{"type", "Type changed", "layers", "warn"},
	{"changed", "Content changed", "pencil", "run"},
	{"added", "Added", "plus", "ok"},
	{"metadata", "Only owner, rights or time changed", "user", "idle"},
	{"other", "Changed in another way", "circle-help", "idle"},
}

// DiffKindOf is the kind with a key.
func DiffKindOf(key string) DiffKind {
	for _, k := range DiffKinds {
		if k.Key == key {
			return k
		}
	}
	return DiffKinds[len(DiffKinds)-1]
}

// A DiffFolder is what changed in a folder.
type DiffFolder struct {
	Path    string
	Sum     string // "3 added, 1 removed", of all below
	Total   int    // of all below
	Changes []DiffChange
}

// Said is what changed in a folder; sums of a folder that holds others are with what is in it.
func (f DiffFolder) Said() string {
	if f.Total > len(f.Changes) {
		return f.Sum + ", with what is in it"
	}
	return f.Sum
}

// A Diff is the difference between two snapshots.
type Diff struct {
	JobID        string
	RepositoryID string
	From, To     string // short IDs
	Kind, Query  string
	Tabs         []Tab
	Damaged      int // files whose content changed though nothing says so
	Cut          bool
	Gone         bool // the report is kept no longer
	Found        int
	Folders      []DiffFolder
	Paging       Paging
	Page         bool
}

// DiffURL is the page of a diff job.
func DiffURL(job, kind, query string, page int) string {
	q := url.Values{}
	if kind != "" {
		q.Set("kind", kind)
	}
	if query != "" {
		q.Set("q", query)
	}
	if page > 1 {
		q.Set("page", strconv.Itoa(page))
	}
	if len(q) == 0 {
		return JobURL(job) + "/changes"
	}
	return JobURL(job) + "/changes?" + q.Encode()
}

// A VersionRow is a path as one or several snapshots have it.
type VersionRow struct {
	FoundVersion
	WholeID string // of the snapshot
	Tick    string // what the form of a draft says of it
	Chosen  bool   // the draft has it
}

// Versions is the page of one file or folder.
type Versions struct {
	Repository, RepositoryID string
	Host, HostID             string // whose snapshots
	Path                     string
	Rows                     []VersionRow
	Problem                  *Note
	Draft                    string // the restore that is being put together from this repository, "" if none is
	Commands                 []PlainCommand
}

// A VersionsForm is the page that asks whose versions are meant.
type VersionsForm struct {
	Repositories     []Option
	ManyRepositories bool   // they are suggestions: a name is typed
	Repository       string // an ID of Repositories, or a name
	Hosts            []Runner
	Host             string // an ID, or a name
	Path             string
}

// folderOf is the folder in which a path is.
func folderOf(path string) string {
	if i := strings.LastIndex(strings.TrimRight(path, "/"), "/"); i > 0 {
		return path[:i]
	}
	return "/"
}

// Restorable is the path that is restored for a path: itself, or its folder if its name
// cannot be told exactly, because it is not UTF-8 and restic replaces what is not.
func Restorable(path string) (of string, broken bool) {
	for strings.ContainsRune(path, '\uFFFD') {
		path, broken = folderOf(path), true
	}
	return path, broken
}

// findHints name what describes the field for the pattern.
func findHints(v Search) string {
	if v.Problems["pattern"] != "" {
		return "find-hint find-error"
	}
	return "find-hint"
}
