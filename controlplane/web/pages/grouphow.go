package pages

import (
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/repositories"
	"github.com/restic-manager/restic-manager/controlplane/sources"
	"github.com/restic-manager/restic-manager/controlplane/web/base"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
	"github.com/restic-manager/restic-manager/views"
	"github.com/restic-manager/restic-manager/words"
)

// showHow fills in how a group is backed up: the hooks its host permits, and
// those it has.
func showHow(f *views.GroupForm, h store.Host, g topics.SourceGroup) {
	l := g.Limits
	f.Windows, f.LiveFiles, f.OneFileSystem, f.LowPriority, f.Zone = h.OS == "windows", g.LiveFiles, g.OneFileSystem, l.LowPriority, l.Zone
	f.AllowEmpty, f.ShadowOnly = g.AllowEmpty, g.ShadowCopyOnly
	f.Tuning = tuningOf(g.Tuning)
	f.Tuning.Older = repositories.OlderAgent(h, g.Tuning)
	f.Upload, f.Download, f.From, f.To = positive(l.UploadKiB), positive(l.DownloadKiB), "", ""
	if l.From != l.To {
		f.From, f.To = base.ClockOf(l.From), base.ClockOf(l.To)
	}
	var names, permitted []string
	if p := h.Permits.V; p != nil {
		permitted = p.Hooks
	}
	f.Hooks = nil
	// Those it has come first, in their order, which is the order they run in.
	for _, name := range slices.Concat(g.Hooks.Before, g.Hooks.After, g.Hooks.OnFailure, permitted) {
		if slices.Contains(names, name) {
			continue
		}
		names = append(names, name)
		f.Hooks = append(
			f.Hooks,
			views.HookChoice{Name: name, Before: slices.Contains(g.Hooks.Before, name), After: slices.Contains(g.Hooks.After, name),
				OnFailure: slices.Contains(g.Hooks.OnFailure, name), Gone: !slices.Contains(permitted, name)},
		)
	}
}

// tuningOf is how restic makes a group's backups, for its form.
func tuningOf(t topics.Tuning) views.GroupTuning {
	out := views.GroupTuning{Compression: t.Compression, PackSize: positive(t.PackSizeMiB), Concurrency: positive(t.ReadConcurrency),
		Larger: t.ExcludeLarger, IfPresent: strings.Join(t.ExcludeIfPresent, "\n"), Caches: t.ExcludeCaches, ATime: t.WithATime, NoScan: t.NoScan,
		Compressions: []views.Option{{Value: "", Text: "as restic does by itself"}}}
	for _, word := range topics.Compressions {
		text := map[string]string{"auto": "auto", "off": "off", "max": "max: smaller, and slower", "fastest": "fastest, with restic 0.19",
			"better": "better, with restic 0.19"}[word]
		out.Compressions = append(out.Compressions, views.Option{Value: word, Text: text})
	}
	return out
}

// tuningWords says how restic makes a group's backups, "" if all is left to restic.
func tuningWords(t topics.Tuning) string {
	var all []string
	say := func(is bool, text string) {
		if is {
			all = append(all, text)
		}
	}
	say(t.Compression != "", "compression "+t.Compression)
	say(t.PackSizeMiB > 0, "packs of "+strconv.Itoa(t.PackSizeMiB)+" MiB")
	say(t.ReadConcurrency > 0, words.Count(uint64(max(t.ReadConcurrency, 0)), "file", "files")+" read at once")
	say(t.ExcludeCaches, "caches left out")
	say(t.ExcludeLarger != "", "files above "+t.ExcludeLarger+" left out")
	say(len(t.ExcludeIfPresent) > 0, "folders with "+strings.Join(t.ExcludeIfPresent, " or ")+" left out")
	say(t.WithATime, "times of reading")
	say(t.NoScan, "no look ahead")
	return strings.Join(all, ", ")
}

// readTuning reads those fields. What is no number at all is one that is refused.
func readTuning(p url.Values) topics.Tuning {
	t := topics.Tuning{Compression: p.Get("compression"), ExcludeLarger: strings.TrimSpace(p.Get("exclude_larger")),
		ExcludeCaches: p.Get("exclude_caches") != "", WithATime: p.Get("with_atime") != "", NoScan: p.Get("no_scan") != ""}
	for line := range strings.Lines(p.Get("exclude_if_present")) {
		if line = strings.TrimSpace(line); line != "" {
			t.ExcludeIfPresent = append(t.ExcludeIfPresent, line)
		}
	}
	for name, to := range map[string]*int{"pack_size": &t.PackSizeMiB, "read_concurrency": &t.ReadConcurrency} {
		if text := strings.TrimSpace(p.Get(name)); text != "" {
			n, err := strconv.Atoi(text)
			if err != nil {
				n = -1
			}
			*to = n
		}
	}
	return t
}

func positive(n int) string {
	if n <= 0 {
		return ""
	}
	return strconv.Itoa(n)
}

// readHow reads those fields into an input. What cannot be read at all is answered
// and makes the input one that is refused. f is what is shown if the form is shown
// again.
func readHow(p url.Values, h store.Host, was topics.SourceGroup, f *views.GroupForm, in *sources.Input) (misread string) {
	g := topics.SourceGroup{
		LiveFiles: was.LiveFiles,

		ShadowCopyOnly: was.ShadowCopyOnly,

		OneFileSystem: p.Get("one_file_system") != "",
		AllowEmpty:    p.Get("allow_empty") != "",
		Hooks: topics.Hooks{
			Before:    inOrder(was.Hooks.Before, p["hook_before"]),
			After:     inOrder(was.Hooks.After, p["hook_after"]),
			OnFailure: inOrder(was.Hooks.OnFailure, p["hook_on_failure"]),
		},
		Limits: topics.Limits{LowPriority: p.Get("low_priority") != "", Zone: strings.TrimSpace(p.Get("limits_zone"))},
	}
	if h.OS == "windows" {
		g.LiveFiles, g.ShadowCopyOnly = p.Get("live_files") != "", p.Get("shadow_copy_only") != ""
	}
	for name, to := range map[string]*int{"upload_kib": &g.Limits.UploadKiB, "download_kib": &g.Limits.DownloadKiB} {
		if text := strings.TrimSpace(p.Get(name)); text != "" {
			n, err := strconv.Atoi(text)
			if err != nil {
				n, misread = -1, "A bandwidth is a whole number of KiB a second, or empty."
			}
			*to = n
		}
	}
	from, to := p.Get("limits_from"), p.Get("limits_to")
	if from != "" || to != "" {
		begin, err1 := time.Parse("15:04", from)
		end, err2 := time.Parse("15:04", to)
		g.Limits.From, g.Limits.To = begin.Hour()*60+begin.Minute(), end.Hour()*60+end.Minute()
		if err1 != nil || err2 != nil {
			g.Limits.From, misread = -1, "Give both hours, or neither."
		}
	}
	g.Tuning = readTuning(p)
	showHow(f, h, g)
	f.Tuning.PackSize, f.Tuning.Concurrency = strings.TrimSpace(p.Get("pack_size")), strings.TrimSpace(p.Get("read_concurrency"))
	f.Upload, f.Download, f.From, f.To = p.Get("upload_kib"), p.Get("download_kib"), from, to // as they were typed
	in.OneFileSystem, in.AllowEmpty, in.Hooks, in.Limits = &g.OneFileSystem, &g.AllowEmpty, &g.Hooks, &g.Limits
	in.Tuning = &g.Tuning
	if h.OS == "windows" {
		in.LiveFiles, in.ShadowOnly = &g.LiveFiles, &g.ShadowCopyOnly
	}
	return misread
}

// inOrder are the chosen names, those that were there before in their order.
func inOrder(was, chosen []string) (out []string) {
	for _, name := range slices.Concat(was, chosen) {
		if slices.Contains(chosen, name) && !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	return out
}
