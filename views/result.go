package views

// A ResultTable is what a job found out, as a table.
type ResultTable struct {
	Title  string
	Count  string // "1,204"
	Head   []string
	Rows   [][]string
	Mono   int // the columns from the left that are IDs or paths
	Note   string
	AllURL string // everything as JSON, "" if all of it is shown
}
