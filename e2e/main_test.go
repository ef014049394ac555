package e2e

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// module is the path all our packages begin with.
const module = "github.com/restic-manager/restic-manager"

// buildFlags are what the programs are built with; a race test builds them so too.
var buildFlags []string

// programs is the directory of the two programs, built for this run.
var programs string

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "restic-manager-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	for _, need := range []string{"restic", "mosquitto", "mosquitto_passwd", "mosquitto_sub", "mosquitto_pub", "chromium"} {
		if _, err := exec.LookPath(need); err != nil {
			fmt.Fprintf(os.Stderr, "these tests need %s on PATH; make test installs it\n", need)
			return 1
		}
	}
	build := exec.Command("go", append(append([]string{"build"}, buildFlags...), "-buildvcs=false", "-o", dir+string(filepath.Separator),
		module+"/cmd/restic-manager", module+"/cmd/restic-manager-agent")...)
	build.Stdout, build.Stderr = os.Stderr, os.Stderr
	if err := build.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "build the programs:", err)
		return 1
	}
	programs = dir
	return m.Run()
}

// program is the path of one of ours.
func program(name string) string {
	look()
	return filepath.Join(programs, name)
}

// look lists every directory of the module's sources. The go command takes note
// of it, and then does not call a result its own that an older program had.
var look = sync.OnceFunc(func() {
	_ = filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() && (d.Name() == "bin" || strings.HasPrefix(d.Name(), ".") && d.Name() != "..") {
			return filepath.SkipDir
		}
		return err
	})
})
