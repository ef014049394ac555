package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/alerts/asked"
	"github.com/restic-manager/restic-manager/controlplane/alerts/conditions"
	"github.com/restic-manager/restic-manager/controlplane/alerts/routing"
	"github.com/restic-manager/restic-manager/controlplane/channels"
	"github.com/restic-manager/restic-manager/controlplane/field"
	"github.com/restic-manager/restic-manager/controlplane/heartbeat"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/store/alerts"
	channelrows "github.com/restic-manager/restic-manager/store/channels"
	"github.com/restic-manager/restic-manager/store/column"
	"github.com/restic-manager/restic-manager/store/heartbeats"
)

// A newChannel is what may be said of a new channel at any door.
type newChannel struct {
	Name, Kind string
	Fields     map[string]string
	Off        bool
}

// fieldArgs are fields as a command line has them: secrets are read from files.
func fieldArgs(t *testing.T, kind string, fields map[string]string) (args []string) {
	t.Helper()
	k, _ := channels.KindOf(kind)
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		value := fields[name]
		i := slices.IndexFunc(k.Fields, func(f channels.Field) bool { return f.Name == name })
		switch {
		case i >= 0 && k.Fields[i].Secret:
			file := filepath.Join(t.TempDir(), "secret")
			if err := os.WriteFile(file, []byte(value+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			args = append(args, name+"=@"+file)
		case i >= 0 && k.Fields[i].List:
			for _, line := range strings.Split(value, "\n") {
				args = append(args, name+"="+line)
			}
		default:
			args = append(args, name+"="+value)
		}
	}
	return args
}

func (c newChannel) body() map[string]any {
	body := map[string]any{"name": c.Name, "kind": c.Kind}
	if c.Off {
		body["enabled"] = false
	}
	k, _ := channels.KindOf(c.Kind)
	for name, value := range c.Fields {
		body[name] = value
		if slices.ContainsFunc(k.Fields, func(f channels.Field) bool { return f.Name == name && f.List }) {
			body[name] = strings.Split(value, "\n")
		}
	}
	return body
}

var newChannels = subject[newChannel]{
	service: func(t *testing.T, h *house, in newChannel) error {
		_, _, err := channelService(h.store).Add(t.Context(), "test",
			channels.Draft{Name: &in.Name, Kind: in.Kind, Fields: in.Fields, Enabled: new(!in.Off)})
		return err
	},
	doors: map[string]func(t *testing.T, h *house, in newChannel) (bool, string){
		theForm: func(_ *testing.T, h *house, in newChannel) (bool, string) {
			form := url.Values{"name": {in.Name}, "kind": {in.Kind}}
			for name, value := range in.Fields {
				form.Set("f."+name, value)
			}
			status, text := h.ask("POST", "/alerts/channels/new", form)
			return status == http.StatusOK, text
		},
		theAPI: func(t *testing.T, h *house, in newChannel) (bool, string) {
			status, text := h.ask("POST", "/api/channels", in.body())
			return status == http.StatusCreated, detail(t, text)
		},
		theCommandLine: func(t *testing.T, h *house, in newChannel) (bool, string) {
			args := append([]string{"channel", "add", in.Name, in.Kind}, fieldArgs(t, in.Kind, in.Fields)...)
			if in.Off {
				args = append(args, "--off")
			}
			text, code := h.tell(args...)
			return code == 0, text
		},
	},
	saved: func(t *testing.T, h *house) (all []string) {
		list, err := channelService(h.store).List(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range list {
			with, err := h.store.Channels().Read(t.Context(), c.ID)
			if err != nil {
				t.Fatal(err)
			}
			fields := with.Fields()
			if c.Kind == "webhook" && strings.HasPrefix(fields["secret"], "rmw_") {
				fields["secret"] = "made"
			}
			all = append(all, fmt.Sprint(c.Name, c.Kind, c.Enabled, c.Version, fields))
			if err := channelService(h.store).Remove(t.Context(), "test", c.ID); err != nil {
				t.Fatal(err)
			}
		}
		return all
	},
	cases: map[string]doorCase[newChannel]{
		"a webhook": {in: newChannel{Name: "hook", Kind: "webhook", Fields: map[string]string{"url": "https://example.net/hook"}}},
		"a webhook with its secret": {in: newChannel{Name: "hook", Kind: "webhook",
			Fields: map[string]string{"url": "https://example.net/hook", "secret": "correct horse battery", "headers": "X-A: b\nX-B: c"}}},
		"one that is off": {in: newChannel{Name: "hook", Kind: "ntfy", Off: true, Fields: map[string]string{"topic": "backups"}},
			not: []string{theForm}},
		"mail": {in: newChannel{Name: "ops", Kind: "email", Fields: map[string]string{"host": "smtp.example.net", "port": "587",
			"from": "backups@example.net", "to": "ops@example.net\nnights@example.net", "username": "backups", "password": " p=@ss word "}}},
		"ntfy":           {in: newChannel{Name: "Büro ☎", Kind: "ntfy", Fields: map[string]string{"topic": "backups-5f3a"}}},
		"no name":        {in: newChannel{Kind: "ntfy", Fields: map[string]string{"topic": "backups"}}, bad: "name"},
		"an escape":      {in: newChannel{Name: "a\x1bb", Kind: "ntfy", Fields: map[string]string{"topic": "backups"}}, bad: "name"},
		"no URL":         {in: newChannel{Name: "hook", Kind: "webhook"}, bad: "url"},
		"another scheme": {in: newChannel{Name: "hook", Kind: "webhook", Fields: map[string]string{"url": "file:///etc/passwd"}}, bad: "url"},
		"a password shown": {in: newChannel{Name: "hook", Kind: "webhook", Fields: map[string]string{"url": "https://a:b@example.net/"}},
			bad: "url"},
		"a header in an address": {in: newChannel{Name: "ops", Kind: "email", Fields: map[string]string{"host": "smtp.example.net",
			"from": "backups@example.net\r\nBcc: all@example.net", "to": "ops@example.net"}}, bad: "from"},
		"no address": {in: newChannel{Name: "ops", Kind: "email", Fields: map[string]string{"host": "smtp.example.net",
			"from": "backups@example.net", "to": "ops"}}, bad: "to"},
		"no such encryption": {in: newChannel{Name: "ops", Kind: "email", Fields: map[string]string{"host": "smtp.example.net",
			"from": "backups@example.net", "to": "ops@example.net", "security": "rot13"}}, bad: "security"},
		"a field of another kind": {in: newChannel{Name: "hook", Kind: "ntfy", Fields: map[string]string{"topic": "b", "chats": "1"}},
			bad: "chats",
			not: []string{theForm}}, // which has no such field
	},
}

// An alertPause is what may be said of a pause at any door. The moments are as RFC 3339
// has them.
type alertPause struct{ Kind, Subject, Reason, From, Until string }

func at(text string) int64 {
	if text == "" {
		return 0
	}
	moment, err := time.Parse(time.RFC3339, text)
	if err != nil {
		panic(err)
	}
	return moment.UnixMilli()
}

// soon is a while from now, as RFC 3339 has it.
func soon(hours time.Duration) string {
	return time.Now().Add(hours * time.Hour).Truncate(time.Minute).UTC().Format(time.RFC3339)
}

// typedMoment is a moment as somebody types it into a form, by the server's clock.
func typedMoment(text string) string {
	if text == "" {
		return ""
	}
	return time.UnixMilli(at(text)).Format("2006-01-02T15:04")
}

var alertPauses = subject[alertPause]{
	service: func(t *testing.T, h *house, in alertPause) error {
		if in.Subject == "attic" {
			in.Subject = string(h.host)
		}
		_, err := alertService(h.store).Pause(t.Context(), "test",
			alerts.Pause{Kind: in.Kind, Subject: in.Subject, Reason: in.Reason, From: at(in.From), Until: at(in.Until)})
		return err
	},
	doors: map[string]func(t *testing.T, h *house, in alertPause) (bool, string){
		theForm: func(_ *testing.T, h *house, in alertPause) (bool, string) {
			status, text := h.ask("POST", "/alerts/pauses", url.Values{"kind": {in.Kind}, "subject": {in.Subject}, "reason": {in.Reason},
				"from": {typedMoment(in.From)}, "until": {typedMoment(in.Until)}})
			return status == http.StatusSeeOther, text
		},
		theAPI: func(t *testing.T, h *house, in alertPause) (bool, string) {
			body := map[string]any{"kind": in.Kind, "reason": in.Reason, "until": in.Until}
			if in.Subject != "" {
				body["subject"] = in.Subject
			}
			if in.From != "" {
				body["from"] = in.From
			}
			status, text := h.ask("POST", "/api/alert-pauses", body)
			return status == http.StatusCreated, detail(t, text)
		},
		theCommandLine: func(_ *testing.T, h *house, in alertPause) (bool, string) {
			args := []string{"alert-pause", "add", "--reason=" + in.Reason, "--until=" + in.Until}
			switch in.Kind {
			case "all":
				args = append(args, "--all")
			default:
				args = append(args, "--"+in.Kind+"="+in.Subject)
			}
			if in.From != "" {
				args = append(args, "--from="+in.From)
			}
			text, code := h.tell(args...)
			return code == 0, text
		},
	},
	saved: func(t *testing.T, h *house) (all []string) {
		list, err := alertService(h.store).Pauses(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range list {
			from := "now"
			if p.From > p.CreatedAt {
				from = fmt.Sprint(p.From)
			}
			all = append(all, fmt.Sprint(p.Kind, p.Subject == string(h.host), p.Subject, p.Reason, from, p.Until))
			if _, err := alertService(h.store).Unpause(t.Context(), "test", p.ID); err != nil {
				t.Fatal(err)
			}
		}
		return all
	},
	cases: map[string]doorCase[alertPause]{
		"of a host, by its name": {in: alertPause{Kind: "host", Subject: "attic", Reason: "new disks", Until: soon(2)}},
		"of a tag, later":        {in: alertPause{Kind: "tag", Subject: "web", Reason: "kernel", From: soon(1), Until: soon(3)}},
		"of everything":          {in: alertPause{Kind: "all", Reason: "the data centre moves", Until: soon(48)}},
		"without a reason":       {in: alertPause{Kind: "all", Until: soon(2)}, bad: "reason"},
		"in the past":            {in: alertPause{Kind: "all", Reason: "x", Until: soon(-2)}, bad: "until"},
		"for ever":               {in: alertPause{Kind: "all", Reason: "x", Until: soon(24 * 400)}, bad: "until"},
		"over before it begins":  {in: alertPause{Kind: "all", Reason: "x", From: soon(5), Until: soon(3)}, bad: "until"},
		"of no host":             {in: alertPause{Kind: "host", Subject: "cellar", Reason: "x", Until: soon(2)}, bad: "subject"},
		"an escape":              {in: alertPause{Kind: "all", Reason: "a\x1b[2Jb", Until: soon(2)}, bad: "reason"},
	},
}

// An alertDeed is what somebody does about an alert at any door.
type alertDeed struct{ Do, Until, Reason string }

const theAlert = "0mk3a7q2alert1"

var alertDeeds = subject[alertDeed]{
	before: func(t *testing.T, h *house) {
		t.Helper()
		err := h.store.Alerts().Tx(t.Context(), func(tx alerts.Tx) error {
			return alerts.Put(t.Context(), tx, []*alerts.Alert{{ID: theAlert, Key: alerts.Key{Condition: "backup-failed", On: alerts.OnGroup,
				Subject: "letters-0001"}, Host: h.host, Repository: h.repository, Severity: alerts.Critical, OpenedAt: 1, SeenAt: 1, BeganAt: 1,
				Count: 1, Body: column.JSON[alerts.Body]{V: &alerts.Body{Name: "attic · letters", Title: "backups fail"}}}})
		})
		if err != nil {
			t.Fatal(err)
		}
	},
	service: func(t *testing.T, h *house, in alertDeed) (err error) {
		s := alertService(h.store)
		switch in.Do {
		case "acknowledge":
			_, err = s.Acknowledge(t.Context(), "test", theAlert)
		case "snooze":
			_, err = s.Snooze(t.Context(), "test", at(in.Until), theAlert)
		case "wake":
			_, err = s.Wake(t.Context(), "test", theAlert)
		case "end":
			_, err = s.End(t.Context(), "test", in.Reason, theAlert)
		}
		return err
	},
	doors: map[string]func(t *testing.T, h *house, in alertDeed) (bool, string){
		theForm: func(_ *testing.T, h *house, in alertDeed) (bool, string) {
			status, text := h.ask("POST", "/alerts/act", url.Values{"do": {in.Do}, "id": {theAlert}, "until": {typedMoment(in.Until)},
				"reason": {in.Reason}, "page": {"alert"}})
			return status == http.StatusSeeOther, text
		},
		theAPI: func(t *testing.T, h *house, in alertDeed) (bool, string) {
			body := map[string]any{"snooze": map[string]any{"until": in.Until}, "end": map[string]any{"reason": in.Reason}}[in.Do]
			status, text := h.ask("POST", "/api/alerts/"+theAlert+"/"+in.Do, body)
			return status == http.StatusOK, detail(t, text)
		},
		theCommandLine: func(_ *testing.T, h *house, in alertDeed) (bool, string) {
			args := map[string][]string{"acknowledge": {"ack"}, "snooze": {"snooze", "--until=" + in.Until}, "wake": {"wake"},
				"end": {"end", "--reason=" + in.Reason}}[in.Do]
			text, code := h.tell(append(append([]string{"alerts"}, args...), theAlert)...)
			return code == 0, text
		},
	},
	saved: func(t *testing.T, h *house) []string {
		a, err := h.store.Alerts().Get(t.Context(), theAlert)
		if err != nil {
			t.Fatal(err)
		}
		said := []string{fmt.Sprint(a.State(h.store.Now()), a.SnoozedUntil, a.EndedWhy, a.AckedAt > 0)}
		a.EndedAt, a.AckedAt, a.SnoozedUntil = 0, 0, 0
		if err := h.store.Alerts().Tx(t.Context(), func(tx alerts.Tx) error {
			return alerts.Put(t.Context(), tx, []*alerts.Alert{&a})
		}); err != nil {
			t.Fatal(err)
		}
		return said
	},
	cases: map[string]doorCase[alertDeed]{
		"acknowledged":          {in: alertDeed{Do: "acknowledge"}},
		"snoozed":               {in: alertDeed{Do: "snooze", Until: soon(8)}},
		"snoozed until it was":  {in: alertDeed{Do: "snooze", Until: soon(-1)}, bad: "until"},
		"snoozed for ever":      {in: alertDeed{Do: "snooze", Until: soon(24 * 200)}, bad: "until"},
		"woken":                 {in: alertDeed{Do: "wake"}},
		"ended":                 {in: alertDeed{Do: "end", Reason: "the host was a test"}},
		"ended without a word":  {in: alertDeed{Do: "end"}, bad: "reason"},
		"ended with an escape":  {in: alertDeed{Do: "end", Reason: "a\x1b]0;b"}, bad: "reason"},
		"ended at great length": {in: alertDeed{Do: "end", Reason: strings.Repeat("x", 501)}, bad: "reason"},
	},
}

// A thresholdsSet is all thresholds that are set at once.
type thresholdsSet struct{ Thresholds []asked.Threshold }

var thresholds = subject[thresholdsSet]{
	service: func(t *testing.T, h *house, in thresholdsSet) error {
		names, err := asked.NamesOf(t.Context(), h.store)
		if err != nil {
			t.Fatal(err)
		}
		_, version, err := alertService(h.store).Limits(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		_, err = alertService(h.store).SetLimits(t.Context(), "test", asked.Thresholds{Thresholds: in.Thresholds}.Limits(names), version)
		if wrong := new(conditions.WrongLimit); errors.As(err, &wrong) {
			err = field.Errors{"thresholds": wrong.Say}
		}
		return err
	},
	doors: map[string]func(t *testing.T, h *house, in thresholdsSet) (bool, string){
		theAPI: func(t *testing.T, h *house, in thresholdsSet) (bool, string) {
			status, text := h.ask("PUT", "/api/alert-thresholds", asked.Thresholds{Thresholds: in.Thresholds})
			return status == http.StatusOK, detail(t, text)
		},
		theCommandLine: func(t *testing.T, h *house, in thresholdsSet) (bool, string) {
			text, code := h.tell("alert-thresholds", "set", jsonFile(t, asked.Thresholds{Thresholds: in.Thresholds}))
			return code == 0, text
		},
	},
	saved: func(t *testing.T, h *house) (all []string) {
		list, version, err := alertService(h.store).Limits(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range list {
			all = append(all, fmt.Sprint(l, l.Subject == string(h.host)))
		}
		if _, err := alertService(h.store).SetLimits(t.Context(), "test", nil, version); err != nil {
			t.Fatal(err)
		}
		return all
	},
	cases: map[string]doorCase[thresholdsSet]{
		"none": {in: thresholdsSet{[]asked.Threshold{}}},
		"of all three": {in: thresholdsSet{[]asked.Threshold{
			{Condition: "host-offline", Scope: "fleet", Value: 3600},
			{Condition: "host-offline", Scope: "tag", Subject: "web", Value: 600},
			{Condition: "host-offline", Scope: "host", Subject: "attic", Off: true}}}},
		"of no condition": {in: thresholdsSet{[]asked.Threshold{{Condition: "too-quiet", Scope: "fleet", Value: 1}}}, bad: "thresholds"},
		"of no host": {in: thresholdsSet{[]asked.Threshold{{Condition: "host-offline", Scope: "host", Subject: "cellar", Value: 600}}},
			bad: "thresholds"},
		"twice the same": {in: thresholdsSet{[]asked.Threshold{{Condition: "host-offline", Scope: "fleet", Value: 600},
			{Condition: "host-offline", Scope: "fleet", Value: 700}}}, bad: "thresholds"},
		"below nothing": {in: thresholdsSet{[]asked.Threshold{{Condition: "host-offline", Scope: "fleet", Value: -1}}}, bad: "thresholds"},
	},
}

func jsonFile(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "said.json")
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// A rulesSet is all rules that are set at once.
type rulesSet struct {
	Rules   []asked.Rule
	Digests []asked.Digest
}

var alertRules = subject[rulesSet]{
	before: func(t *testing.T, h *house) {
		t.Helper()
		err := h.store.Channels().Add(t.Context(), "test", channelrows.Channel{ID: "0mk3a7q2chan01", Name: "ops", Kind: "ntfy", Enabled: true,
			Version: 1, Settings: column.JSON[map[string]string]{V: &map[string]string{"topic": "backups"}}})
		if err != nil && !errors.Is(err, store.ErrConflict) {
			t.Fatal(err)
		}
	},
	service: func(t *testing.T, h *house, in rulesSet) error {
		names, err := asked.NamesOf(t.Context(), h.store)
		if err != nil {
			t.Fatal(err)
		}
		_, version, err := alertService(h.store).Rules(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		_, err = alertService(h.store).SetRules(t.Context(), "test", asked.Rules{Rules: in.Rules, Digests: in.Digests}.Routing(names), version)
		return err
	},
	doors: map[string]func(t *testing.T, h *house, in rulesSet) (bool, string){
		theAPI: func(t *testing.T, h *house, in rulesSet) (bool, string) {
			status, text := h.ask("PUT", "/api/alert-rules", asked.Rules{Rules: in.Rules, Digests: in.Digests})
			return status == http.StatusOK, detail(t, text)
		},
		theCommandLine: func(t *testing.T, h *house, in rulesSet) (bool, string) {
			text, code := h.tell("alert-rules", "set", jsonFile(t, asked.Rules{Rules: in.Rules, Digests: in.Digests}))
			return code == 0, text
		},
	},
	saved: func(t *testing.T, h *house) (all []string) {
		r, version, err := alertService(h.store).Rules(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, one := range r.Rules {
			if one.ID == "" {
				t.Error("a rule has no ID")
			}
			one.ID = ""
			text := fmt.Sprintf("%+v", one)
			all = append(all, strings.ReplaceAll(text, string(h.host), "attic"))
		}
		for _, d := range r.Digests {
			all = append(all, fmt.Sprintf("%+v", d))
		}
		if _, err := alertService(h.store).SetRules(t.Context(), "test", routing.Rules{}, version); err != nil {
			t.Fatal(err)
		}
		return all
	},
	cases: map[string]doorCase[rulesSet]{
		"none": {in: rulesSet{Rules: []asked.Rule{}}},
		"all of one": {in: rulesSet{Rules: []asked.Rule{{Name: "nights", Severities: []string{"critical"}, Conditions: []string{"overdue"},
			Tags: []string{"web"}, Hosts: []string{"attic"}, Channels: []string{"ops"}, RepeatEvery: 3600, Delay: 900, QuietFrom: "22:00",
			QuietTo: "07:00", Zone: "Europe/Berlin", CriticalWaits: true, Recovered: new(false), Stop: true}}}},
		"a digest": {in: rulesSet{Rules: []asked.Rule{},
			Digests: []asked.Digest{{Channels: []string{"0mk3a7q2chan01"}, Every: "weekly", At: "07:00", Weekday: "monday"}}}},
		"of no host": {in: rulesSet{Rules: []asked.Rule{{Name: "x", Hosts: []string{"cellar"}, Channels: []string{"ops"}}}},
			bad: "rules.0.hosts"},
		"to no channel": {in: rulesSet{Rules: []asked.Rule{{Name: "x", Channels: []string{"oops"}}}}, bad: "rules.0.channels"},
		"to none":       {in: rulesSet{Rules: []asked.Rule{{Name: "x"}}}, bad: "rules.0.channels"},
		"of no condition": {in: rulesSet{Rules: []asked.Rule{{Name: "x", Conditions: []string{"too-quiet"}, Channels: []string{"ops"}}}},
			bad: "rules.0.conditions"},
		"without a name": {in: rulesSet{Rules: []asked.Rule{{Channels: []string{"ops"}}}}, bad: "rules.0.name"},
		"too often": {in: rulesSet{Rules: []asked.Rule{{Name: "x", Channels: []string{"ops"}, RepeatEvery: 1}}},
			bad: "rules.0.repeat_every"},
		"no zone": {in: rulesSet{Rules: []asked.Rule{{Name: "x", Channels: []string{"ops"}, QuietFrom: "22:00", QuietTo: "07:00",
			Zone: "Berlin"}}},
			bad: "rules.0.zone"},
		"no time": {in: rulesSet{Rules: []asked.Rule{}, Digests: []asked.Digest{{Channels: []string{"ops"}, Every: "daily", At: "25:00"}}},
			bad: "digests.0.at"},
	},
}

// A publicAddress is where people find the pages.
type publicAddress struct{ URL string }

var publicAddresses = subject[publicAddress]{
	service: func(t *testing.T, h *house, in publicAddress) error {
		return alertService(h.store).SetPublicURL(t.Context(), "test", in.URL)
	},
	doors: map[string]func(t *testing.T, h *house, in publicAddress) (bool, string){
		theAPI: func(t *testing.T, h *house, in publicAddress) (bool, string) {
			status, text := h.ask("PUT", "/api/public-url", map[string]any{"url": in.URL})
			return status == http.StatusOK, detail(t, text)
		},
		theCommandLine: func(_ *testing.T, h *house, in publicAddress) (bool, string) {
			text, code := h.tell("public-url", in.URL)
			return code == 0, text
		},
	},
	saved: func(t *testing.T, h *house) []string {
		was := alertService(h.store).PublicURL(t.Context())
		if err := alertService(h.store).SetPublicURL(t.Context(), "test", ""); err != nil {
			t.Fatal(err)
		}
		return []string{was}
	},
	cases: map[string]doorCase[publicAddress]{
		"a name":        {in: publicAddress{"https://backups.example.net/"}},
		"below a path":  {in: publicAddress{"https://example.net/backups"}},
		"none":          {in: publicAddress{""}},
		"a password":    {in: publicAddress{"https://a:b@example.net"}, bad: "public_url"},
		"a query":       {in: publicAddress{"https://example.net?a=b"}, bad: "public_url"},
		"a script":      {in: publicAddress{"javascript:alert(1)"}, bad: "public_url"},
		"a line break":  {in: publicAddress{"https://example.net/\na"}, bad: "public_url"},
		"another place": {in: publicAddress{"https:///example.net"}, bad: "public_url"},
	},
}

// An outsideBeat is what may be said of the outside heartbeat, and of one of a host.
type outsideBeat struct {
	URL, Kind string
	Every     int64
	Host      bool
}

var outsideBeats = subject[outsideBeat]{
	service: func(t *testing.T, h *house, in outsideBeat) error {
		s := heartbeatService(h.store)
		if in.Host {
			return s.SetPing(t.Context(), "test", heartbeat.Ping{Scope: heartbeats.OfHost, Subject: string(h.host), URL: in.URL,
				Kind: heartbeat.Kind(in.Kind)})
		}
		return s.Set(t.Context(), "test", heartbeat.Settings{URL: in.URL, Every: in.Every, Kind: heartbeat.Kind(in.Kind)}, 0)
	},
	doors: map[string]func(t *testing.T, h *house, in outsideBeat) (bool, string){
		theAPI: func(t *testing.T, h *house, in outsideBeat) (bool, string) {
			body, path := map[string]any{"url": in.URL}, "/api/heartbeat"
			if in.Kind != "" {
				body["kind"] = in.Kind
			}
			if in.Every != 0 {
				body["every"] = in.Every
			}
			if in.Host {
				body["scope"], body["subject"], path = "host", "attic", "/api/pings"
			}
			status, text := h.ask("PUT", path, body)
			return status == http.StatusOK, detail(t, text)
		},
		theCommandLine: func(t *testing.T, h *house, in outsideBeat) (bool, string) {
			file := filepath.Join(t.TempDir(), "address")
			if err := os.WriteFile(file, []byte(in.URL+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			args := []string{"heartbeat", "set", file, "--kind=" + in.Kind}
			if in.Every != 0 {
				args = append(args, fmt.Sprintf("--every=%ds", in.Every))
			}
			if in.Host {
				args = append(args, "--host=attic")
			}
			text, code := h.tell(args...)
			return code == 0, text
		},
	},
	saved: func(t *testing.T, h *house) (all []string) {
		list, err := h.store.Heartbeats(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range list {
			all = append(all, fmt.Sprint(b.Scope, b.Kind, b.Every, b.URL.Reveal()))
			b.URL = ""
			if _, err := h.store.PutHeartbeat(t.Context(), "test", b); err != nil {
				t.Fatal(err)
			}
		}
		return all
	},
	cases: map[string]doorCase[outsideBeat]{
		"Healthchecks":       {in: outsideBeat{URL: "https://hc-ping.com/5f3a7d10-0000-4000-8000-000000000000", Every: 300}},
		"Uptime Kuma's":      {in: outsideBeat{URL: "https://kuma.example.net/api/push/abcdef?status=up&msg=OK&ping="}},
		"of a kind":          {in: outsideBeat{URL: "http://127.0.0.1:9/beat", Kind: "plain"}},
		"of a host":          {in: outsideBeat{URL: "https://cronitor.link/p/key/attic", Host: true}},
		"none":               {in: outsideBeat{}},
		"another scheme":     {in: outsideBeat{URL: "gopher://example.net/1"}, bad: "url"},
		"an escape":          {in: outsideBeat{URL: "https://example.net/\x1b"}, bad: "url"},
		"of no kind":         {in: outsideBeat{URL: "https://example.net/", Kind: "pigeon"}, bad: "kind"},
		"too often":          {in: outsideBeat{URL: "https://example.net/", Every: 1}, bad: "every"},
		"of a host, no URL":  {in: outsideBeat{URL: "example.net", Host: true}, bad: "url"},
		"a push URL without": {in: outsideBeat{URL: "https://kuma.example.net/", Kind: "uptime-kuma"}, bad: "url"},
	},
}

// What is named in a filter or in a rule is found by its name and by its ID.
func TestAlertsAreFoundByNameAndID(t *testing.T) {
	h := newHouse(t)
	alertDeeds.before(t, h)
	for filter, want := range map[string]bool{"": true, "host=attic": true, "host=" + string(h.host): true, "host=cellar": false,
		"repository=vault": true, "repository=" + string(h.repository): true, "condition=backup-failed": true, "condition=overdue": false,
		"state=open": true, "state=standing": true, "state=ended": false, "severity=critical": true, "severity=info": false,
		"q=LETTERS": true, "q=nothing": false, "tag=web": false} {
		status, text := h.ask("GET", "/api/alerts?"+filter, nil)
		if status != http.StatusOK || strings.Contains(text, theAlert) != want {
			t.Errorf("GET /api/alerts?%s: %d %s", filter, status, text)
		}
		name, value, _ := strings.Cut(filter, "=")
		if name == "q" || filter != "" && strings.HasSuffix(filter, "=cellar") {
			continue
		}
		args := []string{"alerts", "--json"}
		if filter != "" {
			args = append(args, "--"+name+"="+value)
		}
		if name == "state" && value == "standing" {
			args = []string{"alerts", "--json"}
		}
		cli, code := h.tell(args...)
		var a, b struct {
			Alerts []map[string]any `json:"alerts"`
			Next   string           `json:"next"`
		}
		decode(t, text, &a)
		decode(t, cli, &b)
		if code != 0 || fmt.Sprint(a) != fmt.Sprint(b) {
			t.Errorf("%v answers %d %v; the API answers %v", args, code, b, a)
		}
	}
	if text, code := h.tell("alerts"); code != 0 || !strings.Contains(text, "attic · letters: backups fail") {
		t.Errorf("alerts: %d %s", code, text)
	}
	if text, code := h.tell("alerts", "show", theAlert); code != 0 || !strings.Contains(text, "backup-failed") {
		t.Errorf("alerts show: %d %s", code, text)
	}
	for what, ask := range map[string]func() (string, bool){
		theAPI: func() (string, bool) {
			status, text := h.ask("POST", "/api/alerts/0mk3a7q2alert9/acknowledge", nil)
			return text, status == http.StatusNotFound
		},
		theCommandLine: func() (string, bool) {
			text, code := h.tell("alerts", "ack", theAlert, "0mk3a7q2alert9")
			return text, code == 1
		},
	} {
		if text, ok := ask(); !ok || !strings.Contains(text, "alert") {
			t.Errorf("%s of an alert that is not there: %s", what, text)
		}
	}
	if a, err := h.store.Alerts().Get(t.Context(), theAlert); err != nil || a.AckedAt != 0 {
		t.Errorf("of two alerts, one of which is none, the other was acknowledged: %+v %v", a, err)
	}
}

// The secret that was made for a webhook is told once, and no secret of a channel ever again.
func TestNoDoorTellsAChannelsSecrets(t *testing.T) {
	h := newHouse(t)
	status, text := h.ask("POST", "/api/channels", map[string]any{"name": "hook", "kind": "webhook", "url": "https://example.net/hook",
		"headers": []string{"Authorization: Bearer canary-of-a-header"}})
	var made struct{ ID, Secret string }
	decode(t, text, &made)
	if status != http.StatusCreated || !strings.HasPrefix(made.Secret, "rmw_") {
		t.Fatalf("%d %s", status, text)
	}
	all := []string{}
	for _, path := range []string{"/api/channels", "/api/channels/" + made.ID, "/api/channels/" + made.ID + "/deliveries", "/api/audit"} {
		status, text := h.ask("GET", path, nil)
		if status != http.StatusOK {
			t.Errorf("GET %s: %d", path, status)
		}
		all = append(all, text)
	}
	status, text = h.ask("PUT", "/api/channels/"+made.ID, map[string]any{"name": "hooks"})
	if status != http.StatusOK || !strings.Contains(text, `"secrets":["headers","secret"]`) {
		t.Errorf("PUT: %d %s", status, text)
	}
	all = append(all, text)
	for _, args := range [][]string{{"channel"}, {"channel", "show", "hooks"}} {
		text, code := h.tell(args...)
		if code != 0 || !strings.Contains(text, "hooks") {
			t.Errorf("%v: %d %s", args, code, text)
		}
		all = append(all, text)
	}
	for _, text := range all {
		if strings.Contains(text, made.Secret) || strings.Contains(text, "canary-of-a-header") {
			t.Errorf("a secret is told: %s", text)
		}
	}
	if text, code := h.tell("channel", "set", "hooks", "secret=visible to all"); code != 1 || !strings.Contains(text, "secret=@FILE") ||
		strings.Contains(text, "visible") {
		t.Errorf("a secret on a command line: %d %s", code, text)
	}
	if _, text := h.ask("DELETE", "/api/channels/"+made.ID, nil); text != "" {
		t.Error(text)
	}
	if status, text := h.ask("GET", "/api/channels/"+made.ID, nil); status != http.StatusNotFound ||
		!strings.Contains(text, "no such channel") {
		t.Errorf("of one that was removed: %d %s", status, text)
	}
	if status, _ := h.ask("GET", "/api/alerts/"+url.PathEscape("../x"), nil); status != http.StatusNotFound {
		t.Errorf("of an ID that is none: %d", status)
	}
}
