package e2e

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// TestAPressArrivesWhereItIsMeant tries the browser's own ways on a page that is as
// restless as a live one can be: what is pressed moves, is replaced, has something else
// in its place, and the page says what is awaited long before the next one is there.
func TestAPressArrivesWhereItIsMeant(t *testing.T) {
	const restless = `<!DOCTYPE html><html lang="en"><link rel="icon" href="data:,"><title>Restless</title>
		<p id="said">Nothing</p><div id="above"></div>
		<form method="post"><input id="name" name="name"><p><button>Keep</button></p></form>
		<form method="post" action="/wrong"><button>Wrong</button></form>
		<script>
			setInterval(() => {
				const p = document.querySelector("form p");
				p.innerHTML = p.innerHTML;
				const above = document.querySelector("#above");
				above.style.height = above.style.height === "23px" ? "0" : "23px";
			}, 10);
			addEventListener("submit", () => { document.querySelector("#said").textContent = "Kept"; });
		</script></html>`
	answered := make(chan string, 100)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		if r.Method == http.MethodPost {
			answered <- r.URL.Path + " " + r.FormValue("name")
			time.Sleep(300 * time.Millisecond) // the page before is there so long
			http.Redirect(w, r, "/", http.StatusSeeOther)
			return
		}
		_, _ = io.WriteString(w, restless) // the browser would say so
	}))
	defer s.Close()
	b := NewBrowser(t, strings.TrimPrefix(s.URL, "http://"))
	b.Open("/")
	for range 10 {
		b.Fill("#name", "loft")
		b.Press("Keep")
		if said := b.Text("#said"); said != "Nothing" {
			t.Fatalf("the page is the one before: it says %q", said)
		}
		select {
		case got := <-answered:
			if got != "/ loft" {
				t.Fatalf("pressed was %q", got)
			}
		default:
			t.Fatal("nothing was pressed")
		}
	}
	if len(answered) > 0 {
		t.Errorf("pressed twice: %q", <-answered)
	}
}
