package doctor

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// A Unit is what systemd says of a service, by the names of its properties. An empty one
// is of a system without systemd.
type Unit map[string]string

// unitProperties are those that are judged.
var unitProperties = []string{"LoadState", "ActiveState", "UnitFileState", "NRestarts", "Result", "User", "DynamicUser", "ProtectSystem",
	"ProtectHome", "PrivateTmp", "PrivateDevices", "PrivateUsers", "ProtectKernelModules", "RestrictSUIDSGID", "ReadOnlyPaths",
	"ReadWritePaths",
	"InaccessiblePaths", "TemporaryFileSystem", "RootDirectory", "CapabilityBoundingSet", "AmbientCapabilities", "LimitNOFILE",
	"StateDirectory",
	"FragmentPath", "DropInPaths"}

// AskUnit asks systemd about a service.
func AskUnit(ctx context.Context, name string) Unit {
	out, err := exec.CommandContext(ctx, "systemctl", "show", "--property="+strings.Join(unitProperties, ","), name+".service").Output()
	if err != nil {
		return nil
	}
	return ParseUnit(string(out))
}

// ParseUnit reads what systemctl show prints.
func ParseUnit(out string) Unit {
	u := Unit{}
	for line := range strings.Lines(out) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok {
			u[name] = value
		}
	}
	return u
}

// Loaded reports whether there is such a unit.
func (u Unit) Loaded() bool { return u["LoadState"] == "loaded" }

// Number is a property that is a number.
func (u Unit) Number(name string) (int, bool) {
	n, err := strconv.Atoi(u[name])
	return n, err == nil
}

// Runs judges whether the service runs and starts with the machine.
func (u Unit) Runs(name, effect string) []Finding {
	switch {
	case u == nil:
		return []Finding{Well("this system is not run by systemd; what starts %s is not known here", name)}
	case !u.Loaded():
		return []Finding{{
			State: Warning, What: "there is no unit " + name + ".service", Effect: effect,
			Remedy: "install the package, or run restic-manager-agent install on a host",
		}}
	}
	var list []Finding
	if u["ActiveState"] != "active" {
		list = append(list, Finding{
			State: Fail, What: fmt.Sprintf("%s does not run (%s, %s)", name, u["ActiveState"], u["Result"]), Effect: effect,
			Remedy: "journalctl -u " + name + " -n 50 says why; systemctl start " + name,
		})
	} else {
		list = append(list, Well("%s runs", name))
	}
	if state := u["UnitFileState"]; state == "disabled" || state == "masked" {
		list = append(list, Finding{
			State: Warning, What: name + " does not start with the machine", Effect: effect + " after the next start of the machine",
			Remedy: "systemctl enable " + name,
		})
	}
	return list
}

// Access is what the service of a unit is to do with files.
type Access struct {
	Read, Write []string // directories
	Owners      bool     // files are given owners, modes and set-user-ID bits
	Hooks       bool     // programs are run that somebody wrote for root
}

// Allows judges whether a unit lets its service do that.
func (u Unit) Allows(name string, a Access) (list []Finding) {
	if !u.Loaded() {
		return nil
	}
	say := func(effect, format string, args ...any) {
		list = append(list, Finding{
			State: Fail, What: fmt.Sprintf(format, args...), Effect: effect,
			Remedy: "systemctl edit " + name + ", set it as deploy/ has it, then systemctl restart " + name,
		})
	}
	const misses, cannot = "backups miss files, and may say that all is well", "restores there fail"
	for _, dir := range a.Read {
		for _, hidden := range []struct{ setting, below string }{{"ProtectHome", "/home"}, {"ProtectHome", "/root"}, {"PrivateTmp", "/tmp"},
			{"PrivateTmp", "/var/tmp"}, {"ProtectKernelModules", "/usr/lib/modules"}} {
			value := u[hidden.setting]
			hides := value == "yes" || value == "tmpfs" || value == "disconnected"
			if hides && (within(dir, hidden.below) || within(hidden.below, dir)) {
				say(misses, "%s=%s hides %s from the service, and the policy lets backups read %s", hidden.setting, value, hidden.below, dir)
			}
		}
		for _, setting := range []string{"InaccessiblePaths", "TemporaryFileSystem"} {
			for _, path := range strings.Fields(u[setting]) {
				path, _, _ = strings.Cut(strings.TrimLeft(path, "-+"), ":")
				if path != "" && (within(dir, path) || within(path, dir)) {
					say(misses, "%s=%s hides files from the service, and the policy lets backups read %s", setting, path, dir)
				}
			}
		}
	}
	if len(a.Read) > 0 {
		if root := u["RootDirectory"]; root != "" && root != "/" {
			say(misses, "RootDirectory=%s hides all else from the service", root)
		}
		if u["PrivateUsers"] == "yes" || u["DynamicUser"] == "yes" || u.Steps() && !slices.Contains(u.held(), "CAP_DAC_READ_SEARCH") {
			say(misses, "the service does not run as root (User=%s, DynamicUser=%s, PrivateUsers=%s), nor with AmbientCapabilities that "+
				"let it read all", u["User"], u["DynamicUser"], u["PrivateUsers"])
		}
		u.lacks(say, misses, "CAP_DAC_READ_SEARCH")
	}
	for _, dir := range a.Write {
		if by := u.closed(dir); by != "" {
			say(cannot, "%s keeps the service from writing %s, where the policy lets it write; add ReadWritePaths=%[2]s", by, dir)
		}
	}
	if a.Owners {
		if u["RestrictSUIDSGID"] == "yes" {
			say("restored programs lose their set-user-ID bits", "RestrictSUIDSGID=yes is set")
		}
		u.lacks(say, "restored files do not get their owners and modes", "CAP_CHOWN", "CAP_FOWNER", "CAP_FSETID", "CAP_DAC_OVERRIDE",
			"CAP_SETFCAP")
	}
	if _, known := u["CapabilityBoundingSet"]; known && len(list) == 0 && a.Owners && !slices.Contains(u.held(), "CAP_MKNOD") {
		list = append(list, Well("restores leave device nodes out, since the unit has no CAP_MKNOD"))
	}
	if u.Steps() && a.Hooks {
		list = append(list, Well("hooks run as the user %s, not as root: what knows root by its name refuses them", u["User"]))
	}
	if len(list) == 0 {
		list = append(list, Well("the unit lets the service read and write what it is to"))
	}
	return list
}

// Steps reports whether the service runs as another user than root.
func (u Unit) Steps() bool { return u["User"] != "" && u["User"] != "root" && u["User"] != "0" }

// held are the capabilities that the service has: another user than root has those alone
// that it is given.
func (u Unit) held() []string {
	list := strings.Fields(strings.ToUpper(u["CapabilityBoundingSet"]))
	if u.Steps() {
		given := strings.Fields(strings.ToUpper(u["AmbientCapabilities"]))
		list = slices.DeleteFunc(list, func(c string) bool { return !slices.Contains(given, c) })
	}
	return list
}

// lacks says which capabilities a unit does not leave.
func (u Unit) lacks(say func(effect, format string, args ...any), effect string, needed ...string) {
	if _, known := u["CapabilityBoundingSet"]; !known {
		return
	}
	has := u.held()
	var missing []string
	for _, c := range needed {
		if !slices.Contains(has, c) {
			missing = append(missing, c)
		}
	}
	if len(missing) > 0 {
		setting := "CapabilityBoundingSet leaves"
		if u.Steps() {
			setting = "CapabilityBoundingSet and AmbientCapabilities leave"
		}
		say(effect, "%s out %s", setting, strings.Join(missing, " "))
	}
}

// closed is the setting that keeps a directory from being written, "" for none. The
// longest path decides, as systemd has it.
func (u Unit) closed(dir string) string {
	by, longest := "", -1
	rule := func(path, setting string, wins bool) {
		if within(dir, path) && (len(path) > longest || len(path) == longest && wins) {
			by, longest = setting, len(path)
		}
	}
	paths := func(setting string) []string { return strings.Fields(u[setting]) }
	switch u["ProtectSystem"] {
	case "strict":
		rule("/", "ProtectSystem=strict", true)
		for _, open := range []string{"/dev", "/proc", "/sys"} {
			rule(open, "", true)
		}
	case "full":
		rule("/etc", "ProtectSystem=full", true)
		fallthrough
	case "yes":
		rule("/usr", "ProtectSystem="+u["ProtectSystem"], true)
		rule("/boot", "ProtectSystem="+u["ProtectSystem"], true)
	}
	if u["ProtectHome"] == "read-only" {
		rule("/home", "ProtectHome=read-only", true)
		rule("/root", "ProtectHome=read-only", true)
	}
	for _, p := range paths("ReadOnlyPaths") {
		rule(strings.TrimLeft(p, "-+"), "ReadOnlyPaths", true)
	}
	for _, p := range paths("ReadWritePaths") {
		rule(strings.TrimLeft(p, "-+"), "", true)
	}
	for _, p := range paths("StateDirectory") {
		rule(filepath.Join("/var/lib", p), "", true)
	}
	return by
}

// within reports whether a path is another one, or below it.
func within(path, dir string) bool {
	dir = strings.TrimSuffix(dir, "/")
	rest, ok := strings.CutPrefix(path, dir)
	return ok && (rest == "" || rest[0] == '/')
}
