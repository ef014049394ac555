package agent

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/restic-manager/restic-manager/topics"
)

func TestEveryLineFitsIntoAMessage(t *testing.T) {
	for what, text := range map[string]string{
		"short":                         "processed",
		"as long as may be":             strings.Repeat("x", topics.MaxLine),
		"what JSON writes as six bytes": strings.Repeat("<", topics.MaxLine),
		"a mixture":                     strings.Repeat("<é&", topics.MaxLine/4),
	} {
		got, n := fit(topics.Line{At: 1, Level: topics.Info, Text: text})
		whole := topics.Encode(topics.Event{Log: &topics.Log{
			Job:   "06h05ot39sp1cre0sb729u0fbg",
			First: topics.MaxLines,
			Lines: []topics.Line{got},
		}})
		if len(whole) > maxEvent || n != len(topics.Encode(got))+1 {
			t.Errorf("%s: an event of %d bytes, a line of %d", what, len(whole), n)
		}
		if cut := strings.HasSuffix(got.Text, "[cut]"); !utf8.ValidString(got.Text) || !cut && got.Text != text || cut && len(got.Text) < 6000 {
			t.Errorf("%s: cut to %d bytes", what, len(got.Text))
		}
	}
}
