// Command testrun runs several commands side by side, most of them go test -json,
// and prints what go test itself would have printed: the output of tests that
// failed, and one closing line per package. It ends with the ten slowest tests,
// what each command cost, and what failed.
//
//	go run ./build/testrun 'race: go test -race -json ./...' 'check: build/check rest'
//
// Each argument is a name and a command for the shell. The output of a command
// is never mixed with another's: a test's comes whole when the test has failed,
// and that of a command that speaks no JSON when the command has ended.
package main

import (
	"bufio"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// The module's path is left out where it only takes space.
const module = "github.com/restic-manager/restic-manager/"

func main() {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "usage: testrun 'name: command' ...")
		os.Exit(2)
	}
	// An interrupt of the terminal reaches the commands by itself; we wait for them.
	signal.Ignore(os.Interrupt)
	r := &report{out: os.Stdout}
	var all sync.WaitGroup
	for _, arg := range os.Args[1:] {
		name, line, ok := strings.Cut(arg, ":")
		if !ok {
			fmt.Fprintf(os.Stderr, "%q is no 'name: command'\n", arg)
			os.Exit(2)
		}
		all.Go(func() { r.run(name, line) })
	}
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM)
	go func() {
		s := <-stop
		r.signal(s)
	}()
	all.Wait()
	if !r.close() {
		os.Exit(1)
	}
}

// A report is what all commands have said so far. Whatever is printed is printed
// under its lock.
type report struct {
	mu      sync.Mutex
	out     io.Writer
	running []*os.Process
	took    []timed  // tests, with the seconds each took
	costs   []string // of each command
	failed  []string
}

type timed struct {
	test    string
	seconds float64
}

func (r *report) run(name, line string) {
	began := time.Now()
	cmd := exec.Command("sh", "-c", line)
	pipe, err := cmd.StdoutPipe()
	if err == nil {
		cmd.Stderr = cmd.Stdout
		err = cmd.Start()
	}
	if err != nil {
		r.fail("", fmt.Sprintf("%s: %v", name, err))
		return
	}
	r.mu.Lock()
	r.running = append(r.running, cmd.Process)
	before := len(r.failed)
	r.mu.Unlock()
	c := command{report: r, name: name, tests: map[string][]string{}}
	c.read(pipe)
	err = cmd.Wait()
	spent := cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	r.mu.Lock()
	r.costs = append(r.costs, fmt.Sprintf("%s took %v and %v of processor time",
		name, time.Since(began).Round(time.Second), spent.Round(time.Second)))
	said := len(r.failed) > before
	r.mu.Unlock()
	if len(c.plain) > 0 {
		r.print("== " + name + "\n" + strings.Join(c.plain, ""))
	}
	if err != nil && (!said || !c.spoke) {
		r.fail("", fmt.Sprintf("%s: %v", name, err))
	}
}

func (r *report) signal(s os.Signal) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, p := range r.running {
		_ = p.Signal(s) // it may have ended
	}
}

func (r *report) print(text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, _ = io.WriteString(r.out, text) // nobody is left to be told
}

// fail prints text and remembers what failed.
func (r *report) fail(text, what string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, _ = io.WriteString(r.out, text)
	r.failed = append(r.failed, what)
}

// close prints the end of the report, and answers whether all went well.
func (r *report) close() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	slices.SortFunc(r.took, func(a, b timed) int { return cmp.Compare(b.seconds, a.seconds) })
	if len(r.took) > 0 {
		fmt.Fprintln(r.out, "\nThe slowest tests:")
	}
	for _, t := range r.took[:min(10, len(r.took))] {
		fmt.Fprintf(r.out, "%8.1fs %s\n", t.seconds, t.test)
	}
	fmt.Fprintln(r.out)
	for _, c := range r.costs {
		fmt.Fprintln(r.out, c)
	}
	for _, f := range r.failed {
		fmt.Fprintln(r.out, "FAILED:", f)
	}
	return len(r.failed) == 0
}

// command is the reading of one command's output.
type command struct {
	*report
	name  string
	plain []string            // lines that are no events
	tests map[string][]string // what running tests have printed, by package and test
	spoke bool                // it is a go test -json
}

// An event is a line of go test -json.
type event struct {
	Action     string
	Package    string
	ImportPath string
	Test       string
	Elapsed    float64
	Output     string
}

func (c *command) read(from io.Reader) {
	lines := bufio.NewReader(from)
	for {
		line, err := lines.ReadString('\n')
		if line != "" {
			var e event
			if strings.HasPrefix(line, "{") && json.Unmarshal([]byte(line), &e) == nil && e.Action != "" {
				c.spoke = true
				c.take(e)
			} else {
				c.plain = append(c.plain, line)
			}
		}
		if err != nil {
			return
		}
	}
}

func (c *command) take(e event) {
	short := strings.TrimPrefix(e.Package, module)
	top, _, _ := strings.Cut(e.Test, "/")
	key := e.Package + " " + top
	switch e.Action {
	case "build-output":
		c.print(e.Output)
	case "build-fail":
		c.fail("", "the build of "+e.ImportPath)
	case "output":
		switch {
		case e.Test != "" && strings.HasPrefix(e.Output, "=== "): // where a test began, paused, went on
		case e.Test != "":
			c.tests[key] = append(c.tests[key], e.Output)
		case e.Output == "PASS\n" || e.Output == "FAIL\n":
		case strings.HasPrefix(e.Output, "FAIL\t"): // what ended it comes first
			c.tests[key] = append(c.tests[key], e.Output)
		case strings.HasPrefix(e.Output, "?   \t"):
		case strings.HasPrefix(e.Output, "ok  \t"):
			delete(c.tests, key)
			c.print(e.Output)
		default:
			c.tests[key] = append(c.tests[key], e.Output)
		}
	case "pass", "skip", "fail":
		if e.Test == top && top != "" {
			c.mu.Lock()
			c.took = append(c.took, timed{fmt.Sprintf("%s %s (%s)", short, top, c.name), e.Elapsed})
			c.mu.Unlock()
		}
		switch {
		case e.Test != top: // a part of a test: shown with the whole
		case e.Action != "fail":
			delete(c.tests, key)
		case top != "":
			c.fail(strings.Join(c.tests[key], ""), fmt.Sprintf("%s %s (%s)", short, top, c.name))
			delete(c.tests, key)
		default:
			// Tests that were running when the package ended: one of them ended it.
			var text []string
			for k, lines := range c.tests {
				if of, test, _ := strings.Cut(k, " "); of == e.Package && test != "" {
					text = append(text, lines...)
					delete(c.tests, k)
				}
			}
			c.fail(strings.Join(append(text, c.tests[key]...), ""), fmt.Sprintf("%s (%s)", short, c.name))
			delete(c.tests, key)
		}
	}
}
