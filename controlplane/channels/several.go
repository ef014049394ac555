package channels

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"strings"
	"sync"
	"time"

	"github.com/restic-manager/restic-manager/words"
)

// others are awaited so long that greylisting of five minutes is over at the next try. After
// that, those who are out of reach hold up no other message.
const awaited = 5 * time.Minute

const mostHalf = 1000 // messages of which it is known that they reached some

// A half is a message that reached some of those who are to have it.
type half struct {
	since time.Time // when it first did
	who   map[string]bool
}

// halves are such messages, by fields and message, in memory: who was reached is not told
// again while others are tried again, unless the process was restarted.
var halves = struct {
	sync.Mutex
	of map[string]half
}{of: map[string]half{}}

// sameMessage is what a message of a channel is known by.
func sameMessage(f fields, m Message) string {
	b, _ := json.Marshal([]any{f.values, m}) // of texts and numbers
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// reachedBefore says whom a message has reached.
func reachedBefore(key string) half {
	halves.Lock()
	defer halves.Unlock()
	return halves.of[key]
}

// reachedNow keeps whom a message has reached by now, and whom not, and reports whether the
// others are to be tried again.
func reachedNow(key string, before half, reached []string, later bool) (again bool) {
	halves.Lock()
	defer halves.Unlock()
	h := half{since: before.since, who: map[string]bool{}}
	for _, one := range reached {
		h.who[one] = true
	}
	if h.since.IsZero() {
		h.since = time.Now()
	}
	if delete(halves.of, key); !later || len(reached) == 0 || time.Since(h.since) >= awaited {
		return false
	}
	for k, old := range halves.of {
		if time.Since(old.since) > 24*time.Hour || len(halves.of) >= mostHalf {
			delete(halves.of, k)
		}
	}
	halves.of[key] = h
	return true
}

// each tells several in turn, and joins their answers. Who was reached is not told again.
// Those for whom it may be better later are tried again for some minutes; then the message
// counts as sent, and the answer names those that it did not reach.
func each(key string, to []string, tell func(string) Answer) Answer {
	if len(to) == 1 {
		return tell(to[0])
	}
	before := reachedBefore(key)
	var all, failed, reached []string
	hopeless, later, wait := true, false, int64(0)
	for _, one := range to {
		if before.who[one] {
			reached, all = append(reached, one), append(all, words.Visible(one)+": it was told before")
			continue
		}
		a := tell(one)
		text := words.Visible(one) + ": " + a.Text
		all = append(all, text)
		if a.OK {
			reached = append(reached, one)
			continue
		}
		failed = append(failed, text)
		hopeless, later, wait = hopeless && a.Hopeless, later || !a.Hopeless, max(wait, a.After)
	}
	again := reachedNow(key, before, reached, later)
	switch {
	case len(failed) == 0:
		return Answer{OK: true, Text: cutBytes(strings.Join(all, " · "), 4*shownAnswer)}
	case len(reached) > 0:
		a := Answer{OK: !again, Text: cutBytes("It reached "+words.Count(uint64(len(reached)), "of them", "of them")+", and not "+
			strings.Join(failed, " · "), 4*shownAnswer)}
		if again {
			a.After = wait
		}
		return a
	}
	return Answer{Text: cutBytes(strings.Join(failed, " · "), 4*shownAnswer), Hopeless: hopeless, After: wait}
}
