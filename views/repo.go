package views

// A Repository is one repository, as hosts found it.
type Repository struct {
	Alerts             AlertsPanel
	ID, Name, Location string
	Health             Status
	AppendOnly         bool
	Users              []Link      // hosts that back up into it
	Places             []PlaceRow  // of hosts that share none
	Making             []MakingRow // who makes it, while it is not there
	Beyond             bool        // the keeper reaches its own place alone
	Pinned             []PinnedRow
	AllowAll           string // one command for all of these, "" for fewer than two
	Keeper             Link   // no Text: none was chosen
	HasMaintenance     bool
	KeyHint            string
	Findings           []Finding // what is wrong with it, worst first
	Notes              []Note
	Figures            []Figure
	Chart              Chart
	Locks              []LockRow
	LocksAt            When
	CanUnlock          bool // locks are there
	AllDead            bool // all of them are ours and dead
	Keys               []KeyRow
	Missing            Missing
	KeysAt             When
	Filter             RepositoryFilter
	Snapshots          []RepositorySnapshot
	SnapshotsFound     int // by the filter
	SnapshotsTotal     int
	ForeignTotal       int
	SnapshotHosts      []Option // whose snapshots can be shown alone
	Calendar           Calendar
	ListedAt           When
	Older, Newest      string   // URLs of other pages of snapshots
	Forget             string   // the ID with which the form to forget is filled in
	Jobs               []JobRow // the newest of JobsTotal
	JobsTotal          int
	Details            []Fact // who keeps it, and when it was done
	Maintenance        Maintenance
	Retention          Retention
	Mirror             Mirror
	Answer             Answer
	Hosts              []Runner // who may be asked, the first one if nobody is chosen
	Keepers            []Runner // who may maintain it: the keeper, or any without one
}

// A Finding is one thing that is wrong with a repository: what, since when, what it
// means for the data, and what to do about it.
type Finding struct {
	Status
	Reason, Effect, Remedy string
	Since                  When
	Links                  []Link
	Acts                   []Act
}

// An Act is a button that does something about a finding.
type Act struct {
	Text, URL string
	Right     string // by its name; without it the button is disabled, with the reason
	Fields    []Option
}

// An Answer is what came of the last try to open a repository.
type Answer struct {
	Tone, Icon, Title, Text string
	Link                    Link
}

// A LockRow is one lock and who holds it.
type LockRow struct {
	ID, Kind string // "Exclusive", "Shared"
	Owner    string // "db-prod-02, process 4121, root"
	At       When
	Tone     string // of the verdict
	Verdict  string // in words
	Job      Link
}

// Missing is what a repository has lost of ours.
type Missing struct {
	Rows  []MissingRow // the newest first
	More  int          // how many there are besides
	Known int          // how many of all were acknowledged
	News  int          // how many were not
	Until string       // the button acknowledges what was found missing up to here, in Unix milliseconds
}

// A MissingRow is one snapshot that is gone although no job of ours removed it.
type MissingRow struct {
	ShortID     string
	Host        Link // URL is empty if it is gone
	Group       string
	Made, Since When
	Size        string
	Known       When // when it was acknowledged
}

// A KeyRow is one key.
type KeyRow struct {
	ID, ShortID, Owner string
	Created            string
	Current, Trusted   bool
}

// lookKinds are what looks at a repository and changes nothing; a drill cleans up after
// itself.
var lookKinds = []string{"snapshots", "stats", "key", "locks", "drill"}

// HostOperationsURL is the page with what can be asked of a host besides backups.
func HostOperationsURL(host string) string { return HostURL(host) + "/operations" }

// HostOperations is what can be asked of a host besides backups.
type HostOperations struct {
	HostID, Host string
	Repositories []Option          // those it backs up into first
	Many         bool              // there are others: a name is typed
	Snapshots    []Option          // "repository/snapshot", its own, the newest first
	Older        int               // how many there are besides
	SnapshotsIn  []Link            // to all of them, by repository
	Chosen       string            // one of them, to begin with
	Gone         *Note             // the one to begin with is gone: what there is instead
	Forbids      map[string]string // why its policy allows no job of a kind, by kind
	RestoreRoots []string          // restores write below these only; none is anywhere
	Quarantine   string            // what roles that may restore nowhere else restore below; "" is not known
	NoOverwrite  bool              // its policy lets no restore write over files
	Target       string            // what a new folder for a restore would be called now
	Policy       string            // the host's own
}

// look is why it can look at nothing.
func (o HostOperations) look() string {
	for _, k := range lookKinds {
		if o.Forbids[k] == "" {
			return ""
		}
	}
	return o.Forbids[lookKinds[0]]
}

// why is why an operation cannot be asked for.
func (o HostOperations) why(kind string) string {
	switch {
	case o.Forbids[kind] != "":
		return o.Forbids[kind]
	case kind == "find" && len(o.Repositories) == 0:
		return "There is no repository yet."
	case kind != "find" && len(o.Snapshots) == 0:
		return "No snapshot of this host is known yet."
	}
	return ""
}
