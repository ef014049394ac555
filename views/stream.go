package views

import (
	"context"
	"fmt"
	"io"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/a-h/templ"

	"github.com/restic-manager/restic-manager/words"
)

// FleetStream is the URL of the fleet page's one stream.
func FleetStream() string { return "/events?view=fleet" }

// HostStream is the URL of a host page's one stream.
func HostStream(id string) string { return "/events?view=host&id=" + url.QueryEscape(id) }

// JobStream is the URL of a job page's one stream, which begins after log line
// after, the last one the page already shows.
func JobStream(id string, after uint64) string {
	return "/events?view=job&id=" + url.QueryEscape(id) + "&after=" + strconv.FormatUint(after, 10)
}

// EnrolStream is the URL of the add-host page's one stream. token is the public
// id of the enrolment token, never its secret: URLs end up in logs.
func EnrolStream(token string) string { return "/events?view=enrol&token=" + url.QueryEscape(token) }

// ReplacementStream is the URL of the one stream of the checklist of a host's replacement.
// token is the public id of the enrolment token that the page shows, if it does.
func ReplacementStream(host, token string) string {
	q := url.Values{"view": {"replacement"}, "id": {host}}
	if token != "" {
		q.Set("token", token)
	}
	return "/events?" + q.Encode()
}

// A Swap is what a [Partial] does to its target.
type Swap string

const (
	Morph   Swap = "outerMorph" // replace the target, keeping focus, selection and open menus
	Append  Swap = "beforeend"  // add inside the target, at its end
	Prepend Swap = "afterbegin" // the same, at its beginning
	Remove  Swap = "delete"     // take the target away
)

// Partial is one change to a page that is already open: put c where the element
// with the id target is. A target that the page does not have is ignored. With
// [Morph], c must itself have that id, so that the next one finds it.
func Partial(target string, swap Swap, c templ.Component) templ.Component {
	return templ.ComponentFunc(func(ctx context.Context, w io.Writer) error {
		_, err := fmt.Fprintf(w, `<hx-partial hx-target="#%s" hx-swap="%s">`, templ.EscapeString(target), templ.EscapeString(string(swap)))
		if err != nil {
			return err
		}
		if err := c.Render(ctx, w); err != nil {
			return err
		}
		_, err = io.WriteString(w, "</hx-partial>")
		return err
	})
}

// StreamEnd is the name of the event after which a page closes its stream and
// does not come back.
const StreamEnd = "end"

// StreamBeat is the name of the event that says the stream is alive.
const StreamBeat = "beat"

// BeatEvery is how often a stream must say something. The page calls the stream
// lost after two and a half silent beats.
const BeatEvery = 10 * time.Second

// WriteMessage writes one message of a stream: the given partials, swapped
// together, and the id from which the browser resumes. It does not flush.
//
// The id is what the browser sends back as Last-Event-ID, and nothing else: on
// the job page the number of the last log line sent so far, in decimal; on
// pages that are redrawn whole after a reconnect, any number that rises.
func WriteMessage(ctx context.Context, w io.Writer, id uint64, partials ...templ.Component) error {
	var b strings.Builder
	for _, p := range partials {
		if err := p.Render(ctx, &b); err != nil {
			return fmt.Errorf("render stream message %d: %w", id, err)
		}
	}
	return writeEvent(w, "", strconv.FormatUint(id, 10), b.String())
}

// WriteBeat tells the page that the stream is alive and what time it is here.
// It has no id, so it does not move the place to resume from. It does not flush.
func WriteBeat(w io.Writer, now time.Time) error {
	return writeEvent(w, StreamBeat, "", words.ISO(now))
}

// StreamOut is the name of the last event of a stream whose visitor may not listen
// any more: they were signed out, or have another role now.
const StreamOut = "out"

// WriteOut tells the page so, and not to come back. The server then closes its
// side. It does not flush.
func WriteOut(w io.Writer) error { return writeEvent(w, StreamOut, "", "") }

// WriteEnd tells the page to close the stream for good. The server then closes
// its side. It does not flush.
func WriteEnd(w io.Writer) error { return writeEvent(w, StreamEnd, "", "") }

func writeEvent(w io.Writer, event, id, data string) error {
	var b strings.Builder
	if event != "" {
		b.WriteString("event: " + event + "\n")
	}
	if id != "" {
		b.WriteString("id: " + id + "\n")
	}
	// A carriage return ends a line in an event stream as well; in HTML it means
	// the same as a line feed.
	data = strings.ReplaceAll(strings.ReplaceAll(data, "\r\n", "\n"), "\r", "\n")
	for line := range strings.SplitSeq(data, "\n") {
		b.WriteString("data: " + line + "\n")
	}
	b.WriteByte('\n')
	_, err := io.WriteString(w, b.String())
	return err
}
