// Package column holds values that a column of the database keeps as JSON.
package column

import (
	"database/sql/driver"
	"encoding/json"
	"fmt"
	"strings"
)

// A JSON is a value kept as JSON text; no value is the empty text.
type JSON[T any] struct{ V *T }

// Value implements driver.Valuer.
func (j JSON[T]) Value() (driver.Value, error) {
	if j.V == nil {
		return "", nil
	}
	b, err := json.Marshal(j.V)
	return string(b), err
}

// Scan implements sql.Scanner.
func (j *JSON[T]) Scan(src any) error {
	text, ok := src.(string)
	if !ok {
		return fmt.Errorf("%T is not kept as %T", j.V, src)
	}
	if text == "" {
		j.V = nil
		return nil
	}
	return json.Unmarshal([]byte(text), &j.V)
}

// A List is a list of texts, kept as JSON.
type List []string

// Value implements driver.Valuer.
func (l List) Value() (driver.Value, error) {
	b, err := json.Marshal([]string(l))
	if len(l) == 0 {
		return "[]", err
	}
	return string(b), err
}

// Scan implements sql.Scanner.
func (l *List) Scan(v any) error {
	switch v := v.(type) {
	case string:
		return json.NewDecoder(strings.NewReader(v)).Decode((*[]string)(l))
	case []byte:
		return json.Unmarshal(v, (*[]string)(l))
	}
	return fmt.Errorf("a list is not kept as %T", v)
}

// Holds returns the condition that a column contains a text, ignoring case. SQLite
// knows only ASCII letters in both cases; other letters must match exactly.
func Holds(column, text string) (cond string, args []any) {
	ascii := strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			r += 'a' - 'A'
		}
		return r
	}, text)
	return `(LOWER(` + column + `) LIKE ? ESCAPE '!' OR LOWER(` + column + `) LIKE ? ESCAPE '!')`,
		[]any{"%" + Likely(ascii) + "%", "%" + Likely(strings.ToLower(text)) + "%"}
}

// Likely escapes the wildcards of LIKE in a text.
func Likely(s string) string { return strings.NewReplacer("!", "!!", "%", "!%", "_", "!_").Replace(s) }
