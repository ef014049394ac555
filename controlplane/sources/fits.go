package sources

import "time"

// A Fit is what most people back up of a kind of machine: a beginning for the first source
// group, which a person looks through before anything is saved.
type Fit struct {
	Value, Title    string
	Name            string // of the group
	Paths, Excludes []string
	Plan            Plan
}

// A Plan is when most people back such a machine up.
type Plan struct {
	Name, Cron string
	Spread     time.Duration // it begins up to so much later, so that a fleet does not begin all at once
}

// Machines that are always on are backed up while nobody works; the others while somebody
// does, and what is missed is made up for when they are back.
var (
	atNight = Plan{"nightly", "30 2 * * *", time.Hour}
	atNoon  = Plan{"daily", "30 12 * * *", 30 * time.Minute}
)

var unixFits = []Fit{
	{Value: "server", Title: "Linux server", Name: "system", Paths: []string{"/etc", "/home", "/root", "/srv", "/opt", "/usr/local", "/var"},
		Excludes: []string{"/var/cache", "/var/tmp", "/var/lib/docker/overlay2", "/var/lib/containers/storage/overlay", "/home/*/.cache",
			"/root/.cache", "lost+found"}, Plan: atNight},
	{Value: "laptop", Title: "Linux laptop or desktop", Name: "home", Paths: []string{"/etc", "/home", "/root"},
		Excludes: []string{"/home/*/.cache", "/home/*/.local/share/Trash", "/home/*/.var/app/*/cache", "/home/*/snap/*/*/.cache", "/root/.cache",
			"node_modules", "lost+found"}, Plan: atNoon},
}

var windowsFits = []Fit{
	{Value: "pc", Title: "Windows PC", Name: "users", Paths: []string{`C:\Users`},
		Excludes: []string{`C:\Users\*\AppData\Local\Temp`, `C:\Users\*\AppData\Local\Microsoft\Windows\INetCache`,
			`C:\Users\*\AppData\Local\Packages\*\TempState`, `C:\Users\*\NTUSER.DAT*`, "$RECYCLE.BIN", "pagefile.sys", "hiberfil.sys",
			"System Volume Information"}, Plan: atNoon},
	{Value: "windows-server", Title: "Windows server", Name: "data", Paths: []string{`C:\ProgramData`, `C:\Users`, `C:\inetpub`},
		Excludes: []string{`C:\ProgramData\restic-manager-agent`, `C:\ProgramData\Package Cache`, `C:\Users\*\AppData\Local\Temp`,
			"$RECYCLE.BIN", "pagefile.sys", "System Volume Information"}, Plan: atNight},
}

// Fits are those of an operating system, as Go names it, the likeliest first. A machine
// that comes and goes is rather a laptop.
func Fits(system string, comesAndGoes bool) []Fit {
	if system == "windows" {
		return windowsFits
	}
	if comesAndGoes {
		return []Fit{unixFits[1], unixFits[0]}
	}
	return unixFits
}

// FitOf is the one that somebody chose, else the likeliest.
func FitOf(system string, comesAndGoes bool, chosen string) Fit {
	all := Fits(system, comesAndGoes)
	for _, f := range all {
		if f.Value == chosen {
			return f
		}
	}
	return all[0]
}
