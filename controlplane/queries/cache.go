package queries

import (
	"container/list"
	"sync"

	"github.com/restic-manager/restic-manager/topics"
)

// DefaultCache is how many bytes of answers are kept unless somebody says otherwise.
const DefaultCache = 64 << 20

// A cache keeps what snapshots hold, which never changes, and forgets first what nobody
// asked for longest.
type cache struct {
	most int64

	mu    sync.Mutex
	bytes int64
	all   map[key]*list.Element
	order *list.List // of *kept, the last used first
}

// A key is what an answer is of. Which host answered about a snapshot does not matter if it is
// the one that made it, or the keeper; what any other says counts only where that is asked.
type key struct {
	by topics.HostID // such another host

	kind       topics.QueryKind
	repository topics.RepositoryID
	snapshot   string // or the digest of several
	path       string
}

type kept struct {
	key   key
	of    answer
	bytes int64
}

func newCache(most int64) *cache {
	return &cache{most: most, all: map[key]*list.Element{}, order: list.New()}
}

func (c *cache) get(k key) (answer, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.all[k]
	if e == nil {
		return answer{}, false
	}
	c.order.MoveToFront(e)
	return e.Value.(*kept).of, true
}

// put keeps an answer, unless it alone is too large.
func (c *cache) put(k key, a answer) {
	size := a.size() + int64(len(k.path)+len(k.snapshot)+200)
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.all[k]; e != nil {
		c.drop(e)
	}
	if size > c.most {
		return
	}
	c.all[k] = c.order.PushFront(&kept{key: k, of: a, bytes: size})
	for c.bytes += size; c.bytes > c.most; {
		c.drop(c.order.Back())
	}
}

func (c *cache) drop(e *list.Element) {
	k := c.order.Remove(e).(*kept)
	c.bytes -= k.bytes
	delete(c.all, k.key)
}

// size is about how many bytes of memory an answer takes.
func (a answer) size() int64 {
	n := 0
	for i := range a.entries {
		e := &a.entries[i]
		n += 160 + len(e.Name) + len(e.Path) + len(e.Type) + len(e.User) + len(e.Group) + len(e.Target)
	}
	for i := range a.versions {
		n += 100 + len(a.versions[i].Snapshot) + len(a.versions[i].Type)
	}
	for i := range a.directories {
		n += 24 + len(a.directories[i].Name)
	}
	return int64(n)
}
