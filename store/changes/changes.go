// Package changes words what became of what, for the audit log: each field that is
// another now, from what to what; a secret only as that it has changed.
package changes

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/restic-manager/restic-manager/topics"
)

// Bounds of one entry, in characters: what is longer ends with "…".
const (
	MostOfValue = 200
	MostOfAll   = 2000
)

// A List is what changed about one thing. The zero value has no change.
type List struct{ said []string }

// Text notes a field whose value is text; "" is said as none.
func (l *List) Text(name, was, now string) {
	if was != now {
		l.said = append(l.said, name+": "+value(was)+" → "+value(now))
	}
}

// Value notes a field whose value is not text.
func (l *List) Value(name string, was, now any) { l.Text(name, fmt.Sprint(was), fmt.Sprint(now)) }

// Moment notes a moment in Unix milliseconds; 0 is said as none.
func (l *List) Moment(name string, was, now int64) {
	text := func(ms int64) string {
		if ms == 0 {
			return ""
		}
		return time.UnixMilli(ms).UTC().Format(time.RFC3339)
	}
	l.Text(name, text(was), text(now))
}

// Names notes a list: what was added to it and what was taken away, or its new order.
func (l *List) Names(name string, was, now []string) {
	if slices.Equal(was, now) {
		return
	}
	var parts []string
	for _, side := range []struct {
		word      string
		has, lack []string
	}{{"added ", now, was}, {"removed ", was, now}} {
		var only []string
		for _, x := range side.has {
			if !slices.Contains(side.lack, x) {
				only = append(only, x)
			}
		}
		if len(only) > 0 {
			parts = append(parts, side.word+value(strings.Join(only, ", ")))
		}
	}
	if len(parts) == 0 {
		parts = []string{"another order"}
	}
	l.said = append(l.said, name+": "+strings.Join(parts, "; "))
}

// Secret notes a secret, without its value.
func (l *List) Secret(name string, was, now topics.Secret) {
	switch {
	case was.Reveal() == now.Reveal():
	case was.Reveal() == "":
		l.said = append(l.said, name+": set")
	case now.Reveal() == "":
		l.said = append(l.said, name+": removed")
	default:
		l.said = append(l.said, name+": changed")
	}
}

// Secrets notes secrets by their names, without their values.
func (l *List) Secrets(prefix string, was, now map[string]topics.Secret) {
	all := maps.Clone(was)
	if all == nil {
		all = map[string]topics.Secret{}
	}
	maps.Copy(all, now)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		l.Secret(prefix+name, was[name], now[name])
	}
}

// Fields notes the fields of two values of one type that have no secrets, by the
// names they have in JSON. Nil has no fields.
func (l *List) Fields(was, now any) {
	a, b := fields(was), fields(now)
	all := maps.Clone(a)
	maps.Copy(all, b)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		l.Text(name, a[name], b[name])
	}
}

// fields are a value's fields as text.
func fields(v any) map[string]string {
	out := map[string]string{}
	b, err := json.Marshal(v)
	if err != nil {
		return out
	}
	var raw map[string]json.RawMessage
	if json.Unmarshal(b, &raw) != nil {
		return out
	}
	for name, text := range raw {
		var s string
		var list []string
		switch {
		case json.Unmarshal(text, &s) == nil:
			out[name] = s
		case json.Unmarshal(text, &list) == nil:
			out[name] = strings.Join(list, ", ")
		default:
			out[name] = string(text)
		}
	}
	return out
}

// Any reports whether anything has changed.
func (l *List) Any() bool { return len(l.said) > 0 }

// Of says what changed about the thing of this name; the name alone if nothing did.
func (l *List) Of(name string) string {
	if len(l.said) == 0 {
		return name
	}
	return cut(name+": "+strings.Join(l.said, ", "), MostOfAll)
}

func value(text string) string {
	if text == "" {
		return "none"
	}
	return cut(text, MostOfValue)
}

func cut(text string, most int) string {
	if r := []rune(text); len(r) > most {
		return string(r[:most-1]) + "…"
	}
	return text
}

// Columns notes what differs between two rows of one type, by their columns' names,
// but for those to leave out. Of a column that keeps JSON it notes the fields.
func (l *List) Columns(was, now any, without ...string) {
	a, b := reflect.ValueOf(was), reflect.ValueOf(now)
	for i := range a.NumField() {
		name := a.Type().Field(i).Tag.Get("db")
		if name == "" || name == "-" || slices.Contains(without, name) {
			continue
		}
		x, y := a.Field(i), b.Field(i)
		if x.Kind() == reflect.Struct && x.FieldByName("V").IsValid() { // a store.JSON
			x, y = x.FieldByName("V"), y.FieldByName("V")
			if x.Type().Elem().Kind() == reflect.Struct {
				l.Fields(x.Interface(), y.Interface())
				continue
			}
			l.Text(name, pointed(x), pointed(y))
			continue
		}
		if x.Kind() == reflect.Slice {
			l.Names(name, texts(x), texts(y))
			continue
		}
		l.Value(name, x.Interface(), y.Interface())
	}
}

func pointed(v reflect.Value) string {
	if v.IsNil() {
		return ""
	}
	return fmt.Sprint(v.Elem().Interface())
}

func texts(v reflect.Value) []string {
	out := make([]string, v.Len())
	for i := range out {
		out[i] = fmt.Sprint(v.Index(i).Interface())
	}
	return out
}
