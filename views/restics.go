package views

// ResticsURL is the page about which restic runs where.
const ResticsURL = "/updates/restic"

// Restics is the page about which restic runs where.
type Restics struct {
	Verdict  string // "2 of 14 hosts run a restic that lacks something."
	Versions []ResticVersion
	None     CannotGroup // hosts without a restic
	Dir      string      // where files with restic are put
	Files    []ResticFile
	Fetch    ResticFetch
}

// A ResticFile is a file with restic that lies here, or was confirmed.
type ResticFile struct {
	Name, Platform, SHA256 string
	Says, Tone, Icon       string
	Pinned                 bool   // it was confirmed
	Confirmable            bool   // it can be
	Listed                 string // what SHA256SUMS says of it, in a sentence; "" if nothing
	Problem                string // why it was not confirmed just now
}

// A ResticFetch is the form that has hosts fetch a restic.
type ResticFetch struct {
	Versions []string // of files that may be fetched, the newest first
	Hosts    []Link   // whose URL is their ID: those whose agents may be told to
	Cannot   []CannotGroup
	Errors   map[string]string
	Asked    []ResticAsked // what came of it just now
}

// EveryHost is the value of the choice of all hosts in the form; it is no host's ID.
const EveryHost = "*"

// A ResticAsked is what came of asking a host.
type ResticAsked struct{ Host, URL, Text, Do string }

// A ResticVersion is one that some hosts run.
type ResticVersion struct {
	Version          string
	Hosts, Online    int
	Names            []Link // some of the hosts
	More             int    // how many there are beside
	Says, Tone, Icon string
	Lacks            []ResticLack
}

// A ResticLack is what a version lacks.
type ResticLack struct {
	What, Since, Else string
	Tone, Icon        string
}
