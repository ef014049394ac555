package agent

import (
	"fmt"
	"path/filepath"
	"slices"
	"testing"

	"github.com/restic-manager/restic-manager/e2e/resticrepo"
	"github.com/restic-manager/restic-manager/topics"
)

// TestSeveralBackupsRunSideBySide: in repositories of their own, with one cache and one
// directory for temporary files; in one repository they run one after the other. Of a
// job that is cancelled nothing is taken away that belongs to another.
func TestSeveralBackupsRunSideBySide(t *testing.T) {
	w := newWorld(t)
	w.vault()
	second := filepath.Join(w.folder, "second")
	if err := resticrepo.Make(second, vaultPassword); err != nil {
		t.Fatal(err)
	}
	w.enroll()
	w.manage()
	w.mu.Lock()
	w.plane.Limits = map[topics.HostID]int{w.host: 3}
	w.mu.Unlock()
	w.run()
	w.slow()
	into := func(id topics.RepositoryID, url string, group topics.SourceGroupID) topics.Run {
		run := w.backup()
		run.Repository.ID, run.Group.ID = id, group
		if url != "" {
			run.Repository.URL = topics.Secret(url)
		}
		return run
	}
	crawls := w.order(w.backup())
	w.crawling(crawls)
	lock := w.locks()

	alias := w.order(into("repository-3", "", "photos-001")) // the same place under another name, which nobody can know
	await(t, "a second backup beside it", func() error {
		if j, _, _ := w.job(alias); j.State != topics.Running || len(w.locks()) < 2 {
			return fmt.Errorf("it is %s, locks %v", j.State, w.locks())
		}
		return nil
	})
	w.cancel(alias)
	if end := w.awaitEnd(alias); end.State != topics.Cancelled {
		t.Errorf("it ended %+v", end)
	}
	if !slices.Equal(w.locks(), lock) {
		t.Errorf("locks %v, want that of the other job, %v", w.locks(), lock)
	}

	w.fast()
	behind := w.order(into("repository-1", "", "albums-001"))
	if end := w.awaitEnd(w.order(into("repository-2", second, "wine-00001"))); end.State != topics.Succeeded {
		t.Errorf("in another repository: %+v", end)
	}
	hellos := func() (n int) { w.mu.Lock(); defer w.mu.Unlock(); return len(w.hellos) }
	had := hellos()
	w.stopBroker()
	w.start(w.address)
	w.seen("the next hello", func() bool { return len(w.hellos) > had })
	if j, _, end := w.job(crawls); end != nil || j.State != topics.Running {
		t.Fatalf("the first is %s, %+v, want it to run still", j.State, end)
	}
	if j, _, _ := w.job(behind); j.State == topics.Running || j.State.Ended() {
		t.Errorf("in the same repository it is %s, want it to wait", j.State)
	}
	w.cancel(crawls)
	w.awaitEnd(crawls)
	if end := w.awaitEnd(behind); end.State != topics.Succeeded {
		t.Errorf("in the same repository after it: %+v", end)
	}
}
