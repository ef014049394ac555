package restic

import (
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/restic-manager/restic-manager/topics"
)

// Snapshots lists what the repository holds: one snapshot by its ID, those with
// all of the tags, or all. An ID that is not there is an empty list, no failure.
type Snapshots struct {
	ID   string // 8 to 64 hexadecimal digits
	Tags []string
}

type snapshots struct {
	Snapshots
	listed     []topics.Snapshot
	unreadable []string // beginnings of the IDs of those that restic left out
}

var hexID = regexp.MustCompile(`^[0-9a-f]{8,64}$`)

func checkID(id string) error {
	if !hexID.MatchString(id) {
		return fmt.Errorf("%.80q is no snapshot ID", id)
	}
	return nil
}

func (s *snapshots) args(Version, string) ([]string, error) {
	args := []string{"snapshots", "--json", "--no-lock"}
	for _, t := range s.Tags {
		if err := checkTag(t); err != nil {
			return nil, err
		}
	}
	if len(s.Tags) > 0 { // one flag: several would mean any of them
		args = append(args, "--tag", strings.Join(s.Tags, ","))
	}
	if s.ID != "" {
		if err := checkID(s.ID); err != nil {
			return nil, err
		}
		args = append(args, "--", s.ID)
	}
	return args, nil
}

func (*snapshots) words() string        { return "snapshots" }
func (*snapshots) depths() []int        { return []int{1} }
func (*snapshots) answers(Version) bool { return true }

func (s *snapshots) read(o *output, line []byte) bool {
	if complete(line) {
		o.answered = true
		return true
	}
	var one struct {
		ID       text  `json:"id"`
		Time     text  `json:"time"`
		Host     text  `json:"hostname"`
		Username text  `json:"username"`
		Paths    texts `json:"paths"`
		Tags     texts `json:"tags"`
		Tree     text  `json:"tree"`
		Original text  `json:"original"`
	}
	if line[0] != '{' || json.Unmarshal(line, &one) != nil || one.ID == "" {
		return false
	}
	at, err := time.Parse(time.RFC3339Nano, string(one.Time))
	if err != nil || len(one.ID) != 64 || !hexID.MatchString(string(one.ID)) {
		return true // garbage in the repository is nobody's snapshot
	}
	s.listed = append(s.listed, topics.Snapshot{
		ID: string(one.ID), Time: at.UnixMilli(), Host: o.safe(string(one.Host)), Paths: one.Paths, Tags: one.Tags,
		Username: o.safe(string(one.Username)), Tree: hexadecimal(one.Tree), Original: hexadecimal(one.Original),
	})
	return true
}

// leftOut is what restic says of a snapshot whose file it cannot read: up to 0.14 and
// since. It succeeds all the same.
var leftOut = regexp.MustCompile(`^(?:could not load snapshot |Ignoring ")([0-9a-f]{8,64})"?: `)

func (s *snapshots) hear(line string) {
	if m := leftOut.FindStringSubmatch(line); m != nil && s.ID == "" {
		s.unreadable = append(s.unreadable, m[1])
	}
}

func (s *snapshots) found(_ *output, e *Ending) {
	e.Report.Snapshots = s.listed
	e.Result = &topics.Result{Count: len(s.listed), Unreadable: s.unreadable}
	if len(s.unreadable) > maxUnreadable {
		e.Result.Unreadable, e.Result.Truncated = nil, true
	}
}

// maxUnreadable is how many unreadable snapshots a listing names; with more of them it
// is not complete.
const maxUnreadable = 100

// complete reports whether a line is what a document leaves of an array that came
// to its end.
func complete(line []byte) bool { return line[0] == '[' && json.Valid(line) }

// hexadecimal is an ID, or nothing if it is none.
func hexadecimal(id text) string {
	if !hexID.MatchString(string(id)) {
		return ""
	}
	return string(id)
}

// Snapshots lists snapshots into Ending.Report.
func (b Binary) Snapshots(ctx context.Context, place Place, repository Repository, which Snapshots, sink Sink) Ending {
	return b.run(ctx, place, repository, &snapshots{Snapshots: which}, sink)
}

// List lists all snapshots and says in which repository that was, if restic says it.
func (b Binary) List(ctx context.Context, place Place, repository Repository, sink Sink) Ending {
	e := b.Snapshots(ctx, place, repository, Snapshots{}, sink)
	if e.State != topics.Succeeded || e.Result == nil {
		return e
	}
	ctx, cancel := context.WithTimeout(ctx, b.Timing.orDefault().Open)
	defer cancel()
	op := &config{}
	if b.run(ctx, place, repository, op, &hold{Sink: sink}).State == topics.Succeeded {
		e.Result.Place = op.id
	}
	return e
}

// keys lists what opens the repository.
type keys struct {
	silent
	listed []topics.Key
}

func (*keys) args(Version, string) ([]string, error) {
	return []string{"key", "list", "--json", "--no-lock"}, nil
}
func (*keys) words() string        { return "key list" }
func (*keys) depths() []int        { return []int{1} }
func (*keys) answers(Version) bool { return true }

func (k *keys) read(o *output, line []byte) bool {
	if complete(line) {
		o.answered = true
		return true
	}
	var one struct {
		ID      text `json:"id"`
		Current bool `json:"current"`
		User    text `json:"userName"`
		Host    text `json:"hostName"`
		Created text `json:"created"`
	}
	if line[0] != '{' || json.Unmarshal(line, &one) != nil || hexadecimal(one.ID) == "" {
		return false
	}
	key := topics.Key{ID: string(one.ID), Current: one.Current, User: o.safe(string(one.User)), Host: o.safe(string(one.Host))}
	if at, err := time.ParseInLocation(time.DateTime, string(one.Created), time.Local); err == nil { // restic leaves the zone out
		key.Created = at.UnixMilli()
	}
	k.listed = append(k.listed, key)
	return true
}

func (k *keys) found(_ *output, e *Ending) {
	e.Report.Keys = k.listed
	e.Result = &topics.Result{Count: len(k.listed)}
}

// Keys lists the repository's keys into Ending.Report.
func (b Binary) Keys(ctx context.Context, place Place, repository Repository, sink Sink) Ending {
	return b.run(ctx, place, repository, &keys{}, sink)
}
