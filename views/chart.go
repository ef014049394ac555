package views

import (
	"context"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/restic-manager/restic-manager/words"
)

// A Point is one day of a chart.
type Point struct {
	At    time.Time
	Value uint64 // bytes
}

// A Chart is a size over time, drawn on the server.
type Chart struct {
	Line, Area string // paths of an SVG of 786 by 220
	Small      string // the same line in 110 by 28, for a list
	SmallArea  string
	Grid       []Mark // sizes, on the right
	Dates      []Mark // below
	Events     []Mark // upright lines, with their words above
	Label      string // for who cannot see it
	Rows       []ChartRow
}

// A Mark is a word at a place of a chart.
type Mark struct{ Place, Text string }

// A ChartRow is one day in the chart's table.
type ChartRow struct{ Day, Value string }

const (
	chartWidth, chartTop, chartBottom = 740.0, 24.0, 194.0
	chartRows                         = 60 // days in its table, the newest
)

// An Event is something that happened to what a chart shows.
type Event struct {
	At   time.Time
	Word string
}

// NewChart draws points that are in the order of their time, and what happened
// meanwhile, by the dates of ctx's zone. Fewer than two points are no chart: it has no Line then.
func NewChart(ctx context.Context, points []Point, events ...Event) Chart {
	var c Chart
	for i := len(points) - 1; i >= 0 && len(c.Rows) < chartRows; i-- {
		c.Rows = append(c.Rows, ChartRow{words.Day(ctx, points[i].At), words.Bytes(points[i].Value)})
	}
	if len(points) < 2 {
		return c
	}
	first, last := points[0].At, points[len(points)-1].At
	low, high := math.Inf(1), 0.0
	for _, p := range points {
		low, high = math.Min(low, float64(p.Value)), math.Max(high, float64(p.Value))
	}
	low = math.Max(0, low-(high-low)*0.2) // the line stands a little above the floor
	if high-low < high*0.02+1 {
		low = high*0.98 - 1
	}
	low = math.Max(0, low)
	path := func(width, top, bottom float64) string {
		var b strings.Builder
		for i, p := range points {
			x := width * float64(p.At.Sub(first)) / float64(last.Sub(first))
			y := bottom - (bottom-top)*(float64(p.Value)-low)/math.Max(high-low, 1)
			fmt.Fprintf(&b, "%c%s %s", "ML"[min(i, 1)], coordinate(x), coordinate(y))
		}
		return b.String()
	}
	c.Line, c.Small = path(chartWidth, chartTop, chartBottom), path(110, 2, 26)
	c.Area, c.SmallArea = c.Line+"L740 194L0 194Z", c.Small+"L110 28L0 28Z"
	for _, part := range []float64{0, 1.0 / 3, 2.0 / 3, 1} {
		c.Grid = append(c.Grid, Mark{coordinate(chartBottom - (chartBottom-chartTop)*part), words.Bytes(uint64(low + (high-low)*part))})
	}
	date := words.DayOfYear
	if last.Sub(first) > 300*24*time.Hour {
		date = words.MonthOfYear
	}
	for i := range 5 {
		at := first.Add(time.Duration(float64(last.Sub(first)) * float64(i) / 4))
		c.Dates = append(c.Dates, Mark{coordinate(chartWidth * float64(i) / 4), date(ctx, at)})
	}
	said := -1.0 // where the last word stands: the next has room from 40 on
	for _, e := range events {
		if e.At.Before(first) || e.At.After(last) {
			continue
		}
		x, m := chartWidth*float64(e.At.Sub(first))/float64(last.Sub(first)), Mark{Text: e.Word}
		if m.Place = coordinate(x); said >= 0 && x-said < 40 {
			m.Text = ""
		} else {
			said = x
		}
		c.Events = append(c.Events, m)
	}
	c.Label = fmt.Sprintf("Stored size from %s on %s to %s on %s", words.Bytes(points[0].Value), words.Day(ctx, first),
		words.Bytes(points[len(points)-1].Value), words.Day(ctx, last))
	return c
}

func coordinate(v float64) string { return strconv.FormatFloat(math.Round(v*10)/10, 'f', -1, 64) }

// Times is a ratio in words, "8.9"; "" if it is not known.
func Times(ratio float64) string {
	if ratio <= 0 {
		return ""
	}
	if ratio >= 99.95 {
		return strconv.FormatFloat(ratio, 'f', 0, 64)
	}
	return strconv.FormatFloat(ratio, 'f', 1, 64)
}
