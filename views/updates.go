package views

import "net/url"

// UpdatesURL is the page about versions of agents.
const UpdatesURL = "/updates"

// RolloutURL is the page of a rollout.
func RolloutURL(id string) string { return UpdatesURL + "/" + url.PathEscape(id) }

// Updates is the page about versions of agents.
type Updates struct {
	Verdict   string // "12 of 14 hosts run 1.3.0, the newest that lies here."
	Restic    string // how restic on the hosts stands
	Problem   string // why something that was asked for was not done, "" if nothing was
	Release   Release
	Going     []Rollout
	Startable bool // there is something to start
	Form      RolloutForm
	Tags      []string // that hosts have
	Versions  []AgentVersion
	Cannot    []CannotGroup
	Cannots   int // hosts in all groups
	History   []RolloutRow
	Begins    string // how rollouts begin, in a sentence
	Automatic bool
	Settings  RolloutForm
}

// A Release is what lies in the agents' directory.
type Release struct {
	Version, SignedBy string
	Believed          bool
	Facts             []Fact
	Targets           []Target
	Dir               string
	Say, Remedy       string // what is wrong with it
}

// A Target is a platform that a release has a program for.
type Target struct {
	Platform string // "linux amd64"
	There    bool
}

// A RolloutForm is which hosts are updated, when, and how many together.
type RolloutForm struct {
	Title, Button     string
	Tag, AtOnce       string
	From, Until, Zone string
	Problem, Do       string
	Errors            map[string]string
}

// A Rollout is how far one is.
type Rollout struct {
	ID, Title, Version string
	Says               string // which hosts, when, how many together
	By                 string
	Began              When
	Going              bool
	Percent            float64
	Waves              []Wave
	Counts             string // "21 updated, 1 failed, 4 at work, 174 wait"
	Waits              string // why nothing begins just now
	StopEffect         string
	Ended, EndTone, Do string // how it ended
	Running            []RunningJob
	More               int // at work, beside those
	Failed             []FailedHost
	Begun              int
	Hosts              []RolloutHost
	Paging             Paging
}

// A Wave of a rollout.
type Wave struct {
	Name, Text, Tone, Icon string
	Now                    bool
}

// A FailedHost is one whose update failed.
type FailedHost struct{ Host, HostID, Why, JobID string }

// A RolloutHost is one that a rollout has begun with.
type RolloutHost struct {
	Host, HostID, JobID    string
	Wave, Word, Tone, Icon string
	Why                    string
	Since                  When
}

// A RolloutRow is a rollout in the history.
type RolloutRow struct {
	ID, Version, About, Why, By string
	Word, Tone, Icon            string
	Began                       When
}

// A AgentVersion is a version that some hosts run.
type AgentVersion struct {
	Version          string
	Hosts, Online    int
	Says, Tone, Icon string
}

// A CannotGroup are hosts that cannot be updated from here for one reason.
type CannotGroup struct {
	Why, Do string
	Hosts   []Link // some of them
	More    int    // how many there are beside
}

// An AgentUpdate is what a host's page says of its agent's version.
type AgentUpdate struct {
	HostID, Version string
	Says            string
	Why, Do         string // why it cannot be updated from here
	Newer           string // the version that lies here
	Can             bool
	JobID           string // an update that is under way
}

// RolloutPaging is a page of the hosts of a rollout.
func RolloutPaging(id string, total, page int) Paging {
	return pagingOf(total, page, "host", "hosts", "those that failed first",
		func(page int) string { return listURL(RolloutURL(id), "", page) })
}
