package views

import "github.com/restic-manager/restic-manager/words"

// A GroupForm says what to back up, with what was typed and what was wrong with it.
// It posts name, repository (an id, or "new" with repository_name,
// repository_url and repository_password), paths and excludes, one per line.
type GroupForm struct {
	Start            string // "start" if it was opened from the first steps
	HostID, Host     string
	Group            string // the group being changed; "" for a new one, and then Name can be typed
	Name             string
	Repository       string // the id chosen, or "new"
	Repositories     []Option
	Many             bool // there are others: a name is typed, and nothing is "new"
	NewName, NewURL  string
	Paths, Excludes  string // one per line, as typed
	OneFileSystem    bool
	Windows          bool // then files can be read live, without a shadow copy
	LiveFiles        bool
	ShadowOnly       bool // and nothing is saved without one
	AllowEmpty       bool // a backup of no files is a good one
	Hooks            []HookChoice
	Upload, Download string // KiB a second, as typed; "" for no limit
	From, To, Zone   string // hours of the limits: "22:00"; the same twice is all day
	LowPriority      bool
	Tuning           GroupTuning
	Warnings         []string          // what is saved and most likely not meant
	Fits             []Option          // kinds of machines that a new group can be filled in for
	Fit              string            // the one it is filled in for
	LeftOut          []string          // what its backups leave out by themselves
	Problem          string            // about the whole form
	Errors           map[string]string // by field
}

// A GroupTuning is how restic makes the backups, as typed.
type GroupTuning struct {
	Compression  string
	Compressions []Option
	PackSize     string // MiB; "" is restic's own
	Concurrency  string // files read at once; "" is restic's own
	Larger       string // files above this size are left out, as in 500M
	IfPresent    string // names of files, one a line
	Caches       bool   // folders that say they are caches are left out
	ATime        bool
	NoScan       bool
	Older        string // why the host's agent passes over all this
}

// set reports whether something is not left to restic.
func (t GroupTuning) set() bool {
	return t.Compression+t.PackSize+t.Concurrency+t.Larger+t.IfPresent != "" || t.Caches || t.ATime || t.NoScan
}

// A HookChoice is a program the host's policy knows by its name, and when it runs.
type HookChoice struct {
	Name                     string
	Before, After, OnFailure bool
	Gone                     bool // the policy does not know it any more
}

// An Option is one choice of a list.
type Option struct{ Value, Text string }

func (f GroupForm) repository() string {
	if f.Repository == "" {
		if len(f.Repositories) > 0 {
			return f.Repositories[0].Value
		}
		return "new"
	}
	return f.Repository
}

// typed is the name in the field.
func (f GroupForm) typed() string {
	if f.Repository == "new" {
		return ""
	}
	return f.Repository
}

func hookLabel(name, when string) string {
	return "Run " + words.Visible(name) + " " + when + " the backup"
}

// fitURL is the form filled in for a kind of machine.
func (f GroupForm) fitURL(fit string) string {
	to := GroupURL(f.HostID, "") + "?fits=" + fit
	if f.Start != "" {
		return FromStartURL(to)
	}
	return to
}
