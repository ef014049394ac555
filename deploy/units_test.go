package deploy

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// TestUnitsMayDoLittle asks systemd how exposed the units are: 0 is nothing, 10 is
// everything.
func TestUnitsMayDoLittle(t *testing.T) {
	narrow := filepath.Join(t.TempDir(), "restic-manager-agent.service")
	if err := os.WriteFile(narrow, []byte(AgentUnit+"\n"+AgentBackup), 0o600); err != nil { // as systemd reads a drop-in
		t.Fatal(err)
	}
	for unit, most := range map[string]float64{"restic-manager.service": 1.5, "restic-manager-agent.service": 4.0, narrow: 2.5} {
		out, err := exec.Command("systemd-analyze", "security", "--offline=true", "--no-pager", unit).CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v; this test needs systemd-analyze of systemd 250 or later, on Debian in the package systemd: %s",
				unit, err, out)
		}
		m := regexp.MustCompile(`Overall exposure level for \S+: ([0-9.]+)`).FindSubmatch(out)
		if m == nil {
			t.Fatalf("systemd-analyze says nothing of %s: %s", unit, out)
		}
		if level, err := strconv.ParseFloat(string(m[1]), 64); err != nil || level > most {
			t.Errorf("%s is exposed by %s, want at most %.1f:\n%s", unit, m[1], most, out)
		}
	}
}

// TestTheAgentsUnitKeepsNothingFromBackups sees that nobody narrows the agent's unit by
// what would leave files out of backups, or have restores fail.
func TestTheAgentsUnitKeepsNothingFromBackups(t *testing.T) {
	set := settings(t, "restic-manager-agent.service")
	for _, hides := range []string{"ProtectSystem", "ProtectHome", "PrivateTmp", "PrivateDevices", "ProtectKernelModules", "RestrictSUIDSGID",
		"PrivateUsers", "DynamicUser", "User", "InaccessiblePaths", "TemporaryFileSystem", "ReadOnlyPaths", "RootDirectory", "MountFlags"} {
		if set[hides] != nil {
			t.Errorf("%s=%s keeps files from backups or restores", hides, set[hides])
		}
	}
	held := strings.Join(set["CapabilityBoundingSet"], " ")
	for _, needed := range []string{"CAP_DAC_READ_SEARCH", "CAP_DAC_OVERRIDE", "CAP_CHOWN", "CAP_FOWNER", "CAP_FSETID", "CAP_MKNOD",
		"CAP_SETFCAP"} {
		if !strings.Contains(held, needed) {
			t.Errorf("without %s files are not read or restored as they were", needed)
		}
	}
}

// TestTheNarrowUnitStillBacksUpEverything sees that the drop-in for the policy backup hides
// no file, and leaves what restores below the state directory need.
func TestTheNarrowUnitStillBacksUpEverything(t *testing.T) {
	set := settings(t, "restic-manager-agent-backup.conf")
	for _, hides := range []string{"PrivateTmp", "ProtectKernelModules", "RestrictSUIDSGID", "PrivateUsers", "DynamicUser",
		"InaccessiblePaths", "TemporaryFileSystem", "RootDirectory", "ProcSubset"} {
		if set[hides] != nil {
			t.Errorf("%s=%s keeps files from backups, or owners and modes from restores", hides, set[hides])
		}
	}
	if home := strings.Join(set["ProtectHome"], ""); home != "read-only" {
		t.Errorf("ProtectHome=%s hides homes", home)
	}
	if open := strings.Join(set["ReadWritePaths"], ""); open != "/var/lib/restic-manager-agent" {
		t.Errorf("ReadWritePaths=%s: restores go below the state directory, and nowhere else", open)
	}
	for _, setting := range []string{"CapabilityBoundingSet", "AmbientCapabilities"} { // its user has no others than it is given
		held := strings.Join(set[setting], " ")
		for _, needed := range []string{"CAP_DAC_READ_SEARCH", "CAP_DAC_OVERRIDE", "CAP_CHOWN", "CAP_FOWNER", "CAP_FSETID", "CAP_SETFCAP"} {
			if !strings.Contains(held, needed) {
				t.Errorf("without %s in %s files are not read or restored as they were", needed, setting)
			}
		}
	}
}

// TestTheKeyIsNotWhereTheDataIs compares the unit with what people are told to type.
func TestTheKeyIsNotWhereTheDataIs(t *testing.T) {
	set := settings(t, "restic-manager.service")
	key, ok := strings.CutPrefix(strings.Join(set["LoadCredential"], " "), "restic-manager-key:")
	if !ok || strings.HasPrefix(key, "/var/lib/") || strings.Contains(strings.Join(set["ExecStart"], " "), "--key-file") {
		t.Errorf("the key comes from %q", key)
	}
	for _, file := range []string{"restic-manager.service", "../README.md"} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, says := range []string{"install -d -m 0700 /etc/restic-manager", "openssl rand -hex 32 >" + key, "/var/lib/restic-manager/data"} {
			if !strings.Contains(string(text), says) {
				t.Errorf("%s does not say %q", file, says)
			}
		}
	}
}

// TestStateAndDataAreWhereEverybodySays compares units, packages, image and what people
// are told.
func TestStateAndDataAreWhereEverybodySays(t *testing.T) {
	for file, says := range map[string][]string{
		"restic-manager.service":                      {"--data /var/lib/restic-manager/data", "StateDirectory=restic-manager\n"},
		"restic-manager-agent.service":                {"--state /var/lib/restic-manager-agent"},
		"../README.md":                                {"/var/lib/restic-manager/data", "/var/lib/restic-manager-agent"},
		"../docs/INSTALL.md":                          {"/var/lib/restic-manager/data", "/var/lib/restic-manager-agent"},
		"../build/packages/restic-manager.init":       {"--data /var/lib/restic-manager/data", "--key-file /etc/restic-manager/key"},
		"../build/packages/restic-manager-agent.init": {"--state /var/lib/restic-manager-agent"},
		"../build/packages/restic-manager-agent.yaml": {"dst: /var/lib/restic-manager-agent, type: dir, file_info: { mode: 0700 }"},
		"../build/packages/scripts/plane.postinst":    {"key=/etc/restic-manager/key"},
		"../build/packages/scripts/agent.postrm":      {"state=/var/lib/restic-manager-agent"},
		"../build/packages/agent.wxs":                 {"[CommonAppDataFolder]restic-manager-agent"},
		"../build/release/image.go":                   {`"var/lib/restic-manager"`, `RESTIC_MANAGER_DATA=/" + data + "/data`},
		"compose.yaml":                                {"data:/var/lib/restic-manager"},
	} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range says {
			if !strings.Contains(string(text), s) {
				t.Errorf("%s does not say %q", file, s)
			}
		}
	}
}

func settings(t *testing.T, unit string) map[string][]string {
	t.Helper()
	text, err := os.ReadFile(unit)
	if err != nil {
		t.Fatal(err)
	}
	set := map[string][]string{}
	for line := range strings.Lines(string(text)) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok && name[0] != '#' {
			set[name] = append(set[name], value)
		}
	}
	return set
}
