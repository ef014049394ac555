// Package deploy holds the systemd units; its tests see that they stay as narrow as
// they are.
package deploy

import (
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// TestUnitsMayDoLittle asks systemd how exposed the units are: 0 is nothing, 10 is
// everything.
func TestUnitsMayDoLittle(t *testing.T) {
	for unit, most := range map[string]float64{"restic-manager.service": 1.5, "restic-manager-agent.service": 4.0} {
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
