package web

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"

	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
)

// more is what a list says that it does not show, and where that is.
func more(t *testing.T, page, what string) (n int, url string) {
	t.Helper()
	m := regexp.MustCompile(`<a href="([^"]*)" class="rest">([\d,]+) more ` + what + `</a>`).FindStringSubmatch(page)
	if m == nil {
		t.Fatalf("no list says how many more %s there are", what)
	}
	n, _ = strconv.Atoi(strings.ReplaceAll(m[2], ",", ""))
	return n, html.UnescapeString(m[1])
}

func rowsOf(page, kind string) int { return strings.Count(page, `<tr role="row" id="`+kind+`-`) }

// A list that shows some of what there is says how many more there are, and leads to
// where all are.
func TestListsThatStopSayHowManyMore(t *testing.T) {
	w := newWorld(t)
	attic, other := w.enrol("attic"), w.enrol("attic-2") // whose name holds the other's
	attic.name = "attic"
	g := attic.group("letters")
	attic.connect()
	other.group("letters")
	var there []topics.Snapshot
	for i := range 130 {
		there = append(there, topics.Snapshot{ID: fmt.Sprintf("%064d", i), Time: time.Now().Add(-time.Duration(i) * time.Hour).UnixMilli(),
			Host: "elsewhere", Paths: []string{"/x"}, Tags: []string{"a", "b", "c", "d", "e"}})
	}
	for i := range 24 {
		made := topics.Snapshot{ID: fmt.Sprintf("%064x", 0xa00+i), Time: time.Now().UnixMilli(), Host: "attic", Paths: []string{"/letters"}}
		attic.ran(w.backup(attic), topics.Finished{State: topics.Succeeded, RepositoryReady: true, Summary: &topics.Summary{TotalFiles: 1},
			Snapshot: &made})
		made.Tags = []string{"plan=" + string(g.ID)}
		there = append(there, made)
	}
	attic.lists(g.Repository, there...)
	w.backup(other) // waits
	admin := w.person(store.Admin)

	host := admin.shows("/hosts/" + string(attic.id))
	n, url := more(t, host, "jobs?")
	if shown := rowsOf(host, "job"); shown+n != 25 {
		t.Errorf("the host's page shows %d jobs and says that there are %d more, of 25", shown, n)
	}
	if found := len(listed(admin.shows(url))); found != 25 {
		t.Errorf("%s shows %d jobs, want the host's 25", url, found)
	}
	if !strings.Contains(host, "14 more snapshots:") || !strings.Contains(host, ", 24</a>") {
		t.Error("the host's page does not lead to its other snapshots")
	}

	place := "/repositories/" + string(g.Repository)
	repository := admin.shows(place)
	if n, url = more(t, repository, "jobs?"); rowsOf(repository, "job")+n != 25 {
		t.Errorf("the repository's page shows %d jobs and %d more, of 25", rowsOf(repository, "job"), n)
	}
	if found := len(listed(admin.shows(url))); found != 25 {
		t.Errorf("%s shows %d jobs, want the repository's 25", url, found)
	}
	if n, url = more(t, repository, "findings"); n != 120 {
		t.Errorf("it has %d more findings, want 120 of 130", n)
	}
	if !strings.Contains(admin.shows(place+"?host=foreign"), "and 2 more tags") {
		t.Error("tags that are not shown are not counted")
	}
	flagged, pages := 0, 0
	for url != "" {
		page := admin.shows(strings.Split(url, "#")[0])
		flagged += strings.Count(page, "no job of ours made it")
		url = ""
		if m := regexp.MustCompile(`href="([^"]*)#odd-h" rel="next"`).FindStringSubmatch(page); m != nil {
			url = html.UnescapeString(m[1])
		}
		if pages++; pages > 9 {
			t.Fatal("the pages do not end")
		}
	}
	if flagged != 130 || pages != 3 {
		t.Errorf("%d pages have %d findings, want 3 with 130", pages, flagged)
	}
	if stays := admin.shows(place + "/retention"); strings.Contains(stays, "#keep-h\" rel") {
		t.Error("a list of one page has others")
	}
	if p := admin.shows(place + "/retention?stays=x&goes=-4&flagged=99"); !strings.Contains(p, "101 to 130 of 130 findings") {
		t.Error("a page behind the last is not the last")
	}

	ops := admin.shows("/hosts/" + string(attic.id) + "/operations")
	if strings.Contains(ops, "in the list of its repository") {
		t.Error("a choice of all snapshots says that there are older ones")
	}
}

func TestSourceGroupsWithoutAScheduleArePaged(t *testing.T) {
	w := newWorld(t)
	for i := range 53 {
		w.enrol(fmt.Sprintf("h%02d", i)).group("letters")
	}
	admin := w.person(store.Admin)
	first, second := admin.shows("/schedules"), admin.shows("/schedules?unplanned=2")
	if n := strings.Count(first, "has no schedule."); n != 50 || !strings.Contains(first, "1 to 50 of 53 source groups") ||
		!strings.Contains(first, `href="/schedules?unplanned=2#un" rel="next"`) {
		t.Errorf("the first page has %d of 53", n)
	}
	if n := strings.Count(second, "has no schedule."); n != 3 || !strings.Contains(second, `href="/schedules#un" rel="prev"`) {
		t.Errorf("the second page has %d, want 3", n)
	}
}
