package views

import (
	"net/url"
	"strconv"
)

// ProofRows is how many files a page of a drill's table shows.
const ProofRows = 250

// Proofs is a page of what a drill found out about each file that it took.
type Proofs struct {
	JobID      string
	Total      int  // files and folders that the report names
	Failed     int  // of those, not proven
	OnlyFailed bool // the others are left out
	Rows       []ProvenFile
	Cut        bool // there were more than the report holds
	Gone       bool // the report is kept no longer
	Paging     Paging
	Page       bool // it is a page of its own, not the first rows on the job's
}

// A ProvenFile is one row of it.
type ProvenFile struct {
	Path     string
	Size     string // "" of what is no file
	Hash     string // SHA-256 in hexadecimal digits; "" of what is no file, or did not come back
	Snapshot string
	Proven   bool
	Verdict  string // in words
	Why      string // if it was not proven
}

// ProofsURL is the page of a drill's table; failed leaves out what was proven.
func ProofsURL(job string, failed bool, page int) string {
	q := url.Values{}
	if failed {
		q.Set("kind", "failed")
	}
	if page > 1 {
		q.Set("page", strconv.Itoa(page))
	}
	if len(q) == 0 {
		return JobURL(job) + "/proofs"
	}
	return JobURL(job) + "/proofs?" + q.Encode()
}
