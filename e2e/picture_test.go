package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"image"
	"image/color"
	"image/png"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/chromedp/chromedp"
)

// pictured is the window of the pictures in docs.
var pictured = size{"picture", 1120, 720, false}

// Picture leaves a picture of the page from its top, or from what css names, in the directory
// that RM_PICTURES names, if it does: make screenshots. What another run would have otherwise,
// such as ports and tokens, is written over with what the reader has in their place.
func (b *Browser) Picture(name, css string, instead map[string]string) {
	b.t.Helper()
	dir := os.Getenv("RM_PICTURES")
	if dir == "" {
		return
	}
	b.Look("light", pictured)
	pairs := [][2]string{}
	for from, to := range instead {
		pairs = append(pairs, [2]string{from, to})
	}
	slices.SortFunc(pairs, func(a, b [2]string) int { return len(b[0]) - len(a[0]) }) // a directory before those above it
	Eval[bool](b, `((pairs) => {
		const said = (text) => pairs.reduce((t, [from, to]) => t.replaceAll(from, to), text).replace(/rmt1_[A-Za-z0-9_-]+/g, "rmt1_…");
		const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
		while (walk.nextNode()) if (said(walk.currentNode.data) !== walk.currentNode.data) walk.currentNode.data = said(walk.currentNode.data);
		for (const x of document.querySelectorAll("input, textarea")) if (said(x.value) !== x.value) x.value = said(x.value);
		document.activeElement?.blur();
		scrollTo(0, 0);
		return true;
	})(`+jsonOf(pairs)+`)`)
	if css != "" {
		Eval[bool](b, `(document.querySelector(`+jsonOf(css)+`).scrollIntoView(), scrollBy(0, -72), true)`)
	}
	Eval[bool](b, `new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(true))))`)
	shot, err := chromedp.Run(b.ctx, chromedp.CaptureScreenshot())
	if err == nil {
		shot, err = small(shot)
	}
	if err == nil {
		err = errors.Join(os.MkdirAll(dir, 0o755), os.WriteFile(filepath.Join(dir, name+".png"), shot, 0o644))
	}
	if err != nil {
		b.t.Errorf("picture %s: %v", name, err)
	}
	b.Look("light", desktop)
}

// jsonOf is a value as a script has it.
func jsonOf(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // of texts
	}
	return string(b)
}

// small is a picture with 256 colours, those that it uses most before others.
func small(picture []byte) ([]byte, error) {
	from, err := png.Decode(bytes.NewReader(picture))
	if err != nil {
		return nil, err
	}
	used := map[color.RGBA]int{}
	each := func(do func(x, y int, c color.RGBA)) {
		for y := from.Bounds().Min.Y; y < from.Bounds().Max.Y; y++ {
			for x := from.Bounds().Min.X; x < from.Bounds().Max.X; x++ {
				do(x, y, color.RGBAModel.Convert(from.At(x, y)).(color.RGBA))
			}
		}
	}
	each(func(_, _ int, c color.RGBA) { used[c]++ })
	list := make([]color.RGBA, 0, len(used))
	for c := range used {
		list = append(list, c)
	}
	slices.SortFunc(list, func(a, b color.RGBA) int {
		if used[a] != used[b] {
			return used[b] - used[a]
		}
		return bytes.Compare([]byte{a.R, a.G, a.B}, []byte{b.R, b.G, b.B})
	})
	palette := color.Palette{}
	for _, c := range list {
		if len(palette) == 256 {
			break
		}
		// Of shades that nobody tells apart one is enough, so that there is room for colours that
		// are seldom.
		if len(list) > 256 && len(palette) > 0 && near(palette[palette.Index(c)].(color.RGBA), c) {
			continue
		}
		palette = append(palette, c)
	}
	to, index := image.NewPaletted(from.Bounds(), palette), map[color.RGBA]uint8{}
	each(func(x, y int, c color.RGBA) {
		i, known := index[c]
		if !known {
			i = uint8(palette.Index(c))
			index[c] = i
		}
		to.SetColorIndex(x, y, i)
	})
	var out bytes.Buffer
	err = (&png.Encoder{CompressionLevel: png.BestCompression}).Encode(&out, to)
	return out.Bytes(), err
}

func near(a, b color.RGBA) bool {
	d := func(x, y uint8) int { return (int(x) - int(y)) * (int(x) - int(y)) }
	return d(a.R, b.R)+d(a.G, b.G)+d(a.B, b.B) < 90
}

// TestAPictureStaysAsItIs keeps every colour of a picture that has few.
func TestAPictureStaysAsItIs(t *testing.T) {
	from := image.NewRGBA(image.Rect(0, 0, 20, 20))
	for i := range 400 {
		from.Set(i%20, i/20, color.RGBA{R: uint8(i % 200), G: 7, A: 255})
	}
	var b bytes.Buffer
	if err := png.Encode(&b, from); err != nil {
		t.Fatal(err)
	}
	out, err := small(b.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	to, err := png.Decode(bytes.NewReader(out))
	if err != nil {
		t.Fatal(err)
	}
	for i := range 400 {
		if got, want := color.RGBAModel.Convert(to.At(i%20, i/20)), from.At(i%20, i/20); got != want {
			t.Fatalf("pixel %d is %v, want %v", i, got, want)
		}
	}
}
