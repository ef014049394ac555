package words

import "testing"

func TestATextBesideItsTitleSaysEachThingOnce(t *testing.T) {
	for _, c := range []struct{ title, text, want string }{
		{"db: backups fail: repository locked", "Repository locked. Nothing was saved.", "Nothing was saved."},
		{"Repository locked", "Repository locked. Nothing was saved.", "Nothing was saved."},
		{"db: backups fail: repository locked", "Repository locked.", "Repository locked."},
		{"db: backups fail", "Repository locked. Nothing was saved.", "Repository locked. Nothing was saved."},
		{"db: unlocked", "Locked. Nothing was saved.", "Locked. Nothing was saved."},
		{"", "", ""},
		{"x", "", ""},
		{"db: backups fail: Schlüssel FEHLT", "Schlüssel fehlt. Ja.", "Ja."},
	} {
		if got := Beside(c.title, c.text); got != c.want {
			t.Errorf("beside %q, %q says %q, want %q", c.title, c.text, got, c.want)
		}
	}
}
