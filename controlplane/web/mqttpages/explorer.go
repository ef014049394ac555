package mqttpages

import (
	"cmp"
	"context"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/restic-manager/restic-manager/controlplane/explorer"
	"github.com/restic-manager/restic-manager/controlplane/fleet"
	"github.com/restic-manager/restic-manager/controlplane/rights"
	"github.com/restic-manager/restic-manager/controlplane/web/base"
	"github.com/restic-manager/restic-manager/controlplane/web/layout"
	"github.com/restic-manager/restic-manager/controlplane/web/session"
	"github.com/restic-manager/restic-manager/topics"
	"github.com/restic-manager/restic-manager/views"
)

// How much the explorer shows.
const (
	ofLevel   = 50 // topics and levels of a level
	ofRecent  = 50 // messages
	mostOpen  = 40 // levels that are unfolded when a page is asked for
	mostTopic = 1024
)

// placeOf reads what the explorer is to show; typed is the filter as it was typed, and wrong
// what is wrong with it.
func placeOf(q url.Values) (p views.TopicPlace, typed, wrong string) {
	typed = strings.TrimSpace(q.Get("filter"))
	if typed == "" {
		typed = views.UsualFilter
	}
	f, wrong := explorer.ParseFilter(typed)
	p = views.TopicPlace{Filter: string(f), Topic: q.Get("topic")}
	if len(p.Topic) > mostTopic {
		p.Topic = ""
	}
	for _, path := range q["open"] {
		if len(p.Open) < mostOpen && len(path) <= mostTopic && !slices.Contains(p.Open, path) {
			p.Open = append(p.Open, path)
		}
	}
	return p, typed, wrong
}

// answers is where consumers read what became of what they asked for: whom it is about is
// for those who manage consumers.
var answers = strings.TrimSuffix(topics.Topic{Kind: topics.KindDoAnswer, Consumer: "x"}.String(), "/x")

// may says which topics whoever looks may see: nil is all.
func may(ctx context.Context) func(topic string) bool {
	if session.Of(ctx).May(rights.Consumers) {
		return nil
	}
	return func(topic string) bool { return topic != answers && !strings.HasPrefix(topic, answers+"/") }
}

// explorer is what consumers can read, and the number of the last message.
func (s *Pages) explorer(r *http.Request, m *fleet.Moment, p views.TopicPlace, typed, wrong string) (views.TopicExplorer, uint64, error) {
	ctx := r.Context()
	x := views.TopicExplorer{Place: p, Filter: typed, Wrong: wrong}
	open := p.Open
	if len(open) == 0 { // the way to the topic, or the first level
		open = above(p.Topic)
	}
	x.Tree = s.level(ctx, m, p, "", "", open)
	if len(p.Open) == 0 && p.Topic == "" {
		s.unfoldFirst(ctx, m, p, x.Tree.Branches)
	}
	x.Value = s.value(r, p.Topic)
	if wrong != "" {
		return x, 0, nil
	}
	list, last := s.Explorer.Recent(explorer.Filter(p.Filter), ofRecent, may(ctx))
	for _, one := range list {
		x.Messages = append(x.Messages, s.message(one))
	}
	return x, last, nil
}

// unfoldFirst unfolds one branch of the first level: what the filter is about, or else the first.
func (s *Pages) unfoldFirst(ctx context.Context, m *fleet.Moment, p views.TopicPlace, list []views.TopicBranch) {
	filter := cmp.Or(p.Filter, views.UsualFilter)
	first := slices.IndexFunc(list, func(b views.TopicBranch) bool { return strings.HasPrefix(filter, b.Path+"/") })
	if first = max(first, 0); first < len(list) && list[first].Below {
		l := s.level(ctx, m, p, list[first].Path, "", nil)
		list[first].Open = &l
	}
}

// above are all levels above a topic.
func above(topic string) (list []string) {
	for i, c := range topic {
		if c == '/' {
			list = append(list, topic[:i])
		}
	}
	return list
}

// level is what is below a level, and below those of it that are open.
func (s *Pages) level(ctx context.Context, m *fleet.Moment, p views.TopicPlace, path, after string, open []string) views.TopicLevel {
	list, more := s.Explorer.Level(path, after, ofLevel, may(ctx))
	l := views.TopicLevel{Place: p, Path: path, More: more}
	for _, b := range list {
		v := views.TopicBranch{Name: b.Name, Path: b.Path, Topic: b.Topic, Live: b.Live, Below: b.Below, Count: b.Count,
			Label: s.label(ctx, m, b)}
		if b.Below && slices.ContainsFunc(open, func(o string) bool { return o == b.Path || strings.HasPrefix(o, b.Path+"/") }) {
			below := s.level(ctx, m, p, b.Path, "", open)
			v.Open = &below
		}
		l.Branches = append(l.Branches, v)
		l.After, _, _ = strings.Cut(strings.TrimPrefix(strings.TrimPrefix(b.Path, path), "/"), "/")
	}
	return l
}

// label is the name of the host or of the repository whose ID is among the levels of a branch.
func (s *Pages) label(ctx context.Context, m *fleet.Moment, b explorer.Branch) string {
	levels := strings.Split(b.Path, "/")
	for i := len(levels) - 1; i > 0 && i >= len(levels)-strings.Count(b.Name, "/")-1; i-- {
		id := strings.TrimPrefix(levels[i], "rm_") // so Home Assistant's devices are called
		if m.Host(topics.HostID(id)) != nil {
			return m.Name(topics.HostID(id))
		}
		if levels[i-1] != "repository" && levels[i-1] != "device" {
			continue
		}
		if r, err := s.Store.Repository(ctx, topics.RepositoryID(id)); err == nil { // else its ID says which it is
			return r.Name
		}
	}
	return ""
}

// Level answers with what is below a level of the tree.
func (s *Pages) Level(w http.ResponseWriter, r *http.Request) error {
	q := r.URL.Query()
	place, _, _ := placeOf(q)
	m, err := s.Moment(r.Context())
	if err != nil {
		return err
	}
	l := s.level(r.Context(), m, place, q.Get("path"), q.Get("after"), nil)
	if base.IsHTMX(r) {
		s.Render(w, r, http.StatusOK, views.TopicBranches(l))
		return nil
	}
	l.Alone = true
	sh := s.Shell(r, "Topics", "mqtt", toMQTT, views.Link{Text: "Topics"})
	s.Render(w, r, http.StatusOK, views.TopicLevelPage(sh, l))
	return nil
}

// value is what was published at a topic last.
func (s *Pages) value(r *http.Request, topic string) views.TopicValue {
	v := views.TopicValue{Topic: topic}
	if show := may(r.Context()); topic == "" || show != nil && !show(topic) {
		return v
	}
	m, there, err := s.Explorer.Topic(r.Context(), topic)
	if err != nil {
		s.Log.Error("read what is retained at a topic", "topic", topic, "err", err)
		v.Problem = "The database could not be read just now; what brokers retain is untouched. Choose the topic again in a moment."
	}
	v.There, v.Payload, v.Size, v.QoS, v.Retain, v.At = there, m.Payload, m.Size, m.QoS, m.Retain, views.NewWhen(m.At, s.Now())
	v.Command = command(s.listens(r), s.Settings.MQTTTLS != "", topic)
	return v
}

// command is how somebody reads a topic with the tool of Mosquitto, which speaks TLS only when
// it is told whom to trust.
func command(address string, tls bool, topic string) string {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return ""
	}
	trust := ""
	if tls {
		trust = " --capath /etc/ssl/certs"
	}
	return "mosquitto_sub -h " + host + " -p " + port + trust + " -u NAME -P PASSWORD -v -t '" +
		strings.ReplaceAll(topic, "'", `'\''`) + "'"
}

func (s *Pages) message(m explorer.Message) views.TopicMessage {
	return views.TopicMessage{N: m.N, Topic: m.Topic, Payload: m.Payload, Size: m.Size, QoS: m.QoS, Retain: m.Retain,
		At: views.NewWhen(m.At, s.Now())}
}

// A following is what an open page has been told of what goes by.
type following struct {
	pages *Pages
	r     *http.Request
	place views.TopicPlace
	after uint64
	deaf  bool // the filter is wrong
	ear   *explorer.Ear
	heard uint64 // the message that is shown as the topic's value
	empty bool   // the tree was
	begun bool
}

func (s *Pages) follow(r *http.Request, p views.TopicPlace, after, wrong string) *following {
	n, _ := strconv.ParseUint(after, 10, 64)
	return &following{pages: s, r: r, place: p, after: n, deaf: wrong != ""}
}

// draw shows what went by since it drew last.
func (x *following) draw(ctx context.Context, p *layout.Painter) {
	s := x.pages
	if !x.begun {
		x.begun = true
		x.empty = x.after == 0
		if !x.deaf {
			x.ear = s.Explorer.Listen(explorer.Filter(x.place.Filter), x.after, may(x.r.Context()))
			context.AfterFunc(ctx, x.ear.Close)
		}
	}
	if n := s.Explorer.Heard(x.place.Topic); x.place.Topic != "" && (n != x.heard || p.Full && x.heard == 0) {
		x.heard = n
		p.Morph("topic-value", views.TopicValueOf(s.value(x.r.WithContext(ctx), x.place.Topic)))
	}
	if tree := (views.TopicExplorer{Place: x.place}); x.empty {
		if tree.Tree = s.level(x.r.Context(), p.Moment, x.place, "", "", nil); len(tree.Tree.Branches) > 0 {
			x.empty = false
			p.Morph("topic-tree", views.TopicTree(tree))
		}
	}
	if x.deaf {
		return
	}
	list, left := x.ear.Take()
	if left > 0 {
		p.Prepend("topic-messages", views.TopicLeft(left))
	}
	for _, m := range list {
		p.Prepend("topic-messages", views.TopicMessageLine(s.message(m)))
	}
}
