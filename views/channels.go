package views

import (
	"net/url"
	"slices"
	"strconv"

	"github.com/restic-manager/restic-manager/words"
)

// Channels is who is told, and by which rules.
type Channels struct {
	Tabs      AlertTabs
	List      []ChannelLine
	Heartbeat HeartbeatLine
	Heard     HeardTable
	PublicURL string // that links in messages begin with; "" is none
}

// A PublicAddress is where people find these pages, as a form shows it.
type PublicAddress struct {
	URL   string
	Flag  bool // it was said at the start, and cannot be changed here
	Error string
	// Unreached says that agents on other machines may not reach the address; nil if they may.
	Unreached *Note
}

// A HeardTable says which channel hears of which condition: of a host, or of the fleet.
type HeardTable struct {
	Host     Link // "" is whatever no rule says otherwise of
	Channels []string
	Rows     []HeardRow
}

// A HeardRow is one condition.
type HeardRow struct {
	Condition, Title, Severity string
	About                      string      // "Host", "Repository", …
	Cells                      []HeardCell // as many as there are channels
}

// A HeardCell is whether a channel hears of it, and why.
type HeardCell struct {
	Hears bool
	Why   string // "rule nights", "no rule says otherwise"
	Note  string // "after 15 min", "not from 22:00 to 07:00"
}

// A ChannelKind is a way of telling people, to choose.
type ChannelKind struct{ Name, Label, Icon, Help string }

// NewChannelOf is the form of a channel of a kind.
func NewChannelOf(kind string) string { return NewChannelURL + "?kind=" + kind }

// A ChannelField is what somebody fills in for a channel.
type ChannelField struct {
	Name, Label, Help, Example string
	Value                      string // as typed or saved; "" of a secret
	Secret, Required, List     bool
	Options                    []Option
	Kept                       bool // there is a secret, which an empty field keeps
	Error                      string
}

// id is the id of the field's element.
func (f ChannelField) id() string { return "f-" + f.Name }

// about names what describes the field.
func (f ChannelField) hint() string {
	if f.Help != "" || f.Kept {
		return f.id() + "-hint"
	}
	return ""
}

// A ChannelForm is what a channel is told by.
type ChannelForm struct {
	ID      string // "" for a new one
	Version int64
	Name    string
	Kind    ChannelKind
	Fields  []ChannelField
	Errors  map[string]string // "name"
	Problem string
}

// action is where the form is sent.
func (f ChannelForm) action() string {
	if f.ID == "" {
		return NewChannelURL
	}
	return ChannelURL(f.ID)
}

func (f ChannelForm) version() string { return strconv.FormatInt(f.Version, 10) }

// A ChannelView is one channel's page.
type ChannelView struct {
	ChannelLine
	Form       ChannelForm
	Secret     string // shown once
	Done       string
	Conditions []Option // to test with
	Tested     string   // the condition of the last test
	TestAnswer string
	TestOK     bool
	HasTest    bool
	Deliveries []Delivery
	Older      string
	Newest     string
}

// A Delivery is a message of a channel, and how its tries went.
type Delivery struct {
	ID     string
	Event  string
	State  string // "waiting", "sent" or "given-up"
	Title  string
	Alerts []Link // it names
	More   int    // alerts beyond these
	At     When   // when it ended, or of the next try
	Answer string
	Tries  []Try
}

// A Check is one box to tick.
type Check struct {
	Value, Text, Sub string
	On               bool
}

// AlertRules is who hears of what.
type AlertRules struct {
	Tabs    AlertTabs
	Version int64
	Rules   []RuleLine
	Digests []DigestForm
	Add     DigestForm
	Heard   HeardTable
	HostErr string
	Host    string // as typed
	NoneYet bool   // no channel
}

func (a AlertRules) version() string { return strconv.FormatInt(a.Version, 10) }

// A RuleLine is a rule in a list.
type RuleLine struct {
	ID, Name string
	Says     string // in a sentence: "Critical alerts of hosts with the tag web go to Ops mail."
	Notes    []string
	First    bool
	Last     bool
}

// RuleURL is the form of a rule; "" is a new one.
func RuleURL(id string) string {
	if id == "" {
		return AlertRulesURL + "/new"
	}
	return AlertRulesURL + "/edit/" + id
}

// A RuleForm is one rule.
type RuleForm struct {
	ID            string
	Version       int64
	Name          string
	Severities    []Check
	Conditions    []Check
	Channels      []Check
	Tags          string // one a line
	Hosts         string // names, one a line
	Repeat        string // hours
	Delay         string // minutes
	QuietFrom     string
	QuietTo       string
	Zone          string
	CriticalWaits bool
	Recovered     bool
	Stop          bool
	Errors        map[string]string
	Problem       string
}

func (f RuleForm) version() string { return strconv.FormatInt(f.Version, 10) }

// anyCondition reports whether the rule is of some conditions only.
func (f RuleForm) anyCondition() bool {
	return slices.ContainsFunc(f.Conditions, func(c Check) bool { return c.On })
}

// A DigestForm is a summary that comes also when all is well.
type DigestForm struct {
	N        string // its place in the list; "" is a new one
	Channels []Check
	Every    string // "daily" or "weekly"
	At       string
	Weekday  string
	Zone     string
	Says     string // in a sentence, of one that is there
	Version  int64
	Errors   map[string]string // "channels", "every", "at", "weekday", "zone"
	Problem  string
}

func (f DigestForm) version() string { return strconv.FormatInt(f.Version, 10) }

func (f DigestForm) id(field string) string { return "digest-" + f.N + field }

// A HeartbeatForm is the outside heartbeat.
type HeartbeatForm struct {
	Tabs    AlertTabs
	Line    HeartbeatLine
	Version int64
	URL     string // "" where it is kept
	Kept    bool   // there is one, which an empty field keeps
	Kind    string
	Kinds   []Option
	Every   string // minutes
	Errors  map[string]string
	Problem string
	Pings   []PingLine
	Ping    PingForm
}

func (f HeartbeatForm) version() string { return strconv.FormatInt(f.Version, 10) }

// PingsURL takes where it is told that backups are made.
const PingsURL = HeartbeatURL + "/pings"

// PingURL is the form that says where it is told of a host's, a tag's or a schedule's backups.
func PingURL(scope, subject string) string {
	return withQuery(HeartbeatURL, url.Values{"scope": {scope}, "subject": {subject}}) + "#ping"
}

// A PingLine is an address that is told of backups, and how it does.
type PingLine struct {
	Scope, Subject string // "host", "tag" or "schedule", and its ID or the tag
	Of             string // "Host attic"
	Target         string // the host of its URL; "" if it cannot be read
	Kind           string // as people call the service
	LastOK         When
	FailingSince   When
	Answer         string // at the last try, if that failed
	Waits          int    // what is still to be told
	Version        int64
}

// where is the service, and where it is.
func (p PingLine) where() string {
	if p.Target == "" {
		return p.Kind + ", whose address cannot be read: enter it again"
	}
	return p.Kind + ", " + words.Visible(p.Target)
}

func (p PingLine) version() string { return strconv.FormatInt(p.Version, 10) }

// A PingForm says where it is told of some backups.
type PingForm struct {
	Scope   string
	Subject string // as typed; of one that is there, its ID or the tag
	Of      string // of one that is there: "Host attic"
	URL     string // as typed; "" where it is kept
	Kind    string
	Kinds   []Option
	Version int64
	Errors  map[string]string
	Problem string
}

func (f PingForm) version() string { return strconv.FormatInt(f.Version, 10) }

// AlertConditions is the table of conditions with their thresholds.
type AlertConditions struct {
	Tabs    AlertTabs
	Version int64
	Host    Link   // whose thresholds count is shown; "" is the fleet's
	Asked   string // as typed
	HostErr string
	Rows    []ConditionRow
	Limits  []LimitLine
	Form    LimitForm
}

func (a AlertConditions) version() string { return strconv.FormatInt(a.Version, 10) }

// A ConditionRow is a condition and what counts.
type ConditionRow struct {
	Name, Title, About string
	Severity           string
	Says               string // when it holds
	Do, Ends           string
	Limit              string // that counts, "26 h"; "" if it has none
	From               string // where from: "the default", "tag web"
	Off                bool
}

// A LimitLine is a threshold that somebody set.
type LimitLine struct {
	Condition, Title string
	Of               string // "The fleet", "Hosts with the tag web", "Host attic"
	Scope, Subject   string
	Value            string // "26 h", "off"
}

// A LimitForm sets one.
type LimitForm struct {
	Condition string
	Options   []Option // conditions that have a threshold or can be switched off
	Scope     string
	Subject   string // tag or host, as typed
	Value     string
	Unit      string
	Off       bool
	Errors    map[string]string
	Problem   string
}

// LimitUnits are in what a threshold is typed.
var LimitUnits = []Option{{"h", "hours"}, {"d", "days"}, {"min", "minutes"}, {"s", "seconds"}, {"n", "times"}, {"%", "percent"}}

// Pauses is the page of pauses.
type Pauses struct {
	Tabs AlertTabs
	List []AlertPause
	Form PauseForm
}

// A PauseForm is a pause to be made.
type PauseForm struct {
	Kind    string // "all", "tag" or "host"
	Subject string // tag or host, as typed
	Reason  string
	From    string // "" is now
	Until   string
	Errors  map[string]string
	Problem string
}
