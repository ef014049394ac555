package views

import (
	"net/url"
	"strconv"
	"strings"

	"github.com/restic-manager/restic-manager/words"
)

// The pages of a restore that is put together, in their order.
const (
	RestoreSnapshot    = "snapshot"
	RestoreFiles       = "files"
	RestoreDestination = "destination"
	RestoreReview      = "review"
)

// RestoreURL is the list of one's own drafts.
const RestoreURL = "/restore"

// RestoreNewURL is where a restore begins, with what is known of it: all of it may be "".
func RestoreNewURL(repository, snapshot, host, path string) string {
	q := url.Values{}
	for _, v := range [][2]string{{"repository", repository}, {"snapshot", snapshot}, {"host", host}, {"path", PathCode(path)}} {
		if v[1] != "" {
			q.Set(v[0], v[1])
		}
	}
	return withQuery(RestoreURL+"/new", q)
}

// DraftURL is a page of a draft; "" is the draft itself.
func DraftURL(id, page string) string {
	if page == "" {
		return RestoreURL + "/" + url.PathEscape(id)
	}
	return RestoreURL + "/" + url.PathEscape(id) + "/" + page
}

// FolderURL is a directory of a snapshot as a page of a draft. After is where its list
// goes on, and filter what its names have to hold.
func FolderURL(id, snapshot, path, after, filter string) string {
	q := url.Values{"snapshot": {snapshot}}
	for _, v := range [][2]string{{"path", path}, {"after", after}, {"q", filter}} {
		if v[1] != "" {
			q.Set(v[0], v[1])
		}
	}
	return withQuery(DraftURL(id, RestoreFiles), q)
}

// DirectoriesURL is a directory of the target's host, to choose it.
func DirectoriesURL(id, host, path string) string {
	q := url.Values{"host": {host}}
	if path != "" {
		q.Set("path", path)
	}
	return withQuery(DraftURL(id, "directories"), q)
}

func withQuery(path string, q url.Values) string {
	if len(q) == 0 {
		return path
	}
	return path + "?" + q.Encode()
}

// A PathCode is a path as a form sends it: a browser changes line breaks in what it
// sends, so they, and everything else that does not show, are percent-encoded.
func PathCode(path string) string {
	var b strings.Builder
	for _, r := range path {
		if r == '%' || r != ' ' && !words.Printable(string(r)) {
			for _, c := range []byte(string(r)) {
				b.WriteString("%" + strings.ToUpper(string("0123456789abcdef"[c>>4])) + strings.ToUpper(string("0123456789abcdef"[c&15])))
			}
			continue
		}
		b.WriteRune(r)
	}
	return b.String()
}

// PathOf is the path that a code stands for; what is no code stands for itself.
func PathOf(code string) string {
	if path, err := url.PathUnescape(code); err == nil {
		return path
	}
	return code
}

// HostPath is a path of a snapshot in the form of the host it is from: restic names
// C:\Users as /C/Users.
func HostPath(path string, windows bool) string {
	if !windows {
		return path
	}
	drive, rest, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	if len(drive) == 1 {
		drive += ":"
		if rest == "" {
			return drive + `\`
		}
	}
	return strings.TrimSuffix(drive+`\`+strings.ReplaceAll(rest, "/", `\`), `\`)
}

// HostName is the last name of such a path; of a root, the root.
func HostName(path string, windows bool) string {
	at := strings.LastIndexByte(path, '/')
	if at > 0 || at == 0 && len(path) > 1 && !windows {
		return path[at+1:]
	}
	return HostPath(path, windows)
}

// A Restore is what every page of a draft shows.
type Restore struct {
	ID         string // of the draft, "" before there is one
	Page       string // one of the four above
	Version    int64  // that the forms are made from
	Repository Link   // URL is "" while nothing was chosen
	Basket     Basket
	Reached    map[string]bool // the pages that can be opened
	Note       *Note           // what changed meanwhile, or went wrong
	Ran        Link            // the job that brought it back, if one did
}

// A Basket is what was chosen so far.
type Basket struct {
	Groups []BasketGroup // by snapshot
	Items  int
	Text   string // "3 items: 2 files, 84 KiB, and 1 folder"
}

// A BasketGroup is what was chosen of one snapshot.
type BasketGroup struct {
	Snapshot, ShortID string
	At                When
	Gone              bool // it was forgotten meanwhile
	Items             []BasketItem
}

// A BasketItem is one file or folder that was chosen.
type BasketItem struct {
	Path   string // as the snapshot names it
	Name   string // as its host does
	Folder bool
	Size   string // "" if not known
}

// A Drafted is a draft in the list of one's own.
type Drafted struct {
	ID         string
	Repository string
	Text       string // what is in it
	To         string // "" while it was not chosen
	Touched    When
	Ran        Link
}

// Drafts is the list of one's own drafts.
type Drafts struct {
	Rows []Drafted
}

// RestoreMoments is the page that chooses a snapshot.
type RestoreMoments struct {
	Restore
	Action        string // of the filters, which are sent by GET
	Hosts, Groups []Option
	Repositories  []Option
	// In a large fleet a host is found by its name: HostsSome are suggested. Which are those in
	// whose names is what was typed, if they are several, the first of WhichOf.
	HostsSome []Runner
	HostName  string
	Which     []Link
	WhichOf   int
	NoHost    string // what was typed, if no host is called so
	// ManyRepositories is that Repositories are suggestions for a name that is typed.
	ManyRepositories bool
	RepositoryName   string
	Host, Group      string
	RepositoryID     string
	Before           string // as the browser's field has it
	Search           bool   // names can be searched for in all snapshots
	Month            Month
	Rows             []MomentRow
	Shown, Total     int
	Older, Newest    string // URLs
	Path             string // that is to be chosen in it
	PathName         string // the same as its host names it
	ChosenSnapshot   string // "REPOSITORY/SNAPSHOT" of the row that is chosen
	Into             []Option
}

// A Month is a month of days with the snapshots of each.
type Month struct {
	Title      string // "November 2026"
	Prev, Next string // URLs; "" for none
	Weeks      [][]MonthDay
}

// A MonthDay is a day. The zero value is of another month.
type MonthDay struct {
	Day   int
	N     int // snapshots taken
	URL   string
	Here  bool   // the list begins there
	Label string // "12 November 2026: 3 snapshots"
}

// A MomentRow is a snapshot to choose.
type MomentRow struct {
	Value       string // "REPOSITORY/SNAPSHOT"
	ShortID     string
	At          When
	Host, Group string
	Repository  string
	Size, Added string
	Files       string
	Drop        string // "holds 4,118 fewer files than the one before"; "" if not
}

// RestoreTree is the page that chooses files.
type RestoreTree struct {
	Restore
	Snapshot, ShortID string
	At                When
	From              string // the host
	Up                []Link // the directories above the one that is shown
	Filter            string
	List              TreeList
	Readers           []Option // hosts that can list it
	Reader            string
}

// A TreeList is a part of a directory: what comes of opening it, and of "load more".
type TreeList struct {
	Draft, Snapshot string
	Path, Name      string // of the directory; Name as its host names it
	Entries         []TreeEntry
	More            string // URL of the page behind this
	Total           string // "10,000 entries"; "" if not known
	Note            *Note  // why it cannot be shown
	Retry           string // URL that asks again
	Filter          string
	Odd             bool // a name in it is not UTF-8
	Windows         bool
	Versions        bool // the versions of an entry can be looked at
	Ticked          bool // the directory itself
	Included        bool // by one above it
}

// A TreeEntry is a file or directory of a snapshot.
type TreeEntry struct {
	Path             string // as the snapshot names it
	Name             string
	Folder           bool
	Icon             string
	Size, Mode       string
	Bytes            string // the size in digits
	Owner            string
	Target           string // of a link
	At               When
	Ticked, Included bool
	Odd              bool // its name is not UTF-8: it cannot be named to restic
}

// RestorePlace is the page that chooses where to, and how.
type RestorePlace struct {
	Restore
	Hosts      []PlaceHost
	Host       string
	Where      string // "new", "folder" or "original"
	New        string // what a new folder is called
	Folder     string
	Overwrites []PlaceOption
	Overwrite  string
	NoOwners   bool
	Confirm    string            // what has to be typed for the original place
	Errors     map[string]string // by field
	InPlace    string            // why it may not go to the original place, "" if it may
	Folders    string            // why it may go into a new folder only, "" if it may go elsewhere
	RootToo    bool              // the root of a file system may be the folder, which has to be confirmed as well
	FolderHint string
	More       int // hosts that are not listed
	Find       string
}

// A PlaceHost is a host that something may be restored to, or why not.
type PlaceHost struct {
	ID, Name   string
	Connection Connection
	Original   bool   // it is where the files come from
	Why        string // it is none to choose; "" if it can be chosen
	Means      string // what comes of it
	Do         string
	Command    string // that permits it
}

// A PlaceOption is a way of treating files that are there, or why it is none.
type PlaceOption struct{ Value, Text, Why string }

// RestoreFolders is the page that chooses a directory of the target's host.
type RestoreFolders struct {
	Restore
	HostID, Host string
	Path         string
	Up           string // URL; "" at the top
	Rows         []FolderRow
	Free         string
	Note         *Note
	Retry        string
}

// A FolderRow is a directory of a host.
type FolderRow struct {
	Name, Path, URL string
	Writable        bool
}

// RestorePreview is the page that shows what a dry run found, and begins the restore.
type RestorePreview struct {
	Restore
	To       []Fact
	Dry      DryRun
	Commands []PlainCommand
}

// A RestoreCommands is the page that says how to bring the same back with restic alone.
type RestoreCommands struct {
	Restore
	Commands []PlainCommand
}

// A PlainCommand does the same with restic alone, in either shell; "" is for none.
type PlainCommand struct{ ID, Title, Text, Sh, PowerShell string }

// A DryRun is the last one of a draft. The zero value is none.
type DryRun struct {
	Draft    string
	Job      string // URL
	State    string // "running", "done", "failed" or "" for none
	Title    string
	Text     string
	Remedy   string
	Link     Link
	Percent  float64
	Amount   string
	Stale    string // why it counts no longer, "" if it does
	StaleDo  string
	Button   string // "Restore 1,204 files, 18.2 GiB"
	Figures  []Figure
	Planned  []PlannedRow
	Shown    string // "1 to 50 of 1,204"
	Prev     string
	Next     string
	Missing  []string // what matched nothing
	Space    string   // "It needs 18.2 GiB; 214 GiB are free there."
	NoSpace  bool
	Estimate string // that the agent counted, not restic
	Fresh    string // the new folder that it was made for, and the restore goes to
	Version  int64
}

// FilesThere words what a restore does with files that are there already, "" as unknown.
func FilesThere(overwrite string) string {
	return map[string]string{"never": "stay as they are", "if-newer": "are replaced by newer ones",
		"if-changed": "are replaced if they differ", "always": "are replaced"}[overwrite]
}

// Ready reports whether the restore can be begun.
func (d DryRun) Ready() bool {
	return d.State == "done" && d.Stale == "" && d.Button != "" && !d.NoSpace
}

// A PlannedRow is what a restore would do with one file.
type PlannedRow struct{ Word, Tone, Icon, Path, Size string }

// RestoreDryURL is a page of what a dry run planned.
func RestoreDryURL(id string, page int) string {
	if page <= 1 {
		return DraftURL(id, RestoreReview)
	}
	return DraftURL(id, RestoreReview) + "?page=" + strconv.Itoa(page)
}

// RestoreStream is the stream of a draft's review, of a page of what its dry run planned.
func RestoreStream(id string, page int) string {
	u := "/events?view=restore&id=" + url.QueryEscape(id)
	if page > 1 {
		u += "&page=" + strconv.Itoa(page)
	}
	return u
}

// restorePages are the pages of a draft with their words.
var restorePages = []struct{ page, word string }{
	{RestoreSnapshot, "Snapshot"}, {RestoreFiles, "Files"}, {RestoreDestination, "Destination"}, {RestoreReview, "Review"},
}

// before reports whether a page comes before the one that is shown.
func (r Restore) before(page string) bool {
	for _, p := range restorePages {
		if p.page == r.Page {
			return false
		}
		if p.page == page {
			return true
		}
	}
	return false
}
