package launcher

import (
	"bufio"
	"io"
	"os"
	"strconv"
	"strings"
	"sync"
)

// Variable says to a child that a launcher started it, as which release, and which one is
// installed: two numbers. What they say to
// each other has to be understood by all later releases: the child says a line when it is
// welcomed, or misses restic, and the launcher that it is kept; the end of its standard
// input tells it to end.
const Variable = "RESTIC_MANAGER_LAUNCHED"

const (
	saysWelcomed = "welcomed"
	saysLost     = "restic-missing"
	tellsKept    = "kept"
)

// A Child is this process's side, where a launcher started it.
type Child struct {
	Number    int64
	Installed int64
	Kept      chan struct{} // closed when the launcher says that the release is kept
	Told      chan struct{} // closed when it is to end

	mu  sync.Mutex
	out io.Writer
}

// Attach is the child that this process is, nil if no launcher started it. Programs that it
// starts do not take themselves for one.
func Attach(in io.Reader, out io.Writer) *Child {
	first, second, _ := strings.Cut(os.Getenv(Variable), " ")
	number, err := strconv.ParseInt(first, 10, 64)
	if err != nil || number <= 0 {
		return nil
	}
	installed, _ := strconv.ParseInt(second, 10, 64)
	_ = os.Unsetenv(Variable)
	c := &Child{Number: number, Installed: installed, Kept: make(chan struct{}), Told: make(chan struct{}), out: out}
	go func() {
		defer close(c.Told)
		kept := false
		for scan := bufio.NewScanner(in); scan.Scan(); {
			if scan.Text() == tellsKept && !kept {
				kept = true
				close(c.Kept)
			}
		}
	}()
	return c
}

// Welcomed tells the launcher that the release works.
func (c *Child) Welcomed() { c.say(saysWelcomed) }

// LostRestic tells it that there is no restic where there was one.
func (c *Child) LostRestic(why string) {
	c.say(saysLost + " " + strings.Join(strings.Fields(why), " "))
}

func (c *Child) say(line string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, _ = io.WriteString(c.out, line+"\n") // who does not hear it goes back
}
