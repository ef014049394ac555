package main

import (
	"fmt"
	"math"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/consumers"
	"github.com/restic-manager/restic-manager/controlplane/password"
	"github.com/restic-manager/restic-manager/controlplane/people"
	"github.com/restic-manager/restic-manager/store"
)

const goodPassword = "correct horse battery"

// names are good and bad names of anything; a name's cases are made of them.
var names = map[string]struct {
	name string
	bad  bool
}{
	"a plain name":            {name: "bob"},
	"a name of three words":   {name: "Käse & Brot"},
	"spaces around the name":  {name: "  bob "},
	"a name with a quote":     {name: `o'x"; DROP TABLE users;--`},
	"a name that is a number": {name: "0007"},
	"a name that is nothing":  {name: "null"},
	"no name":                 {name: "", bad: true},
	"a name of spaces":        {name: "   ", bad: true},
	"a dot":                   {name: ".", bad: true},
	"two dots":                {name: "..", bad: true},
	"an escape":               {name: "b\x1b[2Job", bad: true},
	"a line break":            {name: "b\nob", bad: true},
	"a turned direction":      {name: "b\u202eob", bad: true},
	"a space without width":   {name: "b\u200bob", bad: true},
	"60 characters":           {name: strings.Repeat("ü", 60)},
	"101 characters":          {name: strings.Repeat("ü", 101), bad: true},
}

// withNames makes a case of every name, and adds them to the others.
func withNames[I any](of func(name string) I, others map[string]doorCase[I]) map[string]doorCase[I] {
	for what, n := range names {
		c := doorCase[I]{in: of(n.name)}
		if n.bad {
			c.bad = "name"
		}
		others[what] = c
	}
	return others
}

// typing runs the command line with something on its standard input.
func (h *house) typing(text string, args ...string) (said string, code int) {
	h.t.Helper()
	path := filepath.Join(h.t.TempDir(), "typed")
	if err := os.WriteFile(path, []byte(text+"\n"), 0o600); err != nil {
		h.t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		h.t.Fatal(err)
	}
	defer f.Close()
	stdin := os.Stdin
	os.Stdin = f
	defer func() { os.Stdin = stdin }()
	return h.tell(args...)
}

// users are all but anna, who asks, by name, role and state.
func users(t *testing.T, h *house) (all []string) {
	t.Helper()
	rows, err := h.store.Users(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, u := range rows {
		if u.Name == "anna" {
			continue
		}
		all = append(all, fmt.Sprintf("%q %s disabled: %t, in the zone %s", u.Name, u.Role, u.DisabledAt != 0, u.Zone))
		if _, err := h.store.RemoveUser(t.Context(), "test", u.ID, nil); err != nil {
			t.Fatal(err)
		}
	}
	return all
}

type newUser struct {
	Name string
	Role store.Role
}

var newUsers = subject[newUser]{
	service: func(t *testing.T, h *house, in newUser) error {
		_, _, err := peopleOf(h.store).Invite(t.Context(), "test", people.Input{Name: &in.Name, Role: &in.Role})
		return err
	},
	doors: map[string]func(t *testing.T, h *house, in newUser) (bool, string){
		theForm: func(_ *testing.T, h *house, in newUser) (bool, string) {
			status, text := h.ask("POST", "/users/new", url.Values{"name": {in.Name}, "role": {string(in.Role)}})
			return status == http.StatusOK, text
		},
		theAPI: func(t *testing.T, h *house, in newUser) (bool, string) {
			status, text := h.ask("POST", "/api/users", map[string]any{"name": in.Name, "role": in.Role})
			return status == http.StatusCreated, detail(t, text)
		},
		theCommandLine: func(_ *testing.T, h *house, in newUser) (bool, string) {
			text, code := h.typing(goodPassword, "user", "add", "--role="+string(in.Role), "--password-stdin", in.Name)
			return code == 0, text
		},
	},
	saved: users,
	cases: withNames(func(name string) newUser { return newUser{Name: name, Role: store.Viewer} }, map[string]doorCase[newUser]{
		"61 characters":   {in: newUser{Name: strings.Repeat("ü", 61), Role: store.Viewer}, bad: "name"},
		"a colon":         {in: newUser{Name: "api:bob", Role: store.Viewer}, bad: "name"},
		"the audit log's": {in: newUser{Name: "Plane", Role: store.Viewer}, bad: "name"},
		"an operator":     {in: newUser{Name: "bob", Role: store.Operator}},
		"no role":         {in: newUser{Name: "bob"}, bad: "role"},
		"no such role":    {in: newUser{Name: "bob", Role: "king"}, bad: "role"},
	}),
}

// detail is what a problem of the API says.
func detail(t *testing.T, text string) string {
	t.Helper()
	var p struct{ Detail string }
	decode(t, text, &p)
	return p.Detail
}

// bob is the user who is changed.
func bob(t *testing.T, h *house) store.User {
	t.Helper()
	u, err := h.store.UserByName(t.Context(), "bob")
	if err != nil {
		t.Fatal(err)
	}
	return u
}

var changedUsers = subject[people.Input]{
	before: func(t *testing.T, h *house) {
		t.Helper()
		if err := h.store.AddUser(t.Context(), "test", store.User{ID: "user-bob-1", Name: "bob", Role: store.Viewer}); err != nil {
			t.Fatal(err)
		}
	},
	service: func(t *testing.T, h *house, in people.Input) error {
		_, _, err := peopleOf(h.store).Change(t.Context(), store.Maker{Name: "test"}, bob(t, h).ID, in)
		return err
	},
	doors: map[string]func(t *testing.T, h *house, in people.Input) (bool, string){
		theForm: func(t *testing.T, h *house, in people.Input) (bool, string) {
			at, form := "/users/"+bob(t, h).ID, url.Values{}
			switch {
			case in.Role != nil:
				at, form = at+"/role", url.Values{"role": {string(*in.Role)}}
			case in.Password != nil:
				at, form = at+"/password", url.Values{"password": {*in.Password}, "again": {*in.Password}}
			case *in.Disabled:
				at += "/disable"
				if in.Keep != nil && *in.Keep {
					form = url.Values{"keep": {"1"}}
				}
			default:
				at += "/enable"
			}
			status, text := h.ask("POST", at, form)
			return status == http.StatusOK, text
		},
		theAPI: func(t *testing.T, h *house, in people.Input) (bool, string) {
			body := map[string]any{}
			if in.Role != nil {
				body["role"] = *in.Role
			}
			if in.Disabled != nil {
				body["disabled"] = *in.Disabled
			}
			if in.Zone != nil {
				body["zone"] = *in.Zone
			}
			if in.Keep != nil {
				body["keep"] = *in.Keep
			}
			status, text := h.ask("PATCH", "/api/users/"+bob(t, h).ID, body)
			return status == http.StatusOK, detail(t, text)
		},
		theCommandLine: func(_ *testing.T, h *house, in people.Input) (bool, string) {
			var text string
			var code int
			switch {
			case in.Role != nil:
				text, code = h.tell("user", "role", "bob", "--role="+string(*in.Role))
			case in.Password != nil:
				text, code = h.typing(*in.Password, "user", "passwd", "bob", "--password-stdin")
			case in.Zone != nil:
				text, code = h.tell("user", "zone", "bob", *in.Zone)
			case *in.Disabled:
				text, code = h.tell("user", "disable", "bob", fmt.Sprintf("--keep=%t", in.Keep != nil && *in.Keep))
			default:
				text, code = h.tell("user", "enable", "bob")
			}
			return code == 0, text
		},
	},
	saved: users,
	cases: map[string]doorCase[people.Input]{
		"another name":  {in: people.Input{Name: new("bobby")}, bad: "name", not: []string{theForm, theAPI, theCommandLine}},
		"another role":  {in: people.Input{Role: new(store.Admin)}},
		"the same role": {in: people.Input{Role: new(store.Viewer)}},
		"no such role":  {in: people.Input{Role: new(store.Role("king"))}, bad: "role"},
		// By a form, everybody sets their own: controlplane/web has its test.
		"a zone":         {in: people.Input{Zone: new(" Asia/Kathmandu ")}, not: []string{theForm}},
		"the server's":   {in: people.Input{Zone: new("server")}, not: []string{theForm}},
		"no such zone":   {in: people.Input{Zone: new("Mars/Olympus")}, bad: "zone", not: []string{theForm}},
		"no zone":        {in: people.Input{Zone: new("")}, bad: "zone", not: []string{theForm}},
		"disabled":       {in: people.Input{Disabled: new(true)}},
		"enabled":        {in: people.Input{Disabled: new(false)}},
		"what is his":    {in: people.Input{Disabled: new(true), Keep: new(true)}},
		"nothing of his": {in: people.Input{Disabled: new(true), Keep: new(false)}},
		"to stay though": {in: people.Input{Disabled: new(false), Keep: new(true)}, bad: "keep", not: []string{theForm, theCommandLine}},
		"a password":     {in: people.Input{Password: new("pässwörter " + goodPassword)}, not: []string{theAPI}},
		"a short one":    {in: people.Input{Password: new("hällohällo!")}, bad: "password", not: []string{theAPI}}, // 13 bytes
		"a long one":     {in: people.Input{Password: new(strings.Repeat("x", password.MaxLength+1))}, bad: "password", not: []string{theAPI}},
		"as long as any": {in: people.Input{Password: new(strings.Repeat("ü", password.MaxLength))}, not: []string{theAPI}},
	},
}

type newToken struct {
	Name string
	Role store.Role
	Days int
}

var apiTokens = subject[newToken]{
	service: func(t *testing.T, h *house, in newToken) error {
		_, _, err := peopleOf(h.store).AddToken(t.Context(), store.Maker{Name: "test"}, people.TokenInput{Name: &in.Name, Role: &in.Role,
			Life: new(people.Days(in.Days))})
		return err
	},
	doors: map[string]func(t *testing.T, h *house, in newToken) (bool, string){
		theForm: func(_ *testing.T, h *house, in newToken) (bool, string) {
			status, text := h.ask("POST", "/tokens/new", url.Values{"name": {in.Name}, "role": {string(in.Role)}, "days": {strconv.Itoa(in.Days)}})
			return status == http.StatusOK, text
		},
		theAPI: func(t *testing.T, h *house, in newToken) (bool, string) {
			status, text := h.ask("POST", "/api/tokens", map[string]any{"name": in.Name, "role": in.Role, "days": in.Days})
			return status == http.StatusCreated, detail(t, text)
		},
		theCommandLine: func(_ *testing.T, h *house, in newToken) (bool, string) {
			life := fmt.Sprintf("%dd", in.Days)
			if in.Days == 0 {
				life = "never"
			}
			text, code := h.tell("api-token", "create", "--name="+in.Name, "--role="+string(in.Role), "--expires="+life)
			return code == 0, text
		},
	},
	saved: func(t *testing.T, h *house) (all []string) {
		t.Helper()
		rows, err := h.store.APITokens(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, k := range rows {
			if k.Name == "doors" {
				continue
			}
			days := 0
			if k.ExpiresAt > 0 {
				days = int(time.UnixMilli(k.ExpiresAt).Sub(time.UnixMilli(k.CreatedAt)).Round(time.Hour) / (24 * time.Hour))
			}
			all = append(all, fmt.Sprintf("%q %s for %d days", k.Name, k.Role, days))
			if _, err := h.store.RemoveAPIToken(t.Context(), "test", k.ID); err != nil {
				t.Fatal(err)
			}
		}
		return all
	},
	cases: withNames(func(name string) newToken { return newToken{Name: name, Role: store.Viewer} }, map[string]doorCase[newToken]{
		"100 characters":  {in: newToken{Name: strings.Repeat("ü", 100), Role: store.Viewer}},
		"an admin's":      {in: newToken{Name: "x", Role: store.Admin, Days: 90}},
		"no role":         {in: newToken{Name: "x"}, bad: "role"},
		"no such role":    {in: newToken{Name: "x", Role: "king"}, bad: "role"},
		"for one day":     {in: newToken{Name: "x", Role: store.Viewer, Days: 1}},
		"as long as any":  {in: newToken{Name: "x", Role: store.Viewer, Days: 3650}},
		"too long":        {in: newToken{Name: "x", Role: store.Viewer, Days: 3651}, bad: "days"},
		"for ages":        {in: newToken{Name: "x", Role: store.Viewer, Days: ages}, bad: "days"},
		"less than a day": {in: newToken{Name: "x", Role: store.Viewer, Days: -1}, bad: "days"},
	}),
}

// ages are days that overflow a time.Duration, or nearly do.
const ages = min(213_503_982_334_601, math.MaxInt)

func consumerRows(t *testing.T, h *house) (all []string) {
	t.Helper()
	rows, err := h.store.MQTTUsers(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, u := range rows {
		all = append(all, fmt.Sprintf("%q may do: %t, tags %q, Home Assistant: %t", u.Name, u.MayDo, u.Tags, u.HomeAssistant))
		if err := h.store.RemoveMQTTUser(t.Context(), "test", u.Name); err != nil {
			t.Fatal(err)
		}
	}
	return all
}

type newConsumer struct {
	Name      string
	MayDo     bool
	Tags      []string
	Assistant bool
}

var newConsumers = subject[newConsumer]{
	service: func(t *testing.T, h *house, in newConsumer) error {
		_, _, err := consumersOf(h.store).Add(t.Context(), store.Maker{Name: "test"}, consumers.Input{Name: &in.Name, MayDo: &in.MayDo,
			Tags: &in.Tags, HomeAssistant: &in.Assistant})
		return err
	},
	doors: map[string]func(t *testing.T, h *house, in newConsumer) (bool, string){
		theForm: func(_ *testing.T, h *house, in newConsumer) (bool, string) {
			status, text := h.ask("POST", "/mqtt/new", formOf(in.Name, consumers.Input{MayDo: &in.MayDo, Tags: &in.Tags,
				HomeAssistant: &in.Assistant}))
			return status == http.StatusOK, text
		},
		theAPI: func(t *testing.T, h *house, in newConsumer) (bool, string) {
			status, text := h.ask("POST", "/api/consumers", map[string]any{"name": in.Name, "do": in.MayDo, "tags": in.Tags,
				"home_assistant": in.Assistant})
			return status == http.StatusCreated, detail(t, text)
		},
		theCommandLine: func(_ *testing.T, h *house, in newConsumer) (bool, string) {
			args := []string{"mqtt-user", "create", fmt.Sprintf("--do=%t", in.MayDo), in.Name}
			for _, tag := range in.Tags {
				args = append(args, "--tag", tag)
			}
			if in.Assistant {
				args = append(args, "--home-assistant")
			}
			text, code := h.tell(args...)
			return code == 0, text
		},
	},
	saved: consumerRows,
	cases: withNames(func(name string) newConsumer { return newConsumer{Name: name} }, map[string]doorCase[newConsumer]{
		"100 characters": {in: newConsumer{Name: strings.Repeat("ü", 100)}},
		"it may do":      {in: newConsumer{Name: "home", MayDo: true}},
		"two tags":       {in: newConsumer{Name: "home", Tags: []string{"Web", "site=berlin", "web"}}},
		"Home Assistant": {in: newConsumer{Name: "home", MayDo: true, Assistant: true}},
		"no such tag":    {in: newConsumer{Name: "home", Tags: []string{"a!"}}, bad: "tags"},
		"33 tags":        {in: newConsumer{Name: "home", Tags: numbered(33)}, bad: "tags"},
		"everybody's":    {in: newConsumer{Name: "external"}, bad: "name"},
		"a slash":        {in: newConsumer{Name: "ho/me"}, bad: "name"},
		"a plus":         {in: newConsumer{Name: "ho+me"}, bad: "name"},
		"a hash":         {in: newConsumer{Name: "#"}, bad: "name"},
	}),
}

func numbered(n int) (tags []string) {
	for i := range n {
		tags = append(tags, fmt.Sprintf("t%d", i))
	}
	return tags
}

func formOf(name string, in consumers.Input) url.Values {
	form := url.Values{"name": {name}}
	if in.MayDo != nil && *in.MayDo {
		form.Set("do", "1")
	}
	if in.HomeAssistant != nil && *in.HomeAssistant {
		form.Set("home_assistant", "1")
	}
	if in.Tags != nil {
		form.Set("tags", strings.Join(*in.Tags, " "))
	}
	return form
}

var changedConsumers = subject[consumers.Input]{
	before: func(t *testing.T, h *house) {
		t.Helper()
		row := store.MQTTUser{Name: "home", KeyHash: []byte("x"), MayDo: true, Tags: store.List{"old"}}
		if err := h.store.AddMQTTUser(t.Context(), store.Maker{Name: "test"}, row); err != nil {
			t.Fatal(err)
		}
	},
	service: func(t *testing.T, h *house, in consumers.Input) error {
		_, err := consumersOf(h.store).Change(t.Context(), store.Maker{Name: "test"}, "home", in)
		return err
	},
	doors: map[string]func(t *testing.T, h *house, in consumers.Input) (bool, string){
		theForm: func(_ *testing.T, h *house, in consumers.Input) (bool, string) {
			status, text := h.ask("POST", "/mqtt/consumers/home/rights", formOf("", in))
			return status == http.StatusOK, text
		},
		theAPI: func(t *testing.T, h *house, in consumers.Input) (bool, string) {
			body := map[string]any{}
			for key, v := range map[string]*bool{"do": in.MayDo, "home_assistant": in.HomeAssistant} {
				if v != nil {
					body[key] = *v
				}
			}
			if in.Tags != nil {
				body["tags"] = *in.Tags
			}
			status, text := h.ask("PATCH", "/api/consumers/home", body)
			return status == http.StatusOK, detail(t, text)
		},
		theCommandLine: func(_ *testing.T, h *house, in consumers.Input) (bool, string) {
			args := []string{"mqtt-user", "change", "home"}
			if in.MayDo != nil {
				args = append(args, fmt.Sprintf("--do=%t", *in.MayDo))
			}
			if in.HomeAssistant != nil {
				args = append(args, fmt.Sprintf("--home-assistant=%t", *in.HomeAssistant))
			}
			if in.Tags != nil && len(*in.Tags) == 0 {
				args = append(args, "--all-hosts")
			} else if in.Tags != nil {
				for _, tag := range *in.Tags {
					args = append(args, "--tag", tag)
				}
			}
			text, code := h.tell(args...)
			return code == 0, text
		},
	},
	saved: consumerRows,
	cases: map[string]doorCase[consumers.Input]{
		"another name":     {in: consumers.Input{Name: new("attic")}, bad: "name", not: []string{theForm, theAPI, theCommandLine}},
		"it may do":        {in: consumers.Input{MayDo: new(true)}},
		"it may only read": {in: consumers.Input{MayDo: new(false)}},
		"other tags":       {in: consumers.Input{MayDo: new(true), Tags: &[]string{"web", "db"}}},
		"all hosts":        {in: consumers.Input{MayDo: new(true), Tags: &[]string{}}},
		"no such tag":      {in: consumers.Input{MayDo: new(true), Tags: &[]string{"a!"}}, bad: "tags"},
		"Home Assistant":   {in: consumers.Input{MayDo: new(true), HomeAssistant: new(true)}},
		"only its tags":    {in: consumers.Input{Tags: &[]string{"web"}}, not: []string{theForm}},
	},
}

// Names that an older version took are shown so that no terminal obeys them, and
// what has them can still be ended.
func TestNamesOfTokensAndConsumersOfBeforeAreShownAndCanGo(t *testing.T) {
	h := newHouse(t)
	const name = "..\x1b[2J\nattic"
	if _, err := h.store.AddAPIToken(t.Context(), store.Maker{Name: "test"}, store.APIToken{ID: "token-0001", Name: name,
		Role: store.Viewer, KeyHash: []byte("k")}); err != nil {
		t.Fatal(err)
	}
	if err := h.store.AddMQTTUser(t.Context(), store.Maker{Name: "test"}, store.MQTTUser{Name: name, KeyHash: []byte("k")}); err != nil {
		t.Fatal(err)
	}
	for _, list := range []string{"api-token", "mqtt-user"} {
		text, code := h.tell(list, "list")
		if code != 0 || strings.Contains(text, "\x1b") || !strings.Contains(text, `..\nattic`) {
			t.Errorf("%s list, exit status %d: %q", list, code, text)
		}
	}
	for _, args := range [][]string{{"api-token", "revoke", "token-0001"}, {"mqtt-user", "revoke", name}} {
		if text, code := h.tell(args...); code != 0 {
			t.Errorf("%q: %s", args, text)
		}
		if text, code := h.tell(args...); code != 1 || strings.Contains(text, "\x1b") {
			t.Errorf("%q again, exit status %d: %q", args, code, text)
		}
	}
}

// What the API is asked for at once is done at once, or not at all.
func TestAUserIsChangedInOneStep(t *testing.T) {
	h := newHouse(t)
	hash, err := password.Hash(goodPassword)
	if err != nil {
		t.Fatal(err)
	}
	if err := h.store.AddUser(t.Context(), "test", store.User{ID: "user-bob-1", Name: "bob",
		Role: store.Viewer, PasswordHash: hash}); err != nil {
		t.Fatal(err)
	}
	if status, text := h.ask("PATCH", "/api/users/user-bob-1", map[string]any{"role": "admin", "disabled": false}); status != http.StatusOK {
		t.Fatalf("%d %s", status, text)
	}
	// He is the only administrator with a password.
	status, text := h.ask("PATCH", "/api/users/user-bob-1", map[string]any{"role": "operator", "disabled": true})
	if u := bob(t, h); status != http.StatusConflict || u.Role != store.Admin || u.DisabledAt != 0 {
		t.Errorf("%d %s; he is %+v", status, text, u)
	}
}
