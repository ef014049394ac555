package alerts

import "testing"

func TestAPublicAddressIsOneThatABrowserOpens(t *testing.T) {
	for text, want := range map[string]string{
		"":                                "",
		"https://backup.example.net":      "https://backup.example.net",
		" https://Backup.Example.net/ ":   "https://backup.example.net",
		"http://127.0.0.1:8080":           "http://127.0.0.1:8080",
		"http://[::1]:8080/":              "http://[::1]:8080",
		"https://example.net/backup":      "https://example.net/backup",
		"https://example.net/a/b%20c/":    "https://example.net/a/b%20c",
		"backup.example.net":              "no",
		"ftp://backup.example.net":        "no",
		"javascript:alert(1)":             "no",
		"https://":                        "no",
		"https:///alerts":                 "no",
		"https://user@example.net":        "no",
		"https://user:secret@example.net": "no",
		"https://example.net/?":           "no",
		"https://example.net/?a=b":        "no",
		"https://example.net/#there":      "no",
		"https://example.net/#":           "no",
		"https://example.net/a/../b":      "no",
		"https://example.net//a":          "no",
		"https://example.net/\x1b[31m":    "no",
		"https://example.net/\nBcc: a@b":  "no",
		"https://exam\u202eple.net":       "no",
		"https://example.net/\"><b>":      "no",
		"https://example.net\\@evil.test": "no",
	} {
		got, wrong := CleanURL(text)
		if wrong != "" {
			got = "no"
		}
		if got != want {
			t.Errorf("%q is %q (%s); want %q", text, got, wrong, want)
		}
	}
}
