package repositorypages

import (
	"cmp"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/restic-manager/restic-manager/controlplane/field"
	"github.com/restic-manager/restic-manager/controlplane/repositories"
	"github.com/restic-manager/restic-manager/location"
	"github.com/restic-manager/restic-manager/location/storage"
	"github.com/restic-manager/restic-manager/topics"
	"github.com/restic-manager/restic-manager/views"
)

// The two credentials of a repository, as fields of the form begin.
const (
	everyday  = "everyday"
	forKeeper = "maintenance"
)

// posted is the name that a field of an address is posted by.
func posted(kind storage.Kind, name string) string {
	if kind == storage.Other {
		return "url"
	}
	return string(kind) + "." + name
}

// backends are the kinds of storage as the form has them.
func backends() (list []views.Backend) {
	fieldOf := func(name string, f storage.Field) views.BackendField {
		return views.BackendField{Name: name, Label: f.Label, Hint: f.Hint, Example: f.Example, Secret: f.Secret, Optional: f.Optional,
			Rare: f.Rare}
	}
	for _, d := range storage.Kinds() {
		b := views.Backend{Key: string(d.Kind), Name: d.Name, Note: d.Note, Certificates: d.OverHTTP()}
		for _, f := range d.Place {
			b.Place = append(b.Place, fieldOf(posted(d.Kind, f.Name), f))
		}
		for _, f := range d.Access {
			b.Access = append(b.Access, fieldOf(f.Name, f))
		}
		list = append(list, b)
	}
	return list
}

// pastes are the certificates and keys that can be pasted for a credential, with what is kept
// of them.
func pastes(credential string, files map[string]topics.Secret) (list []views.PasteField) {
	kept := map[string]string{}
	for _, d := range location.Certificates(files) {
		kept[d.Name] = strings.TrimPrefix(kept[d.Name]+", "+d.Subject, ", ")
	}
	for _, p := range location.Pastes {
		f := views.PasteField{Credential: credential, Name: p.Name, Label: p.Label, Hint: p.Words,
			Kinds: append(slices.Clone(p.Schemes), string(storage.Other))}
		if files[p.Name] != "" {
			f.Kept = cmp.Or(kept[p.Name], "one")
		}
		list = append(list, f)
	}
	return list
}

// options are restic's extended options, with what is set.
func options(set map[string]string) (list []views.OptionField) {
	for _, o := range location.Options {
		f := views.OptionField{Name: o.Name, Kind: o.Scheme(), Label: o.Label, Hint: o.Words, Values: o.Values, Value: set[o.Name]}
		if o.Max > 0 && !o.Time {
			f.Min, f.Max = strconv.Itoa(o.Min), strconv.Itoa(o.Max)
		}
		list = append(list, f)
	}
	return list
}

// placed are the fields of an address by the names they are posted by.
func placed(kind storage.Kind, v storage.Values) map[string]string {
	out := map[string]string{}
	for name, value := range v {
		out[posted(kind, name)] = value
	}
	return out
}

// addressOf reads which kind of storage was chosen, and the address that its fields make.
// Without a kind it is an address as it stands.
func addressOf(p url.Values) (kind storage.Kind, at string, wrong field.Errors) {
	kind, wrong = storage.Kind(p.Get("backend")), field.Errors{}
	d, known := storage.Find(kind)
	if !known {
		kind = storage.Other
	}
	if kind == storage.Other {
		return kind, strings.TrimSpace(p.Get("url")), wrong // what is wrong with it, who saves it says
	}
	v := storage.Values{}
	for _, f := range d.Place {
		v[f.Name] = p.Get(posted(kind, f.Name))
	}
	at, bad := storage.Compose(kind, v)
	for name, say := range bad {
		wrong[posted(kind, name)] = say
	}
	return kind, at, wrong
}

// common are the variables whose fields all kinds have that reach a server by TLS.
var common = []string{"RESTIC_CACERT", "RESTIC_TLS_CLIENT_CERT"}

// credentialOf reads the fields that a kind of storage has. A secret that is left empty stays,
// and so does a login that stands in the address itself; what belongs to other kinds goes.
func credentialOf(p url.Values, prefix string, kind storage.Kind, at string, wrong field.Errors) *repositories.Credential {
	c := &repositories.Credential{Env: map[string]topics.Secret{}}
	_, login := location.SplitLogin(at, nil)
	d, _ := storage.Find(kind)
	lines, kept, err := storage.ParseLines(p.Get(prefix + ".variables"))
	if err != nil && kind == storage.Other {
		wrong.Say(prefix, err.Error())
	}
	for _, v := range location.Variables {
		value, stays := p.Get(prefix+"."+v.Name), v.Secret
		_, inAddress := login[v.Name]
		switch {
		case slices.Contains(common, v.Name):
			if !p.Has(prefix + "." + v.Name) {
				continue
			}
		case v.Name == "RESTIC_KEY_HINT" && (kind != storage.Other || lines[v.Name] == ""): // no form shows it, so it stays
			continue
		case kind == storage.Other:
			value, stays = lines[v.Name], slices.Contains(kept, v.Name)
		case !d.Has(v.Name):
			value, stays = "", false
		}
		if value == "" && (stays || inAddress) {
			continue
		}
		c.Env[v.Name] = topics.Secret(value)
	}
	return c
}

// withoutSecrets are lines of variables as they were typed, but for the values of secrets.
func withoutSecrets(text string) string {
	env, kept, err := storage.ParseLines(text)
	if err == nil {
		for _, name := range kept {
			env[name] = ""
		}
		return storage.Lines(env)
	}
	var out []string
	for line := range strings.Lines(text) { // a line that cannot be read may be a secret
		if env, _, err := storage.ParseLines(line); err == nil {
			out = append(out, slices.Collect(maps.Keys(env))...)
		}
	}
	slices.Sort(out)
	text = ""
	for _, name := range out {
		text += name + "=\n"
	}
	return text
}

// hidden is what was typed into a field of an address, without what may be a password in it.
func hidden(text string) string {
	if before, after, found := strings.Cut(text, "://"); found {
		return before + "://" + strings.TrimPrefix(location.Shown("rest:https://"+after), "rest:https://")
	}
	return location.Shown(text)
}
