package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/words"
)

// Everything a command prints goes through this file, except secrets and IDs that
// a script reads: text from elsewhere (names, paths, messages of hosts) must not
// command the terminal, break a line or pretend to be another column.

// table prints rows of columns to standard output, for people and scripts alike.
func table(rows [][]string) error { return tableTo(os.Stdout, rows) }

func tableTo(out io.Writer, rows [][]string) error {
	w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	var failed error
	for _, cells := range rows {
		_, err := fmt.Fprintln(w, row(cells...))
		failed = errors.Join(failed, err)
	}
	return errors.Join(failed, w.Flush())
}

// columns prints a head and n lines of columns, each made by row.
func columns(head string, n int, line func(int) string) error {
	w := tabwriter.NewWriter(os.Stdout, 0, 4, 2, ' ', 0)
	_, err := fmt.Fprintln(w, head)
	for i := range n {
		_, e := fmt.Fprintln(w, line(i))
		err = errors.Join(err, e)
	}
	return errors.Join(err, w.Flush())
}

// row joins cells into a line for columns.
func row(cells ...string) string {
	shown := make([]string, len(cells))
	for i, c := range cells {
		shown[i] = words.Line(c)
	}
	return strings.Join(shown, "\t")
}

// say prints a sentence. Every argument that is text is made visible first; the
// format is ours.
func say(out io.Writer, format string, args ...any) {
	for i, a := range args {
		switch a := a.(type) {
		case fmt.Formatter: // it decides itself what is printed, as secrets do
		case error:
			args[i] = failure(a)
		default:
			if v := reflect.ValueOf(a); v.Kind() == reflect.String {
				args[i] = words.Line(v.String())
			}
		}
	}
	fmt.Fprintf(out, format+"\n", args...)
}

// failure words an error for the terminal: errors that were joined stand on lines
// of their own, and nothing in one can begin another.
func failure(err error) string {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		var whole, shown []string
		for _, e := range joined.Unwrap() {
			whole, shown = append(whole, e.Error()), append(shown, failure(e))
		}
		if strings.Join(whole, "\n") == err.Error() { // errors.Join, not an Errorf with two %w
			return strings.Join(shown, "\n")
		}
	}
	return words.Line(err.Error())
}

// ago says how long before now a moment was, "never" for 0.
func ago(s *store.Store, ms int64) string {
	if ms == 0 {
		return "never"
	}
	return words.Ago(words.At(ms), time.UnixMilli(s.Now()))
}

// moment is a time as scripts read it and people understand it wherever they are:
// RFC 3339 in this machine's zone; none for 0.
func moment(ms int64, none string) string {
	if ms == 0 {
		return none
	}
	if !words.Believed(ms) {
		return words.OutOfRange
	}
	return time.UnixMilli(ms).Format(time.RFC3339)
}
