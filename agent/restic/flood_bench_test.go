package restic

import (
	"bytes"
	"testing"
)

// What each line on stderr costs, of a restic or a stray child that prints nothing else.
func BenchmarkALineOnStderr(b *testing.B) {
	for name, line := range map[string]string{
		"a word":       "noise\n",
		"a path":       "error: open /home/anna/letters/2024/summer holidays/photo 0123.jpg: permission denied\n",
		"a repetition": "Save(<data/0123456789>) returned error, retrying after 720.254544ms: server response unexpected: 503\n",
	} {
		b.Run(name, func(b *testing.B) {
			o := newOutput(&Backup{}, newRedactor(nil), &recorder{}, DefaultTiming)
			_, stderr, end := o.streams()
			text := bytes.Repeat([]byte(line), 1000)
			b.SetBytes(int64(len(text)) / 1000)
			for i := 0; i < b.N; i += 1000 {
				stderr.Write(text)
			}
			end()
		})
	}
}
