package jobs

import "github.com/restic-manager/restic-manager/seal"

// remembered is how many events messages are kept to detect replays: a few minutes of
// a large fleet, in 4 MiB. Older replays are dropped by their sequence numbers, but
// not counted.
const remembered = 1 << 16

// replays holds the nonces of the latest events messages. An agent encrypts anew
// whatever it sends again, so a repeated nonce means that somebody else replayed the
// message.
type replays struct {
	seen map[seal.Nonce]bool
	ring []seal.Nonce
	next int // of ring, the oldest entry once it is full
}

// again reports whether a message was seen before. Call it only for messages that are
// authentic.
func (r *replays) again(sealed []byte) bool {
	n := seal.NonceOf(sealed)
	if r.seen[n] {
		return true
	}
	if r.seen == nil {
		r.seen = map[seal.Nonce]bool{}
	}
	if len(r.ring) < remembered {
		r.ring = append(r.ring, n)
	} else {
		delete(r.seen, r.ring[r.next])
		r.ring[r.next] = n
		r.next = (r.next + 1) % remembered
	}
	r.seen[n] = true
	return false
}
