package main

import (
	"bytes"
	"strings"
	"testing"
)

// events are what go test -json says of three packages: one that passes, one in
// which a test fails, and one whose process ends in the middle of a test.
const events = `{"Action":"start","Package":"github.com/restic-manager/restic-manager/seal"}
{"Action":"run","Package":"github.com/restic-manager/restic-manager/seal","Test":"TestGood"}
{"Action":"output","Package":"github.com/restic-manager/restic-manager/seal","Test":"TestGood","Output":"=== RUN   TestGood\n"}
{"Action":"output","Package":"github.com/restic-manager/restic-manager/seal","Test":"TestGood","Output":"    nothing to see\n"}
{"Action":"pass","Package":"github.com/restic-manager/restic-manager/seal","Test":"TestGood","Elapsed":1.5}
{"Action":"output","Package":"github.com/restic-manager/restic-manager/seal","Output":"PASS\n"}
{"Action":"output","Package":"github.com/restic-manager/restic-manager/seal","Output":"ok  \texample.com/seal\t1.6s\n"}
{"Action":"pass","Package":"github.com/restic-manager/restic-manager/seal","Elapsed":1.6}
{"Action":"output","Package":"p/two","Test":"TestBad/part","Output":"    bad_test.go:1: want 1\n"}
{"Action":"fail","Package":"p/two","Test":"TestBad/part","Elapsed":7}
{"Action":"fail","Package":"p/two","Test":"TestBad","Elapsed":9}
{"Action":"output","Package":"p/two","Output":"FAIL\tp/two\t9s\n"}
{"Action":"fail","Package":"p/two","Elapsed":9}
{"Action":"output","Package":"p/three","Test":"TestPanics","Output":"panic: oh\n"}
{"Action":"output","Package":"p/three","Output":"FAIL\tp/three\t1s\n"}
{"Action":"fail","Package":"p/three","Elapsed":1}
`

func TestWhatFailedIsShownAndNothingElse(t *testing.T) {
	var out bytes.Buffer
	r := &report{out: &out}
	c := command{report: r, name: "race", tests: map[string][]string{}}
	c.read(strings.NewReader(events))
	if r.close() {
		t.Error("all is well")
	}
	want := `ok  	example.com/seal	1.6s
    bad_test.go:1: want 1
FAIL	p/two	9s
panic: oh
FAIL	p/three	1s

The slowest tests:
     9.0s p/two TestBad (race)
     1.5s seal TestGood (race)

FAILED: p/two TestBad (race)
FAILED: p/two (race)
FAILED: p/three (race)
`
	if out.String() != want {
		t.Errorf("got\n%s\nwant\n%s", &out, want)
	}
}

func TestACommandThatFailsFailsTheRun(t *testing.T) {
	for line, good := range map[string]bool{
		"echo all is well":            true,
		"echo it is not; exit 3":      false,
		"no-such-program":             false,
		`echo '{"Action":"pass"}'`:    true,
		`echo '{"a":1}'; exit 1`:      false,
		`echo '{"Action":"x"}';false`: false,
	} {
		var out bytes.Buffer
		r := &report{out: &out}
		r.run("check", line)
		if got := r.close(); got != good {
			t.Errorf("%s: %v\n%s", line, got, &out)
		}
		if strings.HasPrefix(line, "echo it") && !strings.Contains(out.String(), "== check\nit is not\n") {
			t.Errorf("what it said is missing:\n%s", &out)
		}
	}
}
