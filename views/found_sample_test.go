package views_test

import (
	"strings"
	"time"

	"github.com/restic-manager/restic-manager/views"
)

// foundSamples are the pages about what searches and diffs found.
func foundSamples() []sample {
	version := func(of string, in int) views.FoundVersion {
		return views.FoundVersion{Snapshot: "0a1b2c3d", At: past(3 * time.Hour), Changed: past(40 * time.Hour), Size: "48.8 KiB", In: in,
			Restore: views.RestoreNewURL("vault", "0a1b2c3d", "", of)}
	}
	path := func(name string, broken bool, versions int) views.FoundPath {
		p := views.FoundPath{Path: name, Type: "file", Broken: broken, URL: views.VersionsURL("vault", "", name)}
		for i := range versions {
			p.Versions = append(p.Versions, version(name, i+1))
		}
		return p
	}
	url := func(page int) string { return views.FoundURL("j1", "", page) }
	rows := []views.FoundPath{path("/home/anna/letter.txt", false, 3), path("/home/anna/"+hostile, false, 1),
		path("/home/anna/caf\uFFFD.txt", true, 1)}
	found := views.Found{JobID: "j1", Pattern: "*.txt", Matches: 900, Total: 250, Rows: rows, Page: true,
		Paging: views.PagingBy(250, 2, views.FoundRows, "path", "paths", url)}
	running, none, gone := found, found, found
	running.Running, running.Cut = true, true
	none.Rows, none.Total, none.Paging = nil, 0, views.Paging{}
	gone.Gone, gone.Rows = true, nil
	diff := views.Diff{JobID: "j2", RepositoryID: "vault", From: "0a1b2c3d", To: "4e5f6a7b", Found: 900, Damaged: 1, Cut: true, Page: true,
		Tabs: []views.Tab{{Text: "All", Count: 900, URL: views.DiffURL("j2", "", "", 1), Current: true},
			{Text: "Added", Icon: "plus", Count: 12, URL: views.DiffURL("j2", "added", "", 1)}},
		Paging: views.PagingBy(900, 1, views.DiffRows, "change", "changes", func(p int) string { return views.DiffURL("j2", "", "", p) })}
	for _, dir := range []string{"/srv/data", "/srv/" + hostile} {
		f := views.DiffFolder{Path: dir, Sum: "3 added, 1 damaged", Total: 12}
		for i, k := range views.DiffKinds {
			f.Changes = append(f.Changes, views.DiffChange{Name: string(rune('a'+i)) + hostile,
				Path: dir + "/" + string(rune('a'+i)), Kind: k})
		}
		diff.Folders = append(diff.Folders, f)
	}
	proven := views.ProvenFile{Path: "/home/anna/letter.txt", Size: "48.8 KiB", Hash: strings.Repeat("0a1b2c3d", 8), Snapshot: "0a1b2c3d",
		Proven: true, Verdict: "Proven: as the host has it"}
	differs, folder := proven, proven
	differs.Path, differs.Proven, differs.Verdict, differs.Why = "/home/"+hostile, false, "Not proven: it differs", hostile
	folder.Path, folder.Size, folder.Hash, folder.Verdict = "/home/anna", "", "", "Proven: it came back"
	proofs := views.Proofs{JobID: "j3", Total: 800, Failed: 1, Cut: true, Page: true, Rows: []views.ProvenFile{differs, proven, folder},
		Paging: views.PagingBy(800, 2, views.ProofRows, "file", "files", func(p int) string { return views.ProofsURL("j3", false, p) })}
	sound := views.Proofs{JobID: "j3", Total: 800, OnlyFailed: true, Page: true}
	same := views.Diff{JobID: "j2", From: "0a1b2c3d", To: "4e5f6a7b", Tabs: diff.Tabs}
	jobs := views.Link{Text: "Jobs", URL: "/jobs"}
	search := views.Search{Repositories: []views.Option{{Value: "r1", Text: "vault"}, {Value: "r2", Text: hostile}},
		Hosts: []views.Option{{Value: "h1", Text: "attic"}}, Host: "h1", Pattern: hostile, IgnoreCase: true,
		Recent: []views.JobRow{{ID: "j1", Kind: "find", Group: hostile, Status: views.JobStatus("running"), At: past(time.Minute)}}}
	wrong := search
	wrong.Problems = map[string]string{"pattern": "Say what to look for.", "host": "There is no snapshot of this host in the repository."}
	versions := views.Versions{Repository: "vault", RepositoryID: "r1", Host: "attic", HostID: "h1", Path: "/home/anna/" + hostile,
		Rows: []views.VersionRow{{FoundVersion: version("/x", 3)}, {FoundVersion: version("/x", 1)}}}
	empty, refused := versions, versions
	empty.Rows = nil
	refused.Rows, refused.Problem = nil, &views.Note{Tone: "warn", Title: "attic is offline",
		Text: "Nobody can look now. Ask again when it is back."}
	palette := views.Palette{Text: "at%ic " + hostile, Groups: []views.PaletteGroup{
		{Title: "Hosts", Items: []views.PaletteItem{{Icon: "server", Text: "Open " + hostile, Note: "Failed " + hostile, URL: "/hosts/h1"}}},
		{Title: "Commands", Items: []views.PaletteItem{{Icon: "archive-restore", Text: "Restore files of attic…",
			URL: views.RestoreNewURL("", "", "h1", "")}}}}}
	form := views.VersionsForm{Repositories: search.Repositories, Repository: "r2",
		Hosts: []views.Runner{{ID: "h1", Name: hostile, Host: hostile}}, Host: "h1", Path: "/home/" + hostile}
	return []sample{
		{"palette", views.PalettePage(shell("Search and commands", "", jobs), palette)},
		{"palette_nothing", views.PalettePage(shell("Search and commands", "", jobs), views.Palette{Text: hostile})},
		{"palette_list", views.PaletteList(palette)},
		{"versions_form", views.VersionsFormPage(shell("Versions of a file", "", jobs), form)},
		{"search", views.SearchPage(shell("Find files", "", jobs), search)},
		{"search_wrong", views.SearchPage(shell("Find files", "", jobs), wrong)},
		{"found", views.FoundPage(shell("Found", "", jobs), found)},
		{"found_running", views.FoundPage(shell("Found", "", jobs), running)},
		{"found_nothing", views.FoundPage(shell("Found", "", jobs), none)},
		{"found_gone", views.FoundPage(shell("Found", "", jobs), gone)},
		{"diff", views.DiffPage(shell("Changes", "", jobs), diff)},
		{"diff_same", views.DiffPage(shell("Changes", "", jobs), same)},
		{"proofs", views.ProofsPage(shell("Proofs", "", jobs), proofs)},
		{"proofs_all_proven", views.ProofsPage(shell("Proofs", "", jobs), sound)},
		{"proofs_gone", views.ProofsPage(shell("Proofs", "", jobs), views.Proofs{JobID: "j3", Gone: true, Page: true})},
		{"versions", views.VersionsPage(shell("Versions", "", jobs), versions)},
		{"versions_none", views.VersionsPage(shell("Versions", "", jobs), empty)},
		{"versions_refused", views.VersionsPage(shell("Versions", "", jobs), refused)},
	}
}
