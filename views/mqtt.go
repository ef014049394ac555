package views

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"strconv"
	"strings"

	"github.com/a-h/templ"

	"github.com/restic-manager/restic-manager/words"
)

// An MQTT page shows the brokers, what is published there, and who listens. Parts that
// whoever looks may not see are nil.
type MQTT struct {
	State     MQTTState
	Explorer  TopicExplorer
	Uplink    UplinkCard
	Assistant AssistantCard
	Clients   *MQTTClients
	Consumers *Consumers
}

// MQTTState is how the brokers are: the figures, and a line for each.
type MQTTState struct {
	Up      bool   // the embedded brokers take connections
	Says    string // what is wrong with them, if they do not
	Public  string // where consumers connect; "" if they cannot
	TLS     bool   // they do over TLS there
	Socket  string // where they connect over WebSocket; "" if they cannot
	Since   When   // since when the brokers run
	Brokers []MQTTBroker

	Agents, Hosts        int // connected, and all of them
	Listening, Consumers int // connections of consumers, and credentials
	PerSecond            float64
	Bytes                uint64 // a second
	Points               []int  // messages in spans of 20 s, the oldest first
	Retained             int
	RetainedBytes        uint64
	Waiting              int // jobs that wait for their host to connect
	Dropped              uint64
}

func (m MQTTState) how() string {
	if m.TLS {
		return ", over TLS"
	}
	return ", in clear"
}

// An MQTTBroker is one of the brokers.
type MQTTBroker struct {
	Name, Sub string // Sub is where it is, or what it is for
	Status    Status
	Connected string
	In, Out   string
	Dropped   string
	Refused   string // connections
	Denied    string // what clients tried beyond their rights
}

// MQTTURL is the page's address.
const MQTTURL = "/mqtt"

// A TopicPlace is what the page's explorer shows.
type TopicPlace struct {
	Filter string   // "" is the usual one
	Topic  string   // whose last value is shown; "" for none
	Open   []string // levels that are unfolded
}

// UsualFilter is what the explorer shows unless somebody says otherwise: what every
// consumer may read of ours.
const UsualFilter = "rm/v1/pub/#"

func (p TopicPlace) query() url.Values {
	q := url.Values{}
	if p.Filter != "" && p.Filter != UsualFilter {
		q.Set("filter", p.Filter)
	}
	if p.Topic != "" {
		q.Set("topic", p.Topic)
	}
	for _, path := range p.Open {
		q.Add("open", path)
	}
	return q
}

// URL is the page at this place.
func (p TopicPlace) URL() string {
	if q := p.query().Encode(); q != "" {
		return MQTTURL + "?" + q
	}
	return MQTTURL
}

// with is the same place with another topic.
func (p TopicPlace) with(topic string) TopicPlace {
	p.Topic = topic
	return p
}

// toggled is the same place with a level unfolded, or folded again.
func (p TopicPlace) toggled(path string, open bool) TopicPlace {
	var list []string
	for _, o := range p.Open {
		if o != path {
			list = append(list, o)
		}
	}
	if open {
		list = append(list, path)
	}
	p.Open = list
	return p
}

// level is the address of what is below a level, as a part of the page.
func (p TopicPlace) level(path, after string) string {
	q := p.query()
	q.Del("open")
	q.Set("path", path)
	if after != "" {
		q.Set("after", after)
	}
	return MQTTURL + "/topics?" + q.Encode()
}

// MQTTStream is the URL of the page's one stream, which goes on after the message with
// that number.
func MQTTStream(p TopicPlace, after uint64) string {
	q := p.query()
	q.Del("open")
	q.Set("view", "mqtt")
	q.Set("after", strconv.FormatUint(after, 10))
	return "/events?" + q.Encode()
}

// A TopicExplorer shows what consumers can read: a tree, a topic's last value, and what
// goes by.
type TopicExplorer struct {
	Place    TopicPlace
	Filter   string // as it was typed
	Wrong    string // what is wrong with it
	Tree     TopicLevel
	Value    TopicValue
	Messages []TopicMessage // the newest first
	Silent   bool           // nothing can be read: the brokers for consumers are off
}

// A TopicLevel is what is below a level.
type TopicLevel struct {
	Place    TopicPlace
	Path     string
	Branches []TopicBranch
	After    string // the name of the last one, if there are more
	More     int
	Alone    bool // it is a page of its own
}

// A TopicBranch is a line of the tree.
type TopicBranch struct {
	Name, Path  string
	Label       string // for people, of a level that is an ID
	Topic, Live bool
	Below       bool
	Count       int
	Open        *TopicLevel // what is below it, if it is unfolded
}

// A TopicValue is what was published at a topic last.
type TopicValue struct {
	Topic   string // "" if none is chosen
	There   bool
	Problem string // why it cannot be read
	Payload string
	Size    int
	QoS     byte
	Retain  bool
	At      When
	Command string // that reads it
}

// A TopicMessage is a message that went by.
type TopicMessage struct {
	N       uint64
	Topic   string
	Payload string
	Size    int
	QoS     byte
	Retain  bool
	At      When
}

func (m TopicMessage) line() string {
	switch {
	case m.Size == 0 && m.Retain:
		return "cleared: nothing is retained here any more"
	case m.Size == 0:
		return "empty"
	}
	return words.Cut(words.Visible(m.Payload), 400)
}

// MQTTClients are connections to the embedded brokers.
type MQTTClients struct {
	Kind   string // "", agents or consumers
	Total  int    // of that kind
	Rows   []MQTTClient
	Alone  bool // it is a page of its own
	Paging Paging
}

// An MQTTClient is a connection.
type MQTTClient struct {
	Name, Sub     string
	URL           string // of the host or of the credential
	Remote        string
	Since         When
	In, Out, Subs string
	Note          string // what is wrong with it
}

// ClientsURL is the page with connections of a kind: of all, "".
func ClientsURL(kind string, page int) string {
	q := url.Values{}
	if kind != "" {
		q.Set("kind", kind)
	}
	if page > 1 {
		q.Set("page", strconv.Itoa(page))
	}
	if len(q) > 0 {
		return MQTTURL + "/clients?" + q.Encode()
	}
	return MQTTURL + "/clients"
}

// ClientPaging is a page of the connections.
func ClientPaging(total, page int, kind string) Paging {
	return pagingOf(total, page, "connection", "connections", "consumers first, by name",
		func(page int) string { return ClientsURL(kind, page) })
}

// A jsonPart is a piece of JSON as it is shown; Class is k for a key, s for text, d for
// other values, and "" for what is between.
type jsonPart struct{ Class, Text string }

// jsonParts takes JSON apart that is indented here. Of anything else it returns nil.
func jsonParts(payload string) []jsonPart {
	if trimmed := strings.TrimSpace(payload); trimmed == "" || !strings.ContainsAny(trimmed[:1], "{[") {
		return nil
	}
	var indented bytes.Buffer
	if err := json.Indent(&indented, []byte(payload), "", "  "); err != nil {
		return nil
	}
	text := indented.String()
	var b strings.Builder
	var parts []jsonPart
	flush := func() {
		if b.Len() > 0 {
			parts = append(parts, jsonPart{"", b.String()})
			b.Reset()
		}
	}
	for i := 0; i < len(text); {
		switch c := text[i]; {
		case c == '"':
			end := i + 1
			for text[end] != '"' {
				if text[end] == '\\' {
					end++
				}
				end++
			}
			end++
			class := "s"
			if end < len(text) && text[end] == ':' {
				class = "k"
			}
			flush()
			parts = append(parts, jsonPart{class, words.Visible(text[i:end])})
			i = end
		case strings.IndexByte(" \n{}[],:", c) >= 0:
			b.WriteByte(c)
			i++
		default:
			end := i
			for end < len(text) && strings.IndexByte(" \n{}[],:", text[end]) < 0 {
				end++
			}
			flush()
			parts = append(parts, jsonPart{"d", text[i:end]})
			i = end
		}
	}
	flush()
	return parts
}

// jsonView shows JSON as it is indented: nothing may be put between its parts.
func jsonView(parts []jsonPart) templ.Component {
	return templ.ComponentFunc(func(_ context.Context, w io.Writer) error {
		var b strings.Builder
		b.WriteString(`<pre class="json" role="region" aria-label="Value" tabindex="0">`)
		for _, p := range parts {
			text := templ.EscapeString(p.Text)
			if p.Class != "" {
				text = `<span class="` + p.Class + `">` + text + `</span>`
			}
			b.WriteString(text)
		}
		b.WriteString(`</pre>`)
		_, err := io.WriteString(w, b.String())
		return err
	})
}

// sparkOf draws figures, the oldest first, as a line and the area below it.
func sparkOf(points []int, width, height float64) (line, area string) {
	if len(points) < 2 {
		return "", ""
	}
	most := 1
	for _, n := range points {
		most = max(most, n)
	}
	var b strings.Builder
	for i, n := range points {
		x := width * float64(i) / float64(len(points)-1)
		y := height - 2 - (height-4)*float64(n)/float64(most)
		verb := "L"
		if i == 0 {
			verb = "M"
		}
		fmt.Fprintf(&b, "%s%.1f %.1f", verb, x, y)
	}
	line = b.String()
	return line, fmt.Sprintf("%sL%.1f %.1fL0 %.1fZ", line, width, height, height)
}

// rate words messages a second.
func rate(perSecond float64) string {
	switch {
	case perSecond >= 9.95:
		return words.Number(uint64(perSecond + 0.5))
	case perSecond >= 0.05:
		return strconv.FormatFloat(perSecond, 'f', 1, 64)
	case perSecond > 0:
		return "under 0.1"
	}
	return "0"
}
