package topics

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

func TestASecretIsNotPrinted(t *testing.T) {
	const plain = "correct horse"
	secret := Secret(plain)
	holders := []any{secret, &secret, []Secret{secret}, map[string]Secret{"AWS_SECRET_ACCESS_KEY": secret}, [1]Secret{secret}, any(secret),
		Repository{URL: secret, Password: secret, Env: map[string]Secret{"x": secret}}, &Repository{Password: secret},
		Command{Run: &Run{Repository: Repository{Password: secret}}},
		struct{ A any }{secret}, errors.Join(fmt.Errorf("open %s with %q", secret, secret))}
	hidden := func(how, text string) {
		t.Helper()
		for _, form := range []string{plain, fmt.Sprintf("%x", plain), fmt.Sprintf("%X", plain), fmt.Sprint([]byte(plain)), "63 6f 72 72"} {
			if strings.Contains(text, form) {
				t.Errorf("%s prints %s", how, text)
			}
		}
	}
	for _, h := range holders {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%#q", "%x", "%X", "% x", "%d", "%t", "%f", "%c", "%U", "%e", "%o",
			"%b", "%T %v", "%10.3s", "%!", "%z"} {
			hidden(fmt.Sprintf("%s of %T", verb, h), fmt.Sprintf(verb, h)) //nolint:govet // wrong verbs are the point
		}
		hidden(fmt.Sprintf("Sprint of %T", h), fmt.Sprint(h)+fmt.Sprintln(h))
		var b bytes.Buffer
		log := slog.New(slog.NewTextHandler(&b, &slog.HandlerOptions{Level: slog.LevelDebug}))
		log.Debug("said", "it", h, "in", slog.GroupValue(slog.Any("a", h)))
		hidden(fmt.Sprintf("slog's text of %T", h), b.String())
	}
	var b bytes.Buffer
	slog.New(slog.NewJSONHandler(&b, nil)).Info("said", "it", secret)
	hidden("slog's JSON", b.String())
	if got := fmt.Sprintf("%s", secret); got != "[redacted]" {
		t.Errorf("it prints %q", got)
	}
	if secret.Reveal() != plain {
		t.Error("it cannot be revealed")
	}
}

func TestACommandCarriesItsSecrets(t *testing.T) {
	if b, err := json.Marshal(Command{Run: &Run{Repository: Repository{Password: "correct horse"}}}); err != nil ||
		!bytes.Contains(b, []byte("correct horse")) {
		t.Errorf("a command does not carry its password: %s, %v", b, err)
	}
}
