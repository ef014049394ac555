package restic

import (
	"strings"
	"testing"
)

func TestAStackIsOneLine(t *testing.T) {
	for _, c := range []struct{ said, want string }{
		{"blob not removed, server response: 403 Forbidden (403)\n" +
			"github.com/restic/restic/internal/backend/rest.(*Backend).Remove\n" +
			"\tgithub.com/restic/restic/internal/backend/rest/rest.go:399\n" +
			"github.com/cenkalti/backoff.RetryNotifyWithTimer\n\tgithub.com/cenkalti/backoff/retry.go:55\n" +
			"runtime.goexit\n\truntime/asm_amd64.s:1571\n",
			"blob not removed, server response: 403 Forbidden (403)|" +
				"in github.com/restic/restic/internal/backend/rest.(*Backend).Remove (rest.go:399), and 2 calls above it"},
		{"panic: runtime error: index out of range [3] with length 3\n\ngoroutine 1 [running]:\nmain.run(0xc0001, {0x1, 0x2})\n" +
			"\t/build/cmd/restic/main.go:12 +0x1d\nmain.main()\n\t/build/cmd/restic/main.go:99 +0x25\n",
			"panic: runtime error: index out of range [3] with length 3|goroutine 1 [running]:|" +
				"in main.run(0xc0001, {0x1, 0x2}) (main.go:12), and 1 call above it"},
		{"main.run\n\t/build/main.go:12\nexit status 2\nmain.stop\n\t/build/main.go:13\n",
			"in main.run (main.go:12)|exit status 2|in main.stop (main.go:13)"},
		{"repository opened\nmain.tex is in use\nscan: open /srv/a.go:3: permission denied\n", // files of people
			"repository opened|main.tex is in use|scan: open /srv/a.go:3: permission denied"},
	} {
		sink := &recorder{}
		o := newOutput(&check{}, newRedactor(nil), sink, DefaultTiming)
		_, stderr, end := o.streams()
		_, _ = stderr.Write([]byte(c.said))
		end()
		var got []string
		for l := range strings.Lines(sink.text()) {
			if _, text, ok := strings.Cut(strings.TrimRight(l, "\n"), ": "); ok {
				got = append(got, text)
			}
		}
		if strings.Join(got, "|") != c.want {
			t.Errorf("%q is told as %q", c.said, got)
		}
	}
	sink := &recorder{}
	o := newOutput(&check{}, newRedactor(nil), sink, DefaultTiming)
	o.read([]byte(`{"message_type":"exit_error","code":1,`+
		`"message":"blob not removed\nmain.run\n\t/build/main.go:12\nmain.main\n\t/build/main.go:13"}`), 0, true)
	if got := sink.text(); strings.Contains(got, "main.main") || !strings.Contains(got, "in main.run (main.go:12), and 1 call above it") {
		t.Errorf("of an exit_error: %s", got)
	}
}
