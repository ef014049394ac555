package discovery

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// plainLetters are the letters that people write with others when they have no key for them.
var plainLetters = strings.NewReplacer("ä", "ae", "ö", "oe", "ü", "ue", "ß", "ss", "æ", "ae", "ø", "o", "å", "a", "à", "a", "á", "a",
	"â", "a", "ã", "a", "ç", "c", "è", "e", "é", "e", "ê", "e", "ë", "e", "ì", "i", "í", "i", "î", "i", "ï", "i", "ñ", "n",
	"ò", "o", "ó", "o", "ô", "o", "õ", "o", "ù", "u", "ú", "u", "û", "u", "ý", "y", "ÿ", "y", "š", "s", "ž", "z", "č", "c",
	"ř", "r", "ł", "l")

// longestSlug is how many letters of a name are part of entity IDs.
const longestSlug = 64

// slugOf is how the entity IDs of a device begin when it is announced first: lower-case
// letters, digits and single underscores, which is all that Home Assistant allows in them.
func slugOf(d device) string {
	kind := "backup_"
	switch {
	case d.key == fleetKey:
		return "backups"
	case d.repository != "":
		kind = "repository_"
	}
	var b strings.Builder
	for _, r := range plainLetters.Replace(strings.ToLower(d.name)) {
		switch {
		case b.Len() == longestSlug:
		case r < utf8.RuneSelf && (unicode.IsLower(r) || unicode.IsDigit(r)):
			b.WriteRune(r)
		case b.Len() > 0 && !strings.HasSuffix(b.String(), "_"):
			b.WriteByte('_')
		}
	}
	name := strings.Trim(b.String(), "_")
	if name == "" { // written in other letters altogether
		id := string(d.host) + string(d.repository)
		name = strings.ReplaceAll(id[max(0, len(id)-8):], "-", "_")
	}
	return kind + name
}
