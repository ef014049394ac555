package handout

import (
	"context"
	"encoding/json"
	"path"
	"slices"
	"strings"

	"github.com/restic-manager/restic-manager/controlplane/field"
	"github.com/restic-manager/restic-manager/controlplane/reach"
	"github.com/restic-manager/restic-manager/words"
)

// Systems a host may have.
const (
	Linux   = "linux"
	Windows = "windows"
)

// A Policy is one of the agent's presets, in words.
type Policy struct{ Name, Title, Text string }

// Policies are the agent's presets, from the least to everything. What a host permits
// stands in the command that enrols it, and nothing that this server answers changes it.
var Policies = []Policy{
	{"backup", "Back up", "Backups, looking into them, and restores into a folder of the agent's own. Nothing that is there is " +
		"written over, and snapshots are never removed from here."},
	{"restore", "Back up and restore",
		"The same, and restores below directories that you name here. Whoever has this server can write there."},
	{"keeper", "Back up and keep the repository", "As back up, and forget, prune and check: for the host that looks after a repository. " +
		"Whoever has this server can remove snapshots with it."},
	{"managed", "Everything", "Any operation, any directory, over files that are there: whoever has this server has the host. For " +
		"machines that are managed from here anyway."},
}

// A Want is the host that a command is for.
type Want struct {
	System string // Linux or Windows; "" is Linux
	Policy string // one of Policies; "" is the narrowest
	// RestoreRoots are the directories below which restores may write, of the policy restore
	// alone.
	RestoreRoots []string
}

// Check fills in what is left out, and reports what is wrong as [field.Errors].
func (w *Want) Check() error {
	wrong := field.Errors{}
	if w.System == "" {
		w.System = Linux
	}
	if w.System != Linux && w.System != Windows {
		wrong.Say("system", "It is linux or windows.")
	}
	if w.Policy == "" {
		w.Policy = Policies[0].Name
	}
	if !slices.ContainsFunc(Policies, func(p Policy) bool { return p.Name == w.Policy }) {
		wrong.Say("policy", "It is backup, restore, keeper or managed.")
	}
	roots := []string{}
	for _, dir := range w.RestoreRoots {
		dir = field.Clean(dir)
		if dir == "" {
			continue
		}
		absolute := path.IsAbs(dir)
		if w.System == Windows {
			absolute = len(dir) > 2 && dir[1] == ':' && strings.ContainsAny(dir[2:3], `\/`)
		}
		if !absolute || !field.Visible(dir) || strings.ContainsAny(dir, "\"'") {
			wrong.Say("restore_root", "Write each directory in full, without quotes: /srv/restored, or D:\\restored on Windows.")
		}
		roots = append(roots, dir)
	}
	w.RestoreRoots = roots
	if w.Policy == "restore" && len(roots) == 0 {
		wrong.Say("restore_root", "Say below which directory restores may write: the policy restore permits it nowhere else.")
	}
	if w.Policy != "restore" {
		w.RestoreRoots = nil
	}
	return wrong.Err()
}

// Commands are what somebody runs on a host.
type Commands struct {
	Server string // what agents dial
	// Install is the one line that installs, enrols and starts; "" if that cannot be had
	// safely, and then Why says why, and Do what to do.
	Install string
	Pinned  bool   // Install knows the agents' port by its key, and not the pages by their certificate
	Enrol   string // enrols, where the agent is installed
	Start   []string
	Why, Do string
	// Say and Remedy are what is wrong with the address, "" if nothing is.
	Say, Remedy string
	Files       []File // of the system, to download by hand
	From        string // where these are, with a slash at the end; "" is beside the pages
}

// StateOf is the agent's state directory on a system.
func StateOf(system string) string {
	if system == Windows {
		return `C:\ProgramData\restic-manager-agent`
	}
	return "/var/lib/restic-manager-agent"
}

// Commands are those for a token, or for "TOKEN" where somebody is to put one.
func (s *Service) Commands(ctx context.Context, token string, w Want) (Commands, error) {
	at, err := s.Reach.Of(ctx)
	if err != nil {
		return Commands{}, err
	}
	c := Commands{Server: at.Dial, Say: at.Say, Remedy: at.Do}
	stock := s.Stock()
	for _, f := range stock.Files {
		if f.OS == w.System {
			c.Files = append(c.Files, f)
		}
	}
	url, secure := s.Secure(ctx)
	c.Enrol = "restic-manager-agent enroll --server " + at.Dial + " --token " + token + " --state " + StateOf(w.System) + w.flags(word)
	if w.System == Windows {
		c.windows(token, url, secure, w)
		c.Start = []string{"restic-manager-agent install", "restic-manager-agent start"}
	} else {
		c.linux(s, at, token, url, secure, w)
		c.Start = []string{"restic-manager-agent run --state " + StateOf(w.System)}
	}
	if len(c.Files) == 0 {
		c.Install, c.Why, c.Do = "", stock.Missing, stock.Remedy
		if c.Why == "" {
			c.Why = "There is no agent for this system in " + stock.Dir + "."
			c.Do = "Put its package there, or copy the agent to the host yourself."
		}
	}
	return c, nil
}

func (c *Commands) linux(s *Service, at reach.Address, token, url string, secure bool, w Want) {
	rest := " | sudo sh -s -- --token " + token + w.flags(word)
	switch pin := s.Pin(); {
	case secure:
		c.Install = "curl -fsSL " + words.Quoted(url+ShellPath) + rest
	case strings.HasPrefix(at.Dial, "SERVER:") || pin == "":
		c.Why, c.Do = "The line that installs needs an address.", "Say at which address agents reach this server."
	default:
		c.Pinned = true
		c.Install = "curl -fsSk --tlsv1.3 --pinnedpubkey 'sha256//" + pin + "' https://" + at.Dial + ShellPath + rest
	}
}

func (c *Commands) windows(token, url string, secure bool, w Want) {
	if !secure {
		c.Why = "The line that installs needs pages with an https address: PowerShell checks nothing else."
		c.Do = "Say at which https address people find these pages, or copy the package to the machine, install it, and run the " +
			"commands below."
		return
	}
	script := strings.ReplaceAll(url+PowerShellPath, "'", "''")
	c.Install = "& ([scriptblock]::Create((irm '" + script + "'))) -Token " + token + " -Policy " + w.Policy
	if len(w.RestoreRoots) > 0 {
		quoted := make([]string, len(w.RestoreRoots))
		for i, dir := range w.RestoreRoots {
			quoted[i] = "'" + dir + "'"
		}
		c.Install += " -RestoreRoot " + strings.Join(quoted, ",")
	}
}

// flags are those of the policy.
func (w Want) flags(quote func(Want, string) string) string {
	if w.Policy == "" {
		return ""
	}
	text := " --policy " + w.Policy
	for _, dir := range w.RestoreRoots {
		text += " --restore-root " + quote(w, dir)
	}
	return text
}

func word(w Want, dir string) string {
	if w.System == Windows {
		return `"` + dir + `"`
	}
	return words.Quoted(dir)
}

// TokenFileName is the file in the state directory that a service without an identity
// picks up.
const TokenFileName = "enroll.json"

// TokenFile is its content. The token has the fingerprint of the CA in it.
func TokenFile(server, token, policy string) string {
	b, err := json.Marshal(struct {
		Server string `json:"server"`
		Token  string `json:"token"`
		Policy string `json:"policy"`
	}{Server: server, Token: token, Policy: policy})
	if err != nil {
		panic(err) // texts become JSON
	}
	return string(b)
}
