package views

// A Mirror is where a repository is copied to, and how that goes.
type Mirror struct {
	RepositoryID string
	Of           []Link // repositories of which it is the mirror
	To           Link   // no Text: it has none
	HostName     string // copies
	Next         When
	GoodAt       When   // when a copy last ended after which all was there
	Behind       string // "2 snapshots behind"
	BehindSince  When   // since when the oldest of them is missing
	Failed       string // why the last copy did not succeed, "" if it did
	JobURL       string // of the last copy
	Running      bool   // that goes on
	OtherCuts    bool   // the two share no data
	Held         bool   // nothing is copied: the repository counts as damaged

	// The form.
	Target, Host, Cron, Zone string
	Targets, Hosts           []Option
}
