package metrics

import (
	"strconv"
	"strings"
)

// lines writes lines of one family in Prometheus' text format. Some hundred thousand of
// them are written in one scrape, which is why the library does not.
type lines struct {
	b    []byte
	keys []string // what stands before each label's value, and after the last
}

// of begins with the lines of a family.
func (l *lines) of(f Family) {
	l.keys = l.keys[:0]
	for i, label := range f.Labels {
		before := `",` + label + `="`
		if i == 0 {
			before = prefix + f.Name + "{" + label + `="`
		}
		l.keys = append(l.keys, before)
	}
	l.keys = append(l.keys, `"} `)
}

// put adds a line with its labels' values.
func (l *lines) put(value int64, labels ...string) {
	l.labels(labels)
	l.b = append(strconv.AppendInt(l.b, value, 10), '\n')
}

// moment adds a line for a moment in Unix milliseconds, in seconds; none for 0.
func (l *lines) moment(ms int64, labels ...string) {
	if ms <= 0 {
		return
	}
	l.labels(labels)
	l.b = strconv.AppendInt(l.b, ms/1000, 10)
	if part := ms % 1000; part != 0 {
		l.b = append(l.b, '.', byte('0'+part/100), byte('0'+part/10%10), byte('0'+part%10))
	}
	l.b = append(l.b, '\n')
}

func (l *lines) labels(values []string) {
	for i, v := range values {
		l.b = append(l.b, l.keys[i]...)
		if strings.ContainsFunc(v, special) {
			v = escaped.Replace(strings.ToValidUTF8(v, "\uFFFD"))
		}
		l.b = append(l.b, v...)
	}
	l.b = append(l.b, l.keys[len(l.keys)-1]...)
}

// special is what cannot stand in a label's value as it is, or may not be valid.
func special(r rune) bool { return r == '"' || r == '\\' || r == '\n' || r > '~' }

var escaped = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)

// head is what stands before the lines of a family.
func head(f Family) string {
	return "# HELP " + prefix + f.Name + " " + f.Help + "\n# TYPE " + prefix + f.Name + " " + string(f.Type) + "\n"
}
