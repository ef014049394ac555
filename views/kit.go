package views

import (
	"net/url"
)

// Kits are one or several kits that are shown at once.
type Kits struct {
	Of     string   // "vault", "the host attic", "all repositories"
	Many   bool     // it may be of several repositories, though it holds one
	By     string   // who had it shown
	Last   KitShown // before this time
	Unread []string // what is missing, in sentences
	Kits   []Kit
}

// KitShown is when a kit was last shown, and to whom.
type KitShown struct {
	At When
	By string
}

// A KitRow is a kit that can be shown.
type KitRow struct {
	Link Link
	Text string
	Last KitShown
}

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
}

// A KitFact is one secret by its name. Value is "" if it cannot be printed.
type KitFact struct{ Name, Value string }

// A KitStep is one command, and what it does.
type KitStep struct{ Title, Text, Command string }

// AllKitsURL is the page of the emergency kits of all repositories.
const AllKitsURL = "/repositories/kit"

// HostKitURL is the page of the emergency kits of all repositories in which a host has something.
func HostKitURL(host string) string { return HostURL(host) + "/kit" }

// KitURL is the page of a repository's emergency kit.
func KitURL(repository string) string { return "/repositories/" + url.PathEscape(repository) + "/kit" }

// kitsHold says what whoever has a kit can read.
func kitsHold(k Kits) string {
	if k.Many {
		return "these repositories"
	}
	return "this repository"
}
