// Package tidy makes what a host says of itself fit to be kept and shown: bounded, and
// without characters that show nothing or reorder others.
package tidy

import (
	"bytes"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/restic-manager/restic-manager/topics"
	"github.com/restic-manager/restic-manager/words"
)

// How much of what a host says of itself is kept, in bytes of each text. What is longer
// is cut: it is never a reason to refuse what it stands in.
const (
	MostName = 255 // of hosts, users, versions, policies, hooks
	// MostInstance is for the name of an agent's process.
	MostInstance = 64
	MostPath     = 4 << 10 // as long as a path may be on Linux
	MostSaid     = 4 << 10 // of a message for people
	mostList     = 256     // entries of a list
)

// Clean is a text of one line and so many bytes at most.
func Clean(text string, most int) string { return Bounded(words.Strip(text), most) }

// Bounded is a text of so many bytes at most; it may have lines.
func Bounded(text string, most int) string {
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most-len("…")], "") + "…"
	}
	return text
}

// Texts are paths and the like, each clean.
func Texts(list []string) []string {
	list = slices.Clone(list[:min(len(list), mostList)])
	for i := range list {
		list[i] = Clean(list[i], MostPath)
	}
	return list
}

// Facts bounds and cleans what a host says of its machine, its programs and its policy.
func Facts(f *topics.Facts) {
	for _, text := range []*string{&f.Hostname, &f.OS, &f.Arch, &f.Platform, &f.Agent, &f.Restic, &f.Policy} {
		*text = Clean(*text, MostName)
	}
	updates(f.Updates)
	f.Can = f.Can[:min(len(f.Can), topics.MaxAbilities)]
	for i := range f.Can {
		f.Can[i] = topics.Ability(Clean(string(f.Can[i]), MostName))
	}
	if f.Permits != nil {
		said := topics.Encode(f.Permits)
		permits(reflect.ValueOf(f.Permits).Elem())
		if m := f.Permits.Moved; m != nil {
			m.From, m.At, m.Keys = Clean(m.From, MostPath), words.Time(m.At), words.Time(m.Keys)
		}
		if !bytes.Equal(said, topics.Encode(f.Permits)) {
			f.Permits.Digest = "" // it is not all that the host permits, so nothing is refused by it
		}
	}
}

// permits bounds and cleans every text, list of texts and map of such lists that a policy
// is told by: each version adds some.
func permits(p reflect.Value) {
	for i := range p.NumField() {
		switch v := p.Field(i); {
		case v.Kind() == reflect.String:
			v.SetString(Clean(v.String(), MostPath))
		case v.Kind() == reflect.Slice && v.Type().Elem().Kind() == reflect.String:
			list := reflect.MakeSlice(v.Type(), 0, 0)
			for i := range min(v.Len(), mostList) {
				list = reflect.Append(list, reflect.ValueOf(Clean(v.Index(i).String(), MostPath)).Convert(v.Type().Elem()))
			}
			if !v.IsNil() {
				v.Set(list)
			}
		}
		if said, ok := p.Field(i).Interface().(map[string][]string); ok && said != nil {
			kept := map[string][]string{}
			for _, key := range slices.Sorted(maps.Keys(said))[:min(len(said), mostList)] {
				kept[Clean(key, MostPath)] = Texts(said[key])
			}
			p.Field(i).Set(reflect.ValueOf(kept))
		}
	}
}

// updates bounds what a host says of updates of its agent.
func updates(u *topics.Updates) {
	if u == nil {
		return
	}
	u.OS, u.Arch = Clean(u.OS, MostName), Clean(u.Arch, MostName)
	u.Keys = u.Keys[:min(len(u.Keys), topics.MaxKeys)]
	for i := range u.Keys {
		u.Keys[i] = Clean(u.Keys[i], MostName)
	}
	if r := u.Restic; r != nil {
		r.Fetched, r.Name, r.Why = Clean(r.Fetched, MostName), Clean(r.Name, MostName), Clean(r.Why, MostPath)
		r.Sums = r.Sums[:min(len(r.Sums), topics.MaxSums)]
		for i := range r.Sums {
			r.Sums[i] = Clean(r.Sums[i], MostName)
		}
	}
	u.Number, u.Installed = max(u.Number, 0), max(u.Installed, 0)
	if b := u.Back; b != nil {
		b.At, b.Version, b.Message = words.Time(b.At), Clean(b.Version, MostName), Clean(b.Message, MostPath)
		b.From, b.To = max(b.From, 0), max(b.To, 0)
		if !slices.Contains(topics.Causes, b.Cause) {
			b.Cause = topics.CauseUnknown
		}
	}
}
