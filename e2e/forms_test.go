package e2e

import (
	"net/url"
	"strings"
	"testing"

	"golang.org/x/net/html"
)

// Press fills the form that holds the button with this text and sends it, as a
// browser without script would: all its fields with their values, but those
// given. It answers with the page it leads to.
func (s *Session) Press(p Page, button string, fill map[string]string) Page {
	s.w.t.Helper()
	root, err := html.Parse(strings.NewReader(p.HTML))
	if err != nil {
		s.w.t.Fatal(err)
	}
	form := formWith(root, button)
	if form == nil {
		s.w.t.Fatalf("no form has a button %q: %s", button, p.Text)
	}
	values := s.filled(form, button, fill)
	if method := attribute(form, "method"); !strings.EqualFold(method, "post") {
		s.w.t.Fatalf("the form with %q uses method %q", button, method)
	}
	action, err := p.URL.Parse(attribute(form, "action"))
	if err != nil {
		s.w.t.Fatal(err)
	}
	return s.Submit(action.RequestURI(), values)
}

func formWith(root *html.Node, button string) *html.Node {
	for n := range root.Descendants() {
		if n.Type != html.ElementNode || n.Data != "form" {
			continue
		}
		for b := range n.Descendants() {
			if b.Type == html.ElementNode && b.Data == "button" && strings.Join(strings.Fields(textOf(b)), " ") == button {
				return n
			}
		}
	}
	return nil
}

func attribute(n *html.Node, key string) string {
	for _, a := range n.Attr {
		if a.Key == key {
			return a.Val
		}
	}
	return ""
}

func has(n *html.Node, key string) bool {
	for _, a := range n.Attr {
		if a.Key == key {
			return true
		}
	}
	return false
}

func textOf(n *html.Node) string {
	var b strings.Builder
	for c := range n.Descendants() {
		if c.Type == html.TextNode {
			b.WriteString(c.Data)
		}
	}
	return b.String()
}

func TestEverythingWorksWithoutScript(t *testing.T) {
	w := NewWorld(t)
	attic := w.StartAgent("attic")
	attic.Write("letter.txt", "dear reader")
	session := w.SignIn()
	session.Press(session.Page("/"), "Sign out", nil)
	login := session.Page("/hosts/" + attic.ID)
	if login.Missing("Sign in") {
		t.Fatalf("signed out, the host's page is %s", login.Text)
	}
	if wrong := session.Press(login, "Sign in", map[string]string{"name": person, "password": "nonsense"}); wrong.Missing("Sign in") {
		t.Errorf("a wrong password leads to %s", wrong.Text)
	}
	host := session.Press(login, "Sign in", map[string]string{"name": person, "password": passphrase})
	if host.URL.Path != "/hosts/"+attic.ID || host.Missing("attic") {
		t.Fatalf("signing in leads to %s, want the host that was asked for", host.URL)
	}

	form := session.Page("/hosts/" + attic.ID + "/source-groups/new")
	bad := session.Press(form, "Save source group", map[string]string{"name": "letters", "paths": "relative/path", "repository": "new",
		"repository_name": "vault", "repository_url": attic.Dir + "/vault", "repository_password": password})
	if bad.Status != 422 || !strings.Contains(bad.HTML, "relative/path") {
		t.Errorf("a relative path is answered with %d, and what was typed is lost or not: %s", bad.Status, bad.Text)
	}
	saved := session.Press(bad, "Save source group", map[string]string{"paths": attic.Home, "repository_password": password})
	if saved.URL.Path != "/hosts/"+attic.ID || saved.Missing("letters") {
		t.Fatalf("saving leads to %s: %s", saved.URL, saved.Text)
	}
	job := session.Press(saved, "Back up now", nil)
	id := strings.TrimPrefix(job.URL.Path, "/jobs/")
	if id == job.URL.Path {
		t.Fatalf("asking for a backup leads to %s: %s", job.URL, job.Text)
	}
	w.AwaitState(id, "succeeded")
	if done := session.Page("/jobs/" + id); done.Missing("Succeeded", "attic", "letters") {
		t.Errorf("the job's page says %s", done.Text)
	}

	attic.MustStop()
	attic.AwaitOffline()
	waiting := session.Press(session.Page("/hosts/"+attic.ID), "Back up when it connects", nil)
	cancelled := session.Press(waiting, "Cancel backup", nil)
	if cancelled.URL.Path != waiting.URL.Path || cancelled.Missing("Cancelled") {
		t.Errorf("cancelling leads to %s: %s", cancelled.URL, cancelled.Text)
	}
	token := session.Press(session.Page("/hosts/new"), "Create token", map[string]string{"name": "cellar"})
	if token.Missing("restic-manager-agent enroll", "rmt1_") {
		t.Errorf("asking for a token leads to %s", token.Text)
	}
	w.MustStopCleanly()
}

// PressAt is Press of a button that sends the form elsewhere.
func (s *Session) PressAt(p Page, button, path string, fill map[string]string) Page {
	s.w.t.Helper()
	root, err := html.Parse(strings.NewReader(p.HTML))
	if err != nil {
		s.w.t.Fatal(err)
	}
	form := formWith(root, button)
	if form == nil {
		s.w.t.Fatalf("no form has a button %q: %s", button, p.Text)
	}
	return s.Submit(path, s.filled(form, button, fill))
}

// filled are the fields of a form with their values, but those given.
func (s *Session) filled(form *html.Node, button string, fill map[string]string) url.Values {
	s.w.t.Helper()
	values := url.Values{}
	for n := range form.Descendants() {
		name := attribute(n, "name")
		if n.Type != html.ElementNode || name == "" {
			continue
		}
		switch n.Data {
		case "input":
			values.Set(name, attribute(n, "value"))
		case "textarea":
			values.Set(name, textOf(n))
		case "select":
			for o := range n.Descendants() {
				if o.Data == "option" && (!values.Has(name) || has(o, "selected")) {
					values.Set(name, attribute(o, "value"))
				}
			}
		}
	}
	for name, value := range fill {
		if !values.Has(name) {
			s.w.t.Fatalf("the form with %q has no field %s, only %v", button, name, values)
		}
		values.Set(name, value)
	}
	return values
}
