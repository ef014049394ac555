package repositorypages

import (
	"net/url"
	"slices"
	"strings"

	"github.com/restic-manager/restic-manager/location"
	"github.com/restic-manager/restic-manager/topics"
)

// pastedOf reads the certificates and keys that a form has for the kind of storage of an
// address. A field that is left empty leaves what is kept; what belongs to other kinds goes.
func pastedOf(f url.Values, prefix, at string) map[string]topics.Secret {
	files := map[string]topics.Secret{}
	for _, p := range location.Pastes {
		field := prefix + ".file." + p.Name
		switch text := f.Get(field); {
		case !slices.Contains(p.Schemes, location.Scheme(at)), f.Get(field+".none") != "":
			files[p.Name] = ""
		case strings.TrimSpace(text) != "":
			files[p.Name] = topics.Secret(text)
		}
	}
	return files
}

// optionsOf reads restic's extended options for the kind of storage of an address; nil if the
// form has none of their fields.
func optionsOf(f url.Values, at string) *map[string]string {
	options, asked := map[string]string{}, false
	for _, o := range location.OptionsOf(location.Scheme(at)) {
		asked = asked || f.Has("option."+o.Name)
		if value := strings.TrimSpace(f.Get("option." + o.Name)); value != "" {
			options[o.Name] = value
		}
	}
	if !asked {
		return nil
	}
	return &options
}
