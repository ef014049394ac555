// Package mqttpages holds the handlers of the pages about MQTT: the brokers and who is
// connected, what is published there, and the credentials of consumers.
package mqttpages

import (
	"context"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/fleet"
	"github.com/restic-manager/restic-manager/controlplane/hosts"
	"github.com/restic-manager/restic-manager/controlplane/rights"
	"github.com/restic-manager/restic-manager/controlplane/web/base"
	"github.com/restic-manager/restic-manager/controlplane/web/layout"
	"github.com/restic-manager/restic-manager/controlplane/web/session"
	"github.com/restic-manager/restic-manager/topics"
	"github.com/restic-manager/restic-manager/views"
	"github.com/restic-manager/restic-manager/words"
)

// Pages holds the handlers of the pages about MQTT.
type Pages struct{ *layout.Page }

// New returns the handlers of these pages.
func New(p *layout.Page) *Pages { return &Pages{p} }

// Overview shows the brokers, what is published there and, to those who may know, who listens.
func (s *Pages) Overview(w http.ResponseWriter, r *http.Request) error {
	place, typed, wrong := placeOf(r.URL.Query())
	m, err := s.Moment(r.Context())
	if err != nil {
		return err
	}
	state, err := s.state(r, m)
	if err != nil {
		return err
	}
	v := views.MQTT{State: state, Uplink: s.uplinkCard(r.Context()), Assistant: s.assistantCard(r.Context())}
	last := uint64(0)
	if v.Explorer, last, err = s.explorer(r, m, place, typed, wrong); err != nil {
		return err
	}
	if session.Of(r.Context()).May(rights.Consumers) {
		v.Clients = s.someClients(m)
		if v.Consumers, err = s.credentials(r.Context()); err != nil {
			return err
		}
	}
	sh := s.Shell(r, "MQTT", "mqtt", views.Link{Text: "MQTT"})
	sh.Stream = views.MQTTStream(place, last)
	if wrong != "" {
		sh.Stream = ""
	}
	status := http.StatusOK
	if wrong != "" {
		status = http.StatusUnprocessableEntity
	}
	s.Render(w, r, status, views.MQTTPage(sh, v))
	return nil
}

// redrawn is how often what is counted without end is drawn again: it changes all the time.
const redrawn = 3 * time.Second

// seldom is how often that is read again which takes looking at every host.
const seldom = 30 * time.Second

// Stream draws the page while it is open.
func (s *Pages) Stream(r *http.Request) layout.Draw {
	q := r.URL.Query()
	place, _, wrong := placeOf(q)
	x := s.follow(r, place, q.Get("after"), wrong)
	var counted, told time.Time
	return func(ctx context.Context, p *layout.Painter, _ map[topics.HostID]bool) error {
		x.draw(ctx, p)
		if now := s.Now(); now.Sub(counted) < redrawn && now.Sub(counted) >= 0 {
			return nil
		}
		counted = s.Now()
		state, err := s.state(r.WithContext(ctx), p.Moment)
		if err != nil {
			return err
		}
		p.Morph("mqtt-head", views.MQTTHead(state))
		p.Morph("mqtt-figures", views.MQTTFigures(state))
		p.Morph("mqtt-brokers", views.MQTTBrokers(state))
		p.Morph("mqtt-uplink", views.UplinkState(s.uplinkCard(r.Context())))
		if now := s.Now(); now.Sub(told) >= seldom || now.Before(told) {
			told = now
			p.Morph("mqtt-assistant", views.AssistantState(s.assistantCard(ctx)))
		}
		if session.Of(r.Context()).May(rights.Consumers) {
			p.Morph("mqtt-clients", views.MQTTClientList(*s.someClients(p.Moment)))
		}
		return nil
	}
}

// state is how the brokers are.
func (s *Pages) state(r *http.Request, m *fleet.Moment) (v views.MQTTState, err error) {
	readers, agents := s.figures()
	v = views.MQTTState{Up: true, Public: s.listens(r), TLS: s.Settings.MQTTTLS != "", Socket: s.socket(r), Hosts: m.Len(),
		Since: views.NewWhen(s.Settings.Since, s.Now())}
	if err := s.BrokerError(); err != nil {
		v.Up = false
		v.Says = "Agents and consumers are cut off: " + err.Error() + ". Backups that are due run all the same, and are told when " +
			"agents are back. " +
			"Look into the server's log, and start the server again."
	}
	list, err := s.Store.MQTTUsers(r.Context())
	if err != nil {
		return v, err
	}
	v.Consumers = len(list)
	v.Agents, v.Listening = int(agents.Connected), int(readers.Connected)
	v.Dropped = uint64(agents.Dropped + readers.Dropped)
	pace, retained := s.Explorer.Pace(), s.Explorer.Retained()
	v.PerSecond, v.Bytes, v.Points = pace.PerSecond, uint64(pace.Bytes), pace.Points
	v.Retained, v.RetainedBytes = retained.Topics, uint64(retained.Bytes)
	for _, j := range m.Open() {
		if c, _ := s.Presence.Connection(j.Host); j.State == topics.Queued && c == hosts.Offline {
			v.Waiting++
		}
	}
	v.Brokers = []views.MQTTBroker{
		line("Agents", "for agents alone, by TLS with their certificates, on "+s.Settings.Agents, v.Up, agents),
		line("Consumers", "for Home Assistant and other programs, on "+v.Public, v.Up, readers),
	}
	if v.Public == "" {
		v.Brokers[1].Sub = "switched off by --mqtt off"
		v.Brokers[1].Status = views.Status{Tone: "idle", Icon: "circle-pause", Word: "Off", Quiet: true}
	}
	return v, nil
}

// figures are what the embedded brokers count, as far as that is known.
func (s *Pages) figures() (readers, agents base.Figures) {
	if s.Consumers == nil {
		return readers, agents
	}
	return s.Consumers.Figures()
}

func line(name, sub string, up bool, f base.Figures) views.MQTTBroker {
	l := views.MQTTBroker{Name: name, Sub: sub, Connected: count(f.Connected), In: count(f.In), Out: count(f.Out), Dropped: count(f.Dropped),
		Refused: count(f.Refused), Denied: count(f.Denied), Status: views.Status{Tone: "fail", Icon: "octagon-x", Word: "Offline"}}
	if up {
		l.Status = views.Status{Tone: "ok", Icon: "circle-check", Word: "Online", Quiet: true}
	}
	return l
}

func count(n int64) string { return words.Number(uint64(max(n, 0))) }

// listens is where consumers connect, as somebody reaches it who reaches these pages.
func (s *Pages) listens(r *http.Request) string {
	host, port, err := net.SplitHostPort(s.Settings.MQTT)
	if err != nil {
		return ""
	}
	if ip := net.ParseIP(host); ip == nil || !ip.IsUnspecified() {
		return s.Settings.MQTT
	}
	ours := (&url.URL{Host: r.Host}).Hostname()
	return net.JoinHostPort(ours, port)
}

// socket is where consumers connect over WebSocket, "" if they cannot.
func (s *Pages) socket(r *http.Request) string {
	switch {
	case s.Socket.Attach == nil:
		return ""
	case session.Secure(r):
		return "wss://" + r.Host + "/mqtt"
	}
	return "ws://" + r.Host + "/mqtt"
}

// Clients lists all connections, a page at a time.
func (s *Pages) Clients(w http.ResponseWriter, r *http.Request) error {
	m, err := s.Moment(r.Context())
	if err != nil {
		return err
	}
	q := r.URL.Query()
	page, _ := strconv.Atoi(q.Get("page")) // what is none is the first
	c := s.clients(m, q.Get("kind"), page)
	c.Alone = true
	s.Render(w, r, http.StatusOK, views.ClientsPage(s.Shell(r, "MQTT clients", "mqtt", toMQTT, views.Link{Text: "Clients"}), *c))
	return nil
}

// someClients are the first connections, as many as there is room for beside other things.
func (s *Pages) someClients(m *fleet.Moment) *views.MQTTClients {
	c := s.clients(m, "", 1)
	c.Rows = c.Rows[:min(len(c.Rows), 10)]
	return c
}

// clients lists a page of the connections of a kind: consumers, agents or both.
func (s *Pages) clients(m *fleet.Moment, kind string, page int) *views.MQTTClients {
	c := &views.MQTTClients{Kind: kind}
	if kind != "agents" && kind != "consumers" {
		c.Kind = ""
	}
	var rows []views.MQTTClient
	if c.Kind != "agents" {
		for _, x := range s.Connected() {
			row := s.client(x)
			row.Name, row.URL, row.Sub = x.Name, views.ConsumerURL(x.Name), "Consumer, "+x.Transport+", client "+words.Cut(x.ClientID, 60)
			rows = append(rows, row)
		}
	}
	if c.Kind != "consumers" && s.Consumers != nil {
		for _, x := range s.Consumers.Agents() {
			row := s.client(x)
			row.Name, row.URL = m.Name(topics.HostID(x.Name)), views.HostURL(x.Name)
			row.Sub = "Agent"
			if h := m.Host(topics.HostID(x.Name)); h != nil && h.AgentVersion != "" {
				row.Sub = "Agent " + h.AgentVersion
			}
			rows = append(rows, row)
		}
	}
	c.Total = len(rows)
	c.Paging = views.ClientPaging(len(rows), page, c.Kind)
	c.Rows = rows[c.Paging.From:c.Paging.To]
	return c
}

func (s *Pages) client(x base.Connected) views.MQTTClient {
	remote := x.Remote
	if host, _, err := net.SplitHostPort(remote); err == nil {
		remote = host
	}
	v := views.MQTTClient{Remote: remote, Since: views.NewWhen(x.Since, s.Now()), In: count(x.In), Out: count(x.Out),
		Subs: count(int64(x.Subscriptions))}
	switch {
	case x.Dropped > 0:
		v.Note = "Does not keep up: " + words.Count(uint64(x.Dropped), "message was", "messages were") + " dropped"
	case x.Beyond != "":
		v.Note = beyond(x.Beyond, x.Denied)
	case x.LostWill != "":
		v.Note = "Its last will on " + words.Cut(x.LostWill, 80) + " is not published: it may not write there"
	}
	return v
}

// beyond words the last of what a client tried beyond its rights, and of how many. Whoever
// asks for all topics, as programs do that show a broker's, reads nothing, and is told what to
// ask for.
func beyond(last string, n int64) string {
	what, topic, _ := strings.Cut(last, " ")
	text := "It may not " + what + " " + words.Cut(topic, 80)
	if n > 1 {
		text += ", the last of " + count(n) + " attempts beyond its rights"
	}
	if what == "subscribe" {
		text += ". Have it subscribe " + views.UsualFilter
	}
	return text
}
