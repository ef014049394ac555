package views

import (
	"net/url"
)

// A Kit is what somebody needs to read a repository with restic alone. It holds
// secrets: they are shown to the letter, never through [Visible], which would
// make them others; the commands hold no sign that deceives.
type Kit struct {
	Name       string
	Facts      []KitFact
	Notes      []string
	Exports    []string
	PowerShell []string
	Steps      []KitStep
	By         string // who had it shown
}

// A KitFact is one secret by its name. Value is "" if it cannot be printed.
type KitFact struct{ Name, Value string }

// A KitStep is one command, and what it does.
type KitStep struct{ Title, Text, Command string }

// KitURL is the page of a repository's emergency kit.
func KitURL(repository string) string { return "/repositories/" + url.PathEscape(repository) + "/kit" }
