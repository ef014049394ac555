package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"maps"
	"math/big"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/hosts"
	"github.com/restic-manager/restic-manager/controlplane/maintenance"
	"github.com/restic-manager/restic-manager/controlplane/repositories"
	"github.com/restic-manager/restic-manager/controlplane/sources"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
)

// newRepository is a repository as every door can say it.
type newRepository struct {
	Name, URL, Password string
	Env                 map[string]topics.Secret // of the everyday credential
	MaintenanceURL      string
	MaintenanceEnv      map[string]topics.Secret
	Keeper              string
	AppendOnly          bool
	Keep                store.Keep
	Files               map[string]topics.Secret // that are pasted, of the everyday credential
	MaintenanceFiles    map[string]topics.Secret
	Options             map[string]string
}

// counts are the rules of retention that are numbers, by their names in the API
// and on the command line.
func (r newRepository) counts() map[string]int {
	k := r.Keep
	return map[string]int{"last": k.Last, "hourly": k.Hourly, "daily": k.Daily, "weekly": k.Weekly, "monthly": k.Monthly, "yearly": k.Yearly}
}

// spans are those that are times.
func (r newRepository) spans() map[string]string {
	k := r.Keep
	return map[string]string{
		"within":         k.Within,
		"within_hourly":  k.WithinHourly,
		"within_daily":   k.WithinDaily,
		"within_weekly":  k.WithinWeekly,
		"within_monthly": k.WithinMonthly,
		"within_yearly":  k.WithinYearly,
	}
}

// vault is a good repository, changed.
func vault(edit func(*newRepository)) newRepository {
	r := newRepository{Name: "nas", URL: "rest:https://nas:8000/attic", Password: "correct horse"}
	edit(&r)
	return r
}

var newRepositories = subject[newRepository]{
	service: func(t *testing.T, h *house, in newRepository) error {
		want := repositories.Input{
			Name:       &in.Name,
			URL:        new(topics.Secret(in.URL)),
			Password:   new(topics.Secret(in.Password)),
			Everyday:   &repositories.Credential{Env: in.Env, Files: in.Files},
			Options:    &in.Options,
			Keeper:     &in.Keeper,
			AppendOnly: &in.AppendOnly,
			Keep:       &in.Keep,
		}
		if in.MaintenanceURL != "" || in.MaintenanceEnv != nil || in.MaintenanceFiles != nil {
			want.Maintenance = &repositories.Credential{URL: new(topics.Secret(in.MaintenanceURL)), Env: in.MaintenanceEnv,
				Files: in.MaintenanceFiles}
		}
		_, err := (&repositories.Service{Store: h.store}).Add(t.Context(), "test", want)
		return err
	},
	doors: map[string]func(t *testing.T, h *house, in newRepository) (bool, string){
		theForm: func(_ *testing.T, h *house, in newRepository) (bool, string) {
			form := url.Values{
				"name":            {in.Name},
				"url":             {in.URL},
				"password":        {in.Password},
				"keeper":          {in.Keeper},
				"maintenance.url": {in.MaintenanceURL},
			}
			if in.AppendOnly {
				form.Set("append_only", "1")
			}
			for prefix, env := range map[string]map[string]topics.Secret{"everyday": in.Env, "maintenance": in.MaintenanceEnv} {
				for name, v := range env {
					form.Set(prefix+".variables", form.Get(prefix+".variables")+name+"="+v.Reveal()+"\n")
				}
			}
			for name, v := range in.Files {
				form.Set("everyday.file."+name, v.Reveal())
			}
			for name, v := range in.MaintenanceFiles {
				form.Set("maintenance.file."+name, v.Reveal())
			}
			for name, v := range in.Options {
				form.Set("option."+name, v)
			}
			for name, text := range in.spans() {
				form.Set("keep_"+name, text)
			}
			for name, n := range in.counts() {
				form.Set("keep_"+name, strconv.Itoa(n))
			}
			status, text := h.ask("POST", "/repositories/new", form)
			return status == http.StatusSeeOther, text
		},
		theAPI: func(t *testing.T, h *house, in newRepository) (bool, string) {
			body := map[string]any{"name": in.Name, "url": in.URL, "password": in.Password, "keeper": in.Keeper, "append_only": in.AppendOnly,
				"retention": in.Keep, "env": plain(in.Env), "everyday": map[string]any{"files": plain(in.Files)}}
			if in.Options != nil {
				body["options"] = in.Options
			}
			if in.MaintenanceURL != "" || in.MaintenanceEnv != nil || in.MaintenanceFiles != nil {
				body["maintenance"] = map[string]any{"url": in.MaintenanceURL, "env": plain(in.MaintenanceEnv),
					"files": plain(in.MaintenanceFiles)}
			}
			status, text := h.ask("POST", "/api/repositories", body)
			return status == http.StatusCreated, detail(t, text)
		},
		theCommandLine: func(t *testing.T, h *house, in newRepository) (bool, string) {
			args := []string{"repository", "add", in.Name, "--url=" + in.URL, "--keeper=" + in.Keeper, "--password-file=" + written(t, in.Password),
				"--env-file=" + written(t, lines(in.Env))}
			if in.AppendOnly {
				args = append(args, "--append-only")
			}
			if in.MaintenanceURL != "" {
				args = append(args, "--maintenance-url="+in.MaintenanceURL)
			}
			if in.MaintenanceEnv != nil {
				args = append(args, "--maintenance-env-file="+written(t, lines(in.MaintenanceEnv)))
			}
			for name, text := range in.Files {
				args = append(args, "--file="+name+"="+written(t, text.Reveal()))
			}
			for name, text := range in.MaintenanceFiles {
				args = append(args, "--maintenance-file="+name+"="+written(t, text.Reveal()))
			}
			for name, value := range in.Options {
				args = append(args, "--option="+name+"="+value)
			}
			for name, text := range in.spans() {
				if text != "" {
					args = append(args, "--keep="+strings.ReplaceAll(name, "_", "-")+"="+text)
				}
			}
			for name, n := range in.counts() {
				if n != 0 {
					args = append(args, "--keep="+name+"="+strconv.Itoa(n))
				}
			}
			text, code := h.tell(args...)
			return code == 0, text
		},
	},
	saved: func(t *testing.T, h *house) (all []string) {
		rows, err := h.store.Repositories(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range rows {
			if r.ID == h.repository {
				continue
			}
			a, err := h.store.RepositoryAccess(t.Context(), r.ID)
			if err != nil {
				t.Fatal(err)
			}
			said := fmt.Sprintf("%q at %q, keeper %t, append-only %t, %q, %q, %q", r.Name, r.Location, r.Keeper != "", r.AppendOnly, a.URL.Reveal(),
				a.Password.Reveal(), lines(a.Env))
			if r.Keep.V != nil {
				said += fmt.Sprintf(", keeps %+v", *r.Keep.V)
			}
			said += fmt.Sprintf(", pasted %q", lines(a.Files))
			if r.Options.V != nil {
				said += fmt.Sprintf(", options %v", *r.Options.V)
			}
			if m := a.Maintenance; m != nil {
				said += fmt.Sprintf(", maintenance %q %q %q", m.URL.Reveal(), lines(m.Env), lines(m.Files))
			}
			all = append(all, said)
			if err := h.store.RemoveRepository(t.Context(), "test", r.ID, false); err != nil {
				t.Fatal(err)
			}
		}
		return all
	},
	cases: withNames(func(name string) newRepository {
		return vault(func(r *newRepository) { r.Name = name })
	}, map[string]doorCase[newRepository]{
		"100 characters": {in: vault(func(r *newRepository) { r.Name = strings.Repeat("ü", 100) })},
		"certificates and options": {in: vault(func(r *newRepository) {
			r.Files = map[string]topics.Secret{"RESTIC_CACERT": testCA(), "RESTIC_TLS_CLIENT_CERT": testCA() + testKey()}
			r.MaintenanceFiles = map[string]topics.Secret{"RESTIC_TLS_CLIENT_CERT": testKey() + testCA()}
			r.Options = map[string]string{"rest.connections": "9"}
		})},
		"a key for a CA": {in: vault(func(r *newRepository) {
			r.Files = map[string]topics.Secret{"RESTIC_CACERT": testKey()}
		}), bad: "everyday"},
		"a client without its key": {in: vault(func(r *newRepository) {
			r.MaintenanceFiles = map[string]topics.Secret{"RESTIC_TLS_CLIENT_CERT": testCA()}
		}), bad: "maintenance"},
		"a service account of another kind": {in: vault(func(r *newRepository) {
			r.Files = map[string]topics.Secret{"GOOGLE_APPLICATION_CREDENTIALS": "{}"}
		}), bad: "everyday", not: []string{theForm}},
		"an option with a wrong value": {in: vault(func(r *newRepository) {
			r.Options = map[string]string{"rest.connections": "many"}
		}), bad: "options"},
		"a program for an option": {in: vault(func(r *newRepository) {
			r.Options = map[string]string{"rclone.program": "/bin/sh"}
		}), bad: "options", not: []string{theForm}},
		"all of it": {in: vault(func(r *newRepository) {
			r.Env = map[string]topics.Secret{"RESTIC_REST_USERNAME": "attic", "RESTIC_REST_PASSWORD": "hush"}
			r.MaintenanceURL, r.MaintenanceEnv = "rest:https://nas:8001/attic", map[string]topics.Secret{"RESTIC_REST_USERNAME": "keeper"}
			r.Keeper, r.AppendOnly, r.Keep = "attic", true, store.Keep{Within: "30d", WithinDaily: "1y"}
		})},
		"spaces around the URL":      {in: vault(func(r *newRepository) { r.URL = " /srv/vault " })},
		"a password in the URL":      {in: vault(func(r *newRepository) { r.URL = "rest:https://attic:hush@nas:8000/attic" })},
		"no URL":                     {in: vault(func(r *newRepository) { r.URL = "" }), bad: "url"},
		"a relative path":            {in: vault(func(r *newRepository) { r.URL = "srv/vault" }), bad: "url"},
		"a port in an sftp path":     {in: vault(func(r *newRepository) { r.URL = "sftp:root@nas:2222:/vault" }), bad: "url"},
		"a port in an sftp URL":      {in: vault(func(r *newRepository) { r.URL = "sftp://root@nas:2222//vault" })},
		"a user of a domain":         {in: vault(func(r *newRepository) { r.URL = "sftp:me@example.org@nas:/vault" })},
		"a raw character in a login": {in: vault(func(r *newRepository) { r.URL = "rest:https://a:b%c@nas/vault" }), bad: "url"},
		"REST without its scheme":    {in: vault(func(r *newRepository) { r.URL = "rest:nas:8000/vault" }), bad: "url"},
		"a place for each host":      {in: vault(func(r *newRepository) { r.URL = "rest:https://nas:8000/x/{host}/" })},
		"another word in braces":     {in: vault(func(r *newRepository) { r.URL = "rest:https://nas:8000/{hostname}/" }), bad: "url"},
		"an option to ssh":           {in: vault(func(r *newRepository) { r.URL = "sftp:-oProxyCommand=x:/srv" }), bad: "url"},
		"an escape in the URL":       {in: vault(func(r *newRepository) { r.URL = "/srv/\x1b[2Jvault" }), bad: "url"},
		"a line break in the URL":    {in: vault(func(r *newRepository) { r.URL = "/srv\n/vault" }), bad: "url"},
		"a URL that is too long":     {in: vault(func(r *newRepository) { r.URL = "/" + strings.Repeat("x", 2000) }), bad: "url"},
		"no password":                {in: vault(func(r *newRepository) { r.Password = "" }), bad: "password"},
		"a password of 1001 bytes":   {in: vault(func(r *newRepository) { r.Password = strings.Repeat("x", 1001) }), bad: "password"},
		"a line break in it":         {in: vault(func(r *newRepository) { r.Password = "a\nb" }), bad: "password", not: []string{theCommandLine}},
		"a NUL in it":                {in: vault(func(r *newRepository) { r.Password = "a\x00b" }), bad: "password"},
		"a variable for a program": {in: vault(func(r *newRepository) {
			r.Env = map[string]topics.Secret{"RESTIC_PASSWORD_COMMAND": "id"}
		}), bad: "everyday", not: []string{theForm}},
		"a line break in a variable": {in: vault(func(r *newRepository) {
			r.Env = map[string]topics.Secret{"RESTIC_REST_USERNAME": "a\nb"}
		}), bad: "everyday",
			not: []string{theCommandLine, theForm}}, // which read lines: it is two of them
		"variables that are too long": {in: vault(func(r *newRepository) {
			r.Env = map[string]topics.Secret{"RESTIC_REST_USERNAME": topics.Secret(strings.Repeat("x", 9000))}
		}), bad: "everyday"},
		"a bad URL of the keeper": {in: vault(func(r *newRepository) { r.MaintenanceURL = "nowhere" }), bad: "maintenance"},
		"a bad variable of its": {in: vault(func(r *newRepository) {
			r.MaintenanceEnv = map[string]topics.Secret{"PATH": "/tmp"}
		}), bad: "maintenance",
			not: []string{theForm}},
		"a keeper nobody knows": {in: vault(func(r *newRepository) { r.Keeper = "cellar" }), bad: "keeper"},
		"a span that is none":   {in: vault(func(r *newRepository) { r.Keep.Within = "30 days" }), bad: "retention"},
		"an escape in a span":   {in: vault(func(r *newRepository) { r.Keep.WithinDaily = "\x1b[2J" }), bad: "retention"},
		"two spans that are none": {in: vault(func(r *newRepository) {
			r.Keep.Within, r.Keep.WithinYearly = "x", "0d"
		}), bad: "retention"},
		"a count below 0":              {in: vault(func(r *newRepository) { r.Keep.Last = -1 }), bad: "retention"},
		"a count that is too large":    {in: vault(func(r *newRepository) { r.Keep.Daily = 100_001 }), bad: "retention"},
		"counts where anybody can add": {in: vault(func(r *newRepository) { r.AppendOnly, r.Keep.Daily = true, 7 }), bad: "retention"},
	}),
}

// plain is variables without the type that hides them.
func plain(env map[string]topics.Secret) map[string]string {
	out := map[string]string{}
	for name, v := range env {
		out[name] = v.Reveal()
	}
	return out
}

// testPair is a certificate and its key, the same for all that ask.
var testPair = sync.OnceValues(func() (cert, key topics.Secret) {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	is := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "our CA"}, NotAfter: time.Now().AddDate(1, 0, 0)}
	der, err := x509.CreateCertificate(rand.Reader, is, is, &k.PublicKey, k)
	if err != nil {
		panic(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		panic(err)
	}
	return topics.Secret(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
		topics.Secret(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}))
})

func testCA() topics.Secret {
	cert, _ := testPair()
	return cert
}

func testKey() topics.Secret {
	_, key := testPair()
	return key
}

// lines is variables as a file has them.
func lines(env map[string]topics.Secret) string {
	var all []string
	for _, name := range slices.Sorted(maps.Keys(env)) {
		all = append(all, name+"="+env[name].Reveal())
	}
	return strings.Join(all, "\n")
}

// written is a file of a text.
func written(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "text")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// A name that is taken is no bad field but a conflict, for every door.
func TestEveryDoorSaysThatANameIsTaken(t *testing.T) {
	h := newHouse(t)
	in := vault(func(r *newRepository) { r.Name = "vault" })
	for door, ask := range newRepositories.doors {
		if taken, said := ask(t, h, in); taken || !strings.Contains(said, "of this name already") &&
			!strings.Contains(said, "Names of repositories are their own.") {
			t.Errorf("%s: taken %t\n%.2000s", door, taken, said)
		}
	}
	if rows := newRepositories.saved(t, h); len(rows) != 0 {
		t.Errorf("saved %q", rows)
	}
}

// newGroup is a source group as the form and the API can say it.
type newGroup struct {
	Name, Repository string
	Paths, Excludes  []string
	OneFileSystem    bool
	AllowEmpty       bool
	Live, ShadowOnly bool
	Before           []string // hooks
	Limits           topics.Limits
	Tuning           topics.Tuning
}

func letters(edit func(*newGroup)) newGroup {
	g := newGroup{Name: "music", Repository: "vault", Paths: []string{"/music"}}
	edit(&g)
	return g
}

var groups = subject[newGroup]{
	before: func(t *testing.T, h *house) { // a group cannot be removed, so each attempt has a host of its own
		id := topics.NewID(time.Now())
		hash := sha256.Sum256([]byte(id))
		if err := h.store.AddEnrollToken(t.Context(), store.EnrollToken{
			ID:        id,
			KeyHash:   hash[:],
			CreatedBy: "test",
			ExpiresAt: h.store.Now() + 60_000,
		}); err != nil {
			t.Fatal(err)
		}
		row, err := h.store.Enroll(t.Context(), hash[:], store.Host{ID: topics.HostID(id), SealKey: []byte("k"), Serial: "1", Hostname: "cellar"})
		if err != nil {
			t.Fatal(err)
		}
		h.host = row.ID
	},
	service: func(t *testing.T, h *house, in newGroup) error {
		_, err := (&sources.Service{Store: h.store}).Add(t.Context(), "test", h.host, in.Name, sources.Input{
			Repository:    &in.Repository,
			Paths:         &in.Paths,
			Excludes:      &in.Excludes,
			OneFileSystem: &in.OneFileSystem,
			AllowEmpty:    &in.AllowEmpty,
			LiveFiles:     &in.Live,
			ShadowOnly:    &in.ShadowOnly,
			Hooks:         &topics.Hooks{Before: in.Before},
			Limits:        &in.Limits,
			Tuning:        &in.Tuning,
		})
		return err
	},
	doors: map[string]func(t *testing.T, h *house, in newGroup) (bool, string){
		theForm: func(_ *testing.T, h *house, in newGroup) (bool, string) {
			form := url.Values{
				"name":         {in.Name},
				"repository":   {in.Repository},
				"paths":        {strings.Join(in.Paths, "\n")},
				"excludes":     {strings.Join(in.Excludes, "\n")},
				"hook_before":  in.Before,
				"limits_zone":  {in.Limits.Zone},
				"upload_kib":   {strconv.Itoa(in.Limits.UploadKiB)},
				"download_kib": {strconv.Itoa(in.Limits.DownloadKiB)},

				"compression":        {in.Tuning.Compression},
				"pack_size":          {strconv.Itoa(in.Tuning.PackSizeMiB)},
				"read_concurrency":   {strconv.Itoa(in.Tuning.ReadConcurrency)},
				"exclude_larger":     {in.Tuning.ExcludeLarger},
				"exclude_if_present": {strings.Join(in.Tuning.ExcludeIfPresent, "\n")},
			}
			for name, set := range map[string]bool{"exclude_caches": in.Tuning.ExcludeCaches, "with_atime": in.Tuning.WithATime,
				"no_scan": in.Tuning.NoScan} {
				if set {
					form.Set(name, "1")
				}
			}
			if in.OneFileSystem {
				form.Set("one_file_system", "1")
			}
			if in.AllowEmpty {
				form.Set("allow_empty", "1")
			}
			if in.Limits.From != in.Limits.To {
				form.Set("limits_from", fmt.Sprintf("%02d:%02d", in.Limits.From/60, in.Limits.From%60))
				form.Set("limits_to", fmt.Sprintf("%02d:%02d", in.Limits.To/60, in.Limits.To%60))
			}
			status, text := h.ask("POST", "/hosts/"+string(h.host)+"/source-groups/new", form)
			return status == http.StatusSeeOther, text
		},
		theAPI: func(t *testing.T, h *house, in newGroup) (bool, string) {
			body := map[string]any{
				"repository":      in.Repository,
				"paths":           append([]string{}, in.Paths...),
				"excludes":        append([]string{}, in.Excludes...),
				"one_file_system": in.OneFileSystem,
				"allow_empty":     in.AllowEmpty,
				"live_files":      in.Live,

				"shadow_copy_only": in.ShadowOnly,

				"hooks":  topics.Hooks{Before: in.Before},
				"limits": in.Limits,
				"tuning": in.Tuning,
			}
			status, text := h.ask("PUT", "/api/hosts/"+string(h.host)+"/source-groups/"+url.PathEscape(in.Name), body)
			return status == http.StatusOK, detail(t, text)
		},
		theCommandLine: func(_ *testing.T, h *house, in newGroup) (bool, string) {
			args := []string{"group", "set", "--repository=" + in.Repository, fmt.Sprintf("--one-file-system=%t", in.OneFileSystem),
				fmt.Sprintf("--allow-empty=%t", in.AllowEmpty), fmt.Sprintf("--live-files=%t", in.Live),
				fmt.Sprintf("--shadow-copy-only=%t", in.ShadowOnly), "--compression=" + in.Tuning.Compression,
				fmt.Sprintf("--pack-size=%d", in.Tuning.PackSizeMiB), fmt.Sprintf("--read-concurrency=%d", in.Tuning.ReadConcurrency),
				fmt.Sprintf("--exclude-caches=%t", in.Tuning.ExcludeCaches), "--exclude-larger-than=" + in.Tuning.ExcludeLarger,
				fmt.Sprintf("--with-atime=%t", in.Tuning.WithATime), fmt.Sprintf("--scan=%t", !in.Tuning.NoScan)}
			for _, name := range in.Tuning.ExcludeIfPresent {
				args = append(args, "--exclude-if-present="+name)
			}
			for _, p := range in.Paths {
				args = append(args, "--path="+p)
			}
			for _, e := range in.Excludes {
				args = append(args, "--exclude="+e)
			}
			text, code := h.tell(append(args, string(h.host), in.Name)...)
			return code == 0, text
		},
	},
	saved: func(t *testing.T, h *house) (all []string) {
		rows, err := h.store.SourceGroups(t.Context(), h.host)
		if err != nil {
			t.Fatal(err)
		}
		for _, g := range rows {
			topic := g.Topic()
			topic.ID = ""
			all = append(all, fmt.Sprintf("%s in %t", topics.Encode(topic), g.Repository == h.repository))
		}
		return all
	},
	cases: func() map[string]doorCase[newGroup] {
		cases := withNames(func(name string) newGroup { return letters(func(g *newGroup) { g.Name = name }) }, map[string]doorCase[newGroup]{
			"100 characters": {in: letters(func(g *newGroup) { g.Name = strings.Repeat("ü", 100) })},
			"all of it": {in: letters(func(g *newGroup) {
				g.Excludes, g.OneFileSystem, g.AllowEmpty, g.Before = []string{"*.tmp"}, true, true, []string{"dump-db"}
				g.Limits = topics.Limits{UploadKiB: 512, From: 8 * 60, To: 18 * 60, Zone: "Europe/Berlin"}
			})},
			"how restic does it": {in: letters(func(g *newGroup) {
				g.Tuning = topics.Tuning{Compression: "max", PackSizeMiB: 64, ReadConcurrency: 8, ExcludeCaches: true, ExcludeLarger: "500M",
					ExcludeIfPresent: []string{".nobackup", "CACHEDIR.TAG:Signature"}, WithATime: true, NoScan: true}
			})},
			"a compression there is not": {in: letters(func(g *newGroup) { g.Tuning.Compression = "zip\x1b[2J" }), bad: "tuning"},
			"packs that are too large":   {in: letters(func(g *newGroup) { g.Tuning.PackSizeMiB = 129 }), bad: "tuning"},
			"packs that are too small":   {in: letters(func(g *newGroup) { g.Tuning.PackSizeMiB = 3 }), bad: "tuning"},
			"too many files at once":     {in: letters(func(g *newGroup) { g.Tuning.ReadConcurrency = 33 }), bad: "tuning"},
			"a size that is none":        {in: letters(func(g *newGroup) { g.Tuning.ExcludeLarger = "large" }), bad: "tuning"},
			"a path for a name":          {in: letters(func(g *newGroup) { g.Tuning.ExcludeIfPresent = []string{"a/b"} }), bad: "tuning"},
			"what leaves out all":        {in: letters(func(g *newGroup) { g.Excludes = []string{"*", "a,b"} })},
			"it may be empty":            {in: letters(func(g *newGroup) { g.AllowEmpty = true })},
			"only with a shadow copy":    {in: letters(func(g *newGroup) { g.ShadowOnly = true })},
			"the files themselves":       {in: letters(func(g *newGroup) { g.Live = true })},
			"both of it":                 {in: letters(func(g *newGroup) { g.Live, g.ShadowOnly = true, true }), bad: "shadow_copy_only"},
			"no repository":              {in: letters(func(g *newGroup) { g.Repository = "" }), bad: "repository"},
			"one nobody knows":           {in: letters(func(g *newGroup) { g.Repository = "cellar\x1b[2J" }), bad: "repository"},
			"no path":                    {in: letters(func(g *newGroup) { g.Paths = nil }), bad: "paths"},
			"a relative path":            {in: letters(func(g *newGroup) { g.Paths = []string{"music"} }), bad: "paths"},
			"a NUL in a path":            {in: letters(func(g *newGroup) { g.Paths = []string{"/mu\x00sic"} }), bad: "paths"},
			"a line break in a path":     {in: letters(func(g *newGroup) { g.Paths = []string{"/mu\nsic"} }), bad: "paths", not: []string{theForm}},
			"too many paths":             {in: letters(func(g *newGroup) { g.Paths = slices.Repeat([]string{"/music"}, 1001) }), bad: "paths"},
			"too many patterns":          {in: letters(func(g *newGroup) { g.Excludes = slices.Repeat([]string{"*.tmp"}, 1001) }), bad: "excludes"},
			"paths that are too long": {in: letters(func(g *newGroup) {
				g.Paths = slices.Repeat([]string{"/" + strings.Repeat("x", 100)}, 400)
			}), bad: "excludes"},
			"a NUL in a pattern":     {in: letters(func(g *newGroup) { g.Excludes = []string{"a\x00b"} }), bad: "excludes"},
			"an open set":            {in: letters(func(g *newGroup) { g.Excludes = []string{"*.tmp", "[a"} }), bad: "excludes"},
			"a backslash at the end": {in: letters(func(g *newGroup) { g.Excludes = []string{`\[a`, `cache\`} }), bad: "excludes"},
			"an exclamation mark":    {in: letters(func(g *newGroup) { g.Excludes = []string{"!"} }), bad: "excludes"},
			"a blank pattern":        {in: letters(func(g *newGroup) { g.Excludes = []string{"a", " "} }), bad: "excludes", not: []string{theForm}},
			"an empty pattern":       {in: letters(func(g *newGroup) { g.Excludes = []string{""} }), bad: "excludes", not: []string{theForm}},
			"sets that end": {in: letters(func(g *newGroup) {
				g.Excludes = []string{`\[a`, "[a-z]", "[[]", `a\\`, "!/music/keep", "#x", "a "}
			})},
			"a folder of Windows": {in: letters(func(g *newGroup) { g.Paths, g.Excludes = []string{`C:\Music`}, []string{`C:\Music\Cache\`} })},
			"a hook with a space": {in: letters(func(g *newGroup) { g.Before = []string{"dump db"} }), bad: "hooks"},
			"a zone there is not": {in: letters(func(g *newGroup) { g.Limits.Zone = "Europe/Atlantis" }), bad: "limits"},
			"an escape in a zone": {in: letters(func(g *newGroup) { g.Limits.Zone = "\x1b[2J" }), bad: "limits"},
			"a bandwidth below 0": {in: letters(func(g *newGroup) { g.Limits.DownloadKiB = -5 }), bad: "limits"},
		})
		for what, c := range cases {
			if c.in.Name == "" { // the API's address has no place for it
				c.not = append(c.not, theAPI)
			}
			if c.in.Live || c.in.ShadowOnly { // the form asks hosts with Windows alone, see the tests of controlplane/web
				c.not = append(c.not, theForm)
			}
			if len(c.in.Before) > 0 || c.in.Limits != (topics.Limits{}) {
				c.not = append(c.not, theCommandLine)
			}
			cases[what] = c
		}
		return cases
	}(),
}

// checkHours are the hours of a check, with those of forget and prune as usual.
type checkHours struct {
	Weekday, Hour string
	Paused        bool
	Slices        int
}

var hours = subject[checkHours]{
	service: func(t *testing.T, h *house, in checkHours) error {
		runner := maintenance.NewRunner(maintenance.Config{Store: h.store, Changed: func(...topics.HostID) {}, Now: time.Now})
		usual := maintenance.Input{Weekday: new(maintenance.Daily), Hour: new("04:00"), Paused: new(false)}
		return runner.PutHours(t.Context(), "test", h.repository, map[topics.JobKind]maintenance.Input{
			topics.ForgetJob: usual,
			topics.PruneJob:  usual,
			topics.CheckJob:  {Weekday: &in.Weekday, Hour: &in.Hour, Paused: &in.Paused, Slices: &in.Slices},
		})
	},
	doors: map[string]func(t *testing.T, h *house, in checkHours) (bool, string){
		theForm: func(_ *testing.T, h *house, in checkHours) (bool, string) {
			form := url.Values{"check.weekday": {in.Weekday}, "check.hour": {in.Hour}, "check.slices": {strconv.Itoa(in.Slices)}}
			for _, kind := range []string{"forget", "prune"} {
				form.Set(kind+".weekday", "daily")
				form.Set(kind+".hour", "04:00")
			}
			if in.Paused {
				form.Set("check.paused", "1")
			}
			status, text := h.ask("POST", "/repositories/"+string(h.repository)+"/maintenance/hours", form)
			return status == http.StatusSeeOther, text
		},
		theAPI: func(t *testing.T, h *house, in checkHours) (bool, string) {
			usual := map[string]any{"weekday": "daily", "hour": "04:00", "paused": false}
			status, text := h.ask("PUT", "/api/repositories/"+string(h.repository)+"/maintenance", map[string]any{"forget": usual, "prune": usual,
				"check": map[string]any{"weekday": in.Weekday, "hour": in.Hour, "paused": in.Paused, "slices": in.Slices}})
			return status == http.StatusOK, detail(t, text)
		},
	},
	saved: func(t *testing.T, h *house) (all []string) {
		rows, err := h.store.Hours(t.Context(), h.repository)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range rows {
			all = append(all, fmt.Sprintf("%s on %d at %d, paused %t, slices %d", r.Kind, r.Weekday, r.Minute, r.Paused, r.Slices))
		}
		return all
	},
	cases: map[string]doorCase[checkHours]{
		"a day":                {in: checkHours{Weekday: "monday", Hour: "23:59", Slices: 52}},
		"every day, paused":    {in: checkHours{Weekday: "daily", Hour: "00:00", Paused: true, Slices: 1000}},
		"no day":               {in: checkHours{Weekday: "", Hour: "04:00"}, bad: "check.weekday"},
		"a day there is not":   {in: checkHours{Weekday: "someday\x1b[2J", Hour: "04:00"}, bad: "check.weekday"},
		"no hour":              {in: checkHours{Weekday: "daily", Hour: ""}, bad: "check.hour"},
		"an hour there is not": {in: checkHours{Weekday: "daily", Hour: "24:00"}, bad: "check.hour"},
		"an hour of one digit": {in: checkHours{Weekday: "daily", Hour: "4:00"}, bad: "check.hour"},
		"slices below 0":       {in: checkHours{Weekday: "daily", Hour: "04:00", Slices: -1}, bad: "check.slices"},
		"too many slices":      {in: checkHours{Weekday: "daily", Hour: "04:00", Slices: 1001}, bad: "check.slices"},
	},
}

// hostSettings are what people decide of a host.
type hostSetting struct {
	Intermittent bool
	OverdueDays  int64
	JobsAtOnce   int
}

var hostSettings = subject[hostSetting]{
	service: func(t *testing.T, h *house, in hostSetting) error {
		_, err := (&hosts.Settings{Store: h.store}).Put(t.Context(), "test", h.host,
			hosts.Input{Intermittent: &in.Intermittent, OverdueDays: &in.OverdueDays, JobsAtOnce: &in.JobsAtOnce})
		return err
	},
	doors: map[string]func(t *testing.T, h *house, in hostSetting) (bool, string){
		theForm: func(_ *testing.T, h *house, in hostSetting) (bool, string) {
			status, text := h.ask("POST", "/hosts/"+string(h.host)+"/intermittent",
				url.Values{"intermittent": {strconv.FormatBool(in.Intermittent)}, "overdue_days": {strconv.FormatInt(in.OverdueDays, 10)},
					"jobs_at_once": {strconv.Itoa(in.JobsAtOnce)}})
			return status == http.StatusSeeOther, text
		},
		theAPI: func(t *testing.T, h *house, in hostSetting) (bool, string) {
			status, text := h.ask("PUT", "/api/hosts/"+string(h.host), map[string]any{
				"intermittent": in.Intermittent,
				"overdue_days": in.OverdueDays,
				"jobs_at_once": in.JobsAtOnce,
			})
			return status == http.StatusOK, detail(t, text)
		},
		theCommandLine: func(_ *testing.T, h *house, in hostSetting) (bool, string) {
			asleep := "--no-intermittent"
			if in.Intermittent {
				asleep = "--intermittent"
			}
			text, code := h.tell("host", "set", string(h.host), asleep, fmt.Sprintf("--overdue-days=%d", in.OverdueDays),
				fmt.Sprintf("--jobs-at-once=%d", in.JobsAtOnce))
			return code == 0, text
		},
	},
	saved: func(t *testing.T, h *house) []string {
		row, err := h.store.Host(t.Context(), h.host)
		if err != nil {
			t.Fatal(err)
		}
		return []string{fmt.Sprintf("%t after %d days, %d jobs", row.Intermittent, row.OverdueDays, row.JobsAtOnce)}
	},
	cases: map[string]doorCase[hostSetting]{
		"a laptop":        {in: hostSetting{Intermittent: true, OverdueDays: 365, JobsAtOnce: 3}},
		"never overdue":   {in: hostSetting{JobsAtOnce: 1}},
		"a day too many":  {in: hostSetting{OverdueDays: 366, JobsAtOnce: 3}, bad: "overdue_days"},
		"below 0":         {in: hostSetting{OverdueDays: -1, JobsAtOnce: 3}, bad: "overdue_days"},
		"16 jobs":         {in: hostSetting{JobsAtOnce: 16}},
		"17 jobs":         {in: hostSetting{JobsAtOnce: 17}, bad: "jobs_at_once"},
		"no job":          {in: hostSetting{}, bad: "jobs_at_once"},
		"fewer than none": {in: hostSetting{JobsAtOnce: -1}, bad: "jobs_at_once"},
	},
}
