package metrics

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"hash/crc32"
	"io"
	"strconv"
	"sync"
)

// A part is some lines, and the same compressed once somebody asked for that. Nobody
// changes it.
type part struct {
	text   []byte
	once   sync.Once
	packed []byte
}

// deflated is the part as blocks of a deflate stream that refer to nothing before them and
// end at a byte, so that any parts make one stream.
func (p *part) deflated() []byte {
	p.once.Do(func() {
		var b bytes.Buffer
		z := deflaters.Get().(*flate.Writer) //nolint:forcetypeassert // it holds nothing else
		z.Reset(&b)
		_, _ = z.Write(p.text) // a buffer takes everything
		_ = z.Flush()
		deflaters.Put(z)
		p.packed = bytes.Clone(b.Bytes())
	})
	return p.packed
}

var deflaters = sync.Pool{New: func() any {
	z, err := flate.NewWriter(io.Discard, flate.BestSpeed)
	if err != nil {
		panic(err) // the level is a constant
	}
	return z
}}

// A scrape is one answer. It never changes, and any number of clients may be sent it.
type scrape []*part

// size is how long the answer is.
func (s scrape) size(zipped bool) (n int) {
	if zipped {
		n = len(gzipHead) + len(gzipEnd) + 8
	}
	for _, p := range s {
		if zipped {
			n += len(p.deflated())
		} else {
			n += len(p.text)
		}
	}
	return n
}

// The header of gzip: deflate, no name, no time, fastest, of no system. And a last block
// of deflate that is empty.
var gzipHead, gzipEnd = []byte{0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 4, 0xff}, []byte{0x03, 0x00}

// write sends the answer.
func (s scrape) write(w io.Writer, zipped bool) error {
	out := newGathered(w)
	if zipped {
		out.add(gzipHead)
	}
	sum, size := uint32(0), uint32(0)
	for _, p := range s {
		if zipped {
			sum, size = crc32.Update(sum, crc32.IEEETable, p.text), size+uint32(len(p.text))
			out.add(p.deflated())
		} else {
			out.add(p.text)
		}
	}
	if zipped {
		out.add(gzipEnd)
		out.add(binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint32(nil, sum), size))
	}
	return out.end()
}

// gathered writes many small pieces as few large ones.
type gathered struct {
	w   io.Writer
	b   []byte
	err error
}

func newGathered(w io.Writer) *gathered { return &gathered{w: w, b: make([]byte, 0, 64<<10)} }

func (g *gathered) add(b []byte) {
	if len(g.b)+len(b) > cap(g.b) {
		g.flush()
	}
	if len(b) > cap(g.b) {
		if g.err == nil {
			_, g.err = g.w.Write(b)
		}
		return
	}
	g.b = append(g.b, b...)
}

func (g *gathered) flush() {
	if g.err == nil && len(g.b) > 0 {
		_, g.err = g.w.Write(g.b)
	}
	g.b = g.b[:0]
}

func (g *gathered) end() error {
	g.flush()
	return g.err
}

func length(n int) string { return strconv.Itoa(n) }
