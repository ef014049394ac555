package views

import (
	"net/url"
	"strings"
)

// A ResultTable is what a job found out, as a table.
type ResultTable struct {
	JobID  string
	Title  string
	Count  string // "1,204"
	Head   []string
	Rows   [][]string // those of the page
	Mono   int        // the columns from the left that are IDs or paths
	Note   string
	AllURL string // everything as JSON, "" if all of it is shown

	PagesURL string // the page of its own, "" if all of it is shown or this is that page

	Query  string
	Paging Paging
	Page   bool // it is a page of its own, with a filter
}

// ResultRows is how many rows of a list of what a job found out a page shows.
const ResultRows = 250

// ResultURL is the page of one such list, by its title.
func ResultURL(job, title, query string, page int) string {
	to := listURL(JobURL(job)+"/results", query, page)
	mark := "?"
	if strings.Contains(to, "?") {
		mark = "&"
	}
	return to + mark + url.Values{"list": {title}}.Encode()
}
