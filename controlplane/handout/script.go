package handout

import (
	"context"
	_ "embed" // the scripts
	"fmt"
	"strings"

	"github.com/restic-manager/restic-manager/words"
)

//go:embed install.sh
var shell string

//go:embed install.ps1
var powerShell string

// A Source is where a script has its files come from.
type Source struct {
	URL string // of the directory, with a slash at its end; "" is nowhere
	Pin string // the key to expect there; "" is a certificate that the system knows
}

// Secure is the pages' address if a host can know by it whom it speaks with.
func (s *Service) Secure(ctx context.Context) (url string, ok bool) {
	url = s.Public(ctx)
	return url, strings.HasPrefix(url, "https://")
}

func (s *Service) source(ctx context.Context, door Door) (from Source, agents, problem string, err error) {
	at, err := s.Reach.Of(ctx)
	if err != nil {
		return from, "", "", err
	}
	if at.Say != "" {
		problem = at.Say + " " + at.Do
		if strings.HasPrefix(at.Dial, "SERVER:") {
			return from, "", problem, nil
		}
	}
	if url, ok := s.Secure(ctx); ok && door == PagesDoor {
		return Source{URL: url + FilesPath}, at.Dial, problem, nil
	}
	return Source{URL: "https://" + at.Dial + FilesPath, Pin: s.Pin()}, at.Dial, problem, nil
}

// script is one of the scripts with the addresses and checksums of now. No value in it has
// a character that a shell or PowerShell would read as anything but itself.
func (s *Service) script(ctx context.Context, door Door, path string) (string, error) {
	from, agents, problem, err := s.source(ctx, door)
	if err != nil {
		return "", err
	}
	stock := s.Stock()
	var table strings.Builder
	for _, f := range stock.Files {
		fmt.Fprintf(&table, "%s %s %s %s %s\n", f.OS, f.Arch, f.Kind, f.SHA256, f.Name)
	}
	if len(stock.Files) == 0 {
		problem = strings.TrimSpace(problem + " " + stock.Missing + " " + stock.Remedy)
	}
	text := shell
	if path == PowerShellPath {
		text = powerShell
		if from.Pin != "" { // what Windows brings along has no TLS 1.3 everywhere, and no pin
			problem = strings.TrimSpace(problem + " This server's pages have no https address that PowerShell could check. Copy the package to " +
				"this machine, and use the two commands of the page Add host.")
		}
	}
	return strings.NewReplacer(
		"@FILES@", harmless(from.URL), "@PIN@", harmless(from.Pin), "@AGENTS@", harmless(agents),
		"@PROBLEM@", harmless(problem), "@TABLE@", harmless(strings.TrimSuffix(table.String(), "\n")),
	).Replace(text), nil
}

// harmless takes out of a text what could end the quotes around it in either language.
func harmless(text string) string {
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		lines[i] = strings.Map(func(r rune) rune {
			if strings.ContainsRune("'\"`$\\‘’‚‛“”„", r) {
				return -1
			}
			return r
		}, words.Visible(line))
	}
	return strings.Join(lines, "\n")
}
