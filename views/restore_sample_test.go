package views_test

import (
	"time"

	"github.com/restic-manager/restic-manager/views"
)

// restoreSamples are the pages of a restore that is put together.
func restoreSamples() []sample {
	sh := shell("Restore files", "")
	frame := func(page string) views.Restore {
		return views.Restore{ID: "d1", Page: page, Version: 3, Repository: views.Link{Text: hostile, URL: "/repositories/vault"},
			Reached: map[string]bool{views.RestoreSnapshot: true, views.RestoreFiles: true, views.RestoreDestination: true},
			Note: &views.Note{Tone: "warn", Title: "Another tab changed the moment meanwhile", Text: hostile,
				Command: hostile},
			Basket: views.Basket{Items: 2, Text: "1 file, 2.00 KiB, and 1 folder with all that is below", Groups: []views.BasketGroup{
				{Snapshot: "aa", ShortID: "aaaaaaaa", At: past(time.Hour), Items: []views.BasketItem{{Path: "/x", Name: hostile,
					Size: "2.00 KiB"}}},
				{Snapshot: "bb", ShortID: "bbbbbbbb", Gone: true, Items: []views.BasketItem{{Path: "/y", Name: "/y", Folder: true}}}}}}
	}
	tree := views.TreeList{Draft: "d1", Versions: true, Snapshot: "aa", Path: "/srv", Name: hostile, Total: "10,000 entries",
		More: "/restore/d1/files?after=250",
		Odd:  true, Entries: []views.TreeEntry{
			{Path: "/srv/a", Name: hostile, Folder: true, Icon: "folder", Mode: "drwxr-xr-x", Owner: hostile, At: past(time.Hour),
				Ticked: true},
			{Path: "/srv/b", Name: "b", Icon: "file", Size: "1 B", Bytes: "1", Mode: "-rw-r--r--", Target: hostile, Included: true},
			{Path: "/srv/c\uFFFD", Name: "c\uFFFD", Icon: "link", Odd: true}}}
	broken := tree
	broken.Entries, broken.More, broken.Retry, broken.Note = nil, "", "/restore/d1/files", &views.Note{Tone: "warn",
		Title: "Offline", Text: hostile}
	week := []views.MonthDay{{}, {}, {Day: 1}, {Day: 2, N: 1, URL: "/x", Label: "2 Nov 2026: 1 snapshot"}, {Day: 3, N: 9, URL: "/y",
		Here:  true,
		Label: "3 Nov 2026: 9 snapshots"}, {Day: 4}, {Day: 5}}
	option := []views.Option{{Value: "a", Text: hostile}}
	return []sample{
		{"restore drafts", views.DraftsPage(sh, views.Drafts{Rows: []views.Drafted{{ID: "d1", Repository: hostile, Text: hostile,
			To:      hostile,
			Touched: past(time.Hour), Ran: views.Link{Text: "Open the job", URL: "/jobs/1"}}}})},
		{"restore, discard a draft", views.RestoreDiscardPage(sh, frame(""))},
		{"restore, no drafts", views.DraftsPage(sh, views.Drafts{})},
		{"restore, a snapshot", views.RestoreMomentsPage(sh, views.RestoreMoments{Restore: frame(views.RestoreSnapshot),
			Action: "/restore/d1/snapshot",
			Hosts:  option, Groups: option, Repositories: option, Search: true, Older: "/o", Newest: "/n", Shown: 1,
			Total: 3000, Path: "/x",
			PathName: hostile, Into: option, ChosenSnapshot: "vault/aa", Month: views.Month{Title: "Nov 2026", Prev: "/p", Next: "/n",
				Weeks: [][]views.MonthDay{week}}, Rows: []views.MomentRow{{Value: "vault/aa", ShortID: "aaaaaaaa",
				At: past(time.Hour), Host: hostile,
				Group: hostile, Repository: hostile, Size: "1 GiB", Added: "1 MiB", Drop: "It holds far fewer files."}}})},
		{"restore, no snapshot", views.RestoreMomentsPage(sh, views.RestoreMoments{Action: "/restore/new"})},
		{"restore, files", views.RestoreTreePage(sh, views.RestoreTree{Restore: frame(views.RestoreFiles), Snapshot: "aa",
			ShortID: "aaaaaaaa",
			At:      past(time.Hour), From: hostile, Up: []views.Link{{Text: "/", URL: "/restore/d1/files"}}, List: tree,
			Readers: append(option, views.Option{Value: "b", Text: "b"})})},
		{"restore, files of a host that is away", views.RestoreTreePage(sh, views.RestoreTree{Restore: frame(views.RestoreFiles),
			List: broken})},
		{"restore, a place", views.RestorePlacePage(sh, views.RestorePlace{Restore: frame(views.RestoreDestination), Host: "attic",
			Where: "folder",
			New:   "/restored", Folder: hostile, Confirm: hostile,
			Errors: map[string]string{"folder": "Type one.", "confirm": hostile}, More: 3,
			Overwrites: []views.PlaceOption{{Value: "never", Text: "Leave it"}, {Value: "always", Text: "Replace it", Why: hostile}},
			Hosts: []views.PlaceHost{{ID: "attic", Name: hostile, Original: true,
				Connection: views.HostConnection("online", past(time.Hour))},
				{ID: "barn", Name: "barn", Why: hostile, Means: hostile, Do: "To permit it, its administrator runs there:",
					Command: hostile}}})},
		{"restore, a folder", views.RestoreFoldersPage(sh, views.RestoreFolders{Restore: frame(views.RestoreDestination),
			HostID: "attic", Host: hostile,
			Path: hostile, Up: "/up", Free: "1 GiB free", Rows: []views.FolderRow{{Name: hostile, URL: "/x"}}})},
		{"restore, review", views.RestoreReviewPage(sh, views.RestorePreview{Restore: frame(views.RestoreReview),
			To: []views.Fact{{Name: "To", Value: hostile}}, Commands: []views.PlainCommand{{ID: "c", Title: "Restore it",
				Text: hostile, Sh: hostile, PowerShell: hostile}},
			Dry: views.DryRun{Draft: "d1", State: "done", Title: "Dry run finished", Text: hostile, Stale: hostile,
				StaleDo: "Again.", Button: "Restore 2 files",
				Figures: []views.Figure{{Name: "New", Value: "2"}}, Missing: []string{hostile}, Space: "It needs 1 GiB.",
				NoSpace: true, Shown: "1 to 1 of 2",
				Next: "/n", Prev: "/p", Planned: []views.PlannedRow{{Word: "New", Tone: "ok", Icon: "plus", Path: hostile,
					Size: "1 B"}}}})},
		{"restore, commands", views.RestoreCommandsPage(sh, views.RestoreCommands{Restore: frame(""),
			Commands: []views.PlainCommand{{ID: "c", Title: "Restore it", Text: hostile, Sh: hostile + "\n" + hostile}}})},
		{"restore, no commands", views.RestoreCommandsPage(sh, views.RestoreCommands{})},
		{"restore, review under way", views.RestoreReviewPage(sh, views.RestorePreview{Restore: frame(views.RestoreReview),
			Dry: views.DryRun{Draft: "d1", State: "running", Title: "Under way", Percent: -1}})},
	}
}
