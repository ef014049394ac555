package views

// A RepositorySnapshot is one in a repository's list.
type RepositorySnapshot struct {
	ID, ShortID string
	At          When
	From, Group string   // host and source group
	Tags        []string // the first of them
	MoreTags    int      // how many there are besides
	Lacks       uint64   // files and folders that a repair took out of it, since they are lost
	Paths       []string
	Size        string
	Added       string   // what its backup added to the repository; "" if not known
	Kept        []string // by which rules
	Goes        bool     // the next forget removes it
	Foreign     bool
	Imported    bool   // a person took it in
	Job         string // URL; "" if no job of ours made it
	Operations  string // URL of the operations of its host, with it chosen; "" for nobody's
	Forget      string // URL of the form to forget it
}

func first(list []string) string {
	if len(list) == 0 {
		return ""
	}
	return list[0]
}
