package agent

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// TestAMountPointInWaitingIsKnown by what the host's files say and what is mounted, and by
// what lies beside it.
func TestAMountPointInWaitingIsKnown(t *testing.T) {
	root := t.TempDir()
	put := func(name, text string) {
		path := filepath.Join(root, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	put("proc/self/mountinfo", `21 1 8:1 / / rw - ext4 /dev/sda1 rw
22 21 8:2 / /mnt/nas rw - ext4 /dev/sdb1 rw
23 21 8:3 / /srv/disks/one rw - ext4 /dev/sdc1 rw
24 21 8:4 / /mnt/all/inner rw - ext4 /dev/sdd1 rw
25 21 0:40 / /mnt/auto rw - autofs systemd-1 rw
`)
	put("etc/fstab", `# /dev/x /mnt/none ext4
UUID=1 / ext4
/dev/sdb1 /mnt/nas ext4
/dev/sde1 /mnt/my\040usb/ ext4
/dev/sdf1 /mnt/all ext4
/dev/sdg1 none swap sw 0 0
`)
	put("etc/systemd/system/mnt-late.mount", "[Mount]\nWhat=/dev/sdh1\nWhere=/mnt/late\n")
	put("run/systemd/generator/mnt-auto.automount", "[Automount]\nWhere=/mnt/auto\n")
	put("mnt/my usb/NOT-MOUNTED", "")
	for _, dir := range []string{"srv/disks/one", "srv/disks/two", "srv/plain/one", "srv/plain/two"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for path, want := range map[string]string{
		"/mnt/my usb":            "/mnt/my usb", // with a note in it
		"/mnt/my usb/repos/host": "/mnt/my usb",
		"/mnt/late/repo":         "/mnt/late",
		"/mnt/auto":              "/mnt/auto", // nobody has come by
		"/mnt/all/repo":          "/mnt/all",
		"/mnt/all/inner/repo":    "", // a disk of its own
		"/mnt/nas/repo":          "",
		"/mnt/my":                "",
		"/mnt/none/repo":         "",
		"/srv/repo":              "",
		"/":                      "",
	} {
		if got, _ := awaitedIn(root, path); got != want {
			t.Errorf("%s: awaited is %q, want %q", path, got, want)
		}
	}
	for dir, want := range map[string]bool{"/srv/disks/two": true, "/srv/disks/one": false, "/srv/plain/two": false, "/mnt/nas": false} {
		if got := waitsIn(root, dir) != ""; got != want {
			t.Errorf("%s: it waits %t, want %t", dir, got, want)
		}
	}
}
