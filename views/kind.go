package views

import "strings"

// kinds is how each kind of job is shown. One that is missing is shown by its own
// name.
var kinds = map[string]struct{ word, icon string }{
	"backup":    {word: "Backup", icon: "cloud-upload"},
	"init":      {word: "Set up repository", icon: "database"},
	"forget":    {word: "Forget", icon: "scissors"},
	"prune":     {word: "Prune", icon: "eraser"},
	"check":     {word: "Check", icon: "shield-check"},
	"tag":       {word: "Change tags", icon: "pencil"},
	"rewrite":   {word: "Take files out", icon: "scissors"},
	"repair":    {word: "Repair", icon: "shield-check"},
	"unlock":    {word: "Unlock", icon: "lock-open"},
	"snapshots": {word: "Snapshots", icon: "database"},
	"stats":     {word: "Stats", icon: "database"},
	"diff":      {word: "Diff", icon: "git-compare"},
	"drill":     {word: "Restore drill", icon: "archive-restore"},
	"restore":   {word: "Restore", icon: "archive-restore"},
	"find":      {word: "Find", icon: "search"},
	"key":       {word: "Keys", icon: "key-round"},
	"locks":     {word: "Locks", icon: "lock"},
	"copy":      {word: "Copy", icon: "copy"},
	"update":    {word: "Update", icon: "refresh-cw"},
}

// KindWord is a job's kind as a title: "Backup".
func KindWord(kind string) string {
	if k, ok := kinds[kind]; ok {
		return k.word
	}
	if kind == "" {
		return "Job"
	}
	return strings.ToUpper(kind[:1]) + kind[1:]
}

// KindWords is a job's kind and whether it only says what would happen: "Restore, dry
// run".
func KindWords(kind string, dryRun bool) string {
	if dryRun {
		return KindWord(kind) + ", dry run"
	}
	return KindWord(kind)
}

func kindIcon(kind string) string {
	if k, ok := kinds[kind]; ok {
		return k.icon
	}
	return "activity"
}
