package failpoint

import (
	"bytes"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// TestMain is also the program that the test below lets die.
func TestMain(m *testing.M) {
	if os.Getenv(Variable) == "" {
		os.Exit(m.Run())
	}
	for range 3 {
		os.Stdout.WriteString("before ")
		Here("another")
		Here("commit")
	}
}

func TestAProcessDiesAtItsPoint(t *testing.T) {
	for _, c := range []struct {
		armed string
		comes int // this often to before the point
		dies  bool
	}{
		{"commit", 1, true},
		{"commit:1", 1, true},
		{"another:2", 2, true},
		{"commit:3", 3, true},
		{"commit:4", 3, false},
		{"commit:no", 3, false},
		{"comm", 3, false},
	} {
		cmd := exec.Command(os.Args[0])
		cmd.Env = []string{Variable + "=" + c.armed}
		var out bytes.Buffer
		cmd.Stdout = &out
		err := cmd.Run()
		status := cmd.ProcessState.Sys().(syscall.WaitStatus)
		if died := status.Signaled() && status.Signal() == syscall.SIGKILL; died != c.dies || !c.dies && err != nil {
			t.Errorf("%s: it ended with %v, want death = %v", c.armed, err, c.dies)
		}
		if n := strings.Count(out.String(), "before"); n != c.comes {
			t.Errorf("%s: it came by %d times, want %d", c.armed, n, c.comes)
		}
	}
}

func TestAnUnarmedPointCostsNothing(t *testing.T) {
	if armed != nil {
		t.Fatal("a point is armed in the test itself")
	}
	if n := testing.AllocsPerRun(1000, func() { Here("commit") }); n != 0 {
		t.Errorf("%v allocations, want none", n)
	}
}
