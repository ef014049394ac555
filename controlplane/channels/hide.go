package channels

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"net/url"
	"slices"
	"strings"
)

// hidden stands in the place of a secret.
const hidden = "[redacted]"

// secrets are all spellings of the secrets among fields that another side may repeat: as
// they are, in a URL, in JSON, in base 64. The longest come first. Those of less than four
// bytes are not looked for, since they would be found everywhere.
func (f fields) secrets() []string {
	var all []string
	add := func(text string) {
		if len(text) < 4 {
			return
		}
		quoted, _ := json.Marshal(text)
		all = append(all, text, url.QueryEscape(text), url.PathEscape(text), string(quoted[1:len(quoted)-1]),
			base64.StdEncoding.EncodeToString([]byte(text)), base64.RawStdEncoding.EncodeToString([]byte(text)))
	}
	for _, one := range f.kind.Fields {
		v := f.get(one.Name)
		if !one.Secret || v == "" {
			continue
		}
		add(v)
		for line := range strings.Lines(v) {
			line = strings.TrimSpace(line)
			add(line)
			if _, after, ok := strings.Cut(line, ":"); ok && one.List { // a header
				after = strings.TrimSpace(after)
				add(after)
				if _, token, ok := strings.Cut(after, " "); ok { // "Bearer …"
					add(strings.TrimSpace(token))
				}
			}
		}
		if one.Name == "url" {
			addParts(v, add)
		}
	}
	if name, password := f.get("username"), f.get("password"); name != "" && password != "" {
		add(base64.StdEncoding.EncodeToString([]byte(name + ":" + password)))
		add(base64.StdEncoding.EncodeToString([]byte("\x00" + name + "\x00" + password)))
	}
	slices.SortFunc(all, func(a, b string) int { return cmp.Or(cmp.Compare(len(b), len(a)), cmp.Compare(a, b)) })
	return slices.Compact(all)
}

// addParts adds what is secret in a URL: user, password, path and query, each of its own. Where
// it leads, the server's name, is not.
func addParts(text string, add func(string)) {
	u, err := url.Parse(text)
	if err != nil {
		return
	}
	if u.User != nil {
		password, _ := u.User.Password()
		add(u.User.Username())
		add(password)
	}
	add(strings.TrimPrefix(u.RequestURI(), "/"))
	add(strings.TrimPrefix(u.Path, "/"))
	least := 12
	if !strings.HasPrefix(u.Scheme, "http") {
		least = 6
	}
	for _, part := range strings.Split(u.Path, "/") {
		if len(part) >= least { // shorter ones are words, as "webhooks"
			add(part)
		}
	}
	for _, values := range u.Query() {
		for _, v := range values {
			if len(v) >= 8 {
				add(v)
			}
		}
	}
	// Of other services the name of the server may be a token.
	if !strings.HasPrefix(u.Scheme, "http") && !strings.Contains(u.Scheme, "+http") {
		add(u.Host)
		add(u.Hostname())
	}
}

// hide puts a mark in the place of every secret in a text.
func (f fields) hide(text string) string {
	for _, s := range f.secrets() {
		text = strings.ReplaceAll(text, s, hidden)
	}
	return text
}

// wholeSecrets is a text without the half of a secret at its end, where the text was cut.
func (f fields) wholeSecrets(text string) string {
	longest := 0
	for _, s := range f.secrets() {
		for n := min(len(s)-1, len(text)); n > longest; n-- {
			if strings.HasSuffix(text, s[:n]) {
				longest = n
				break
			}
		}
	}
	return text[:len(text)-longest]
}
