package channels

import (
	"encoding/json"
	"strings"
)

// taken is a reply of a chat or phone service, whose body may say although the status is one
// of success that the message was not taken: a proxy's page to sign in, an error of a
// service behind the one that answered.
func taken(out reply) reply {
	if !out.OK {
		return out
	}
	text := strings.ToLower(strings.TrimSpace(string(out.body)))
	switch {
	case strings.HasPrefix(text, "<!doctype html"), strings.HasPrefix(text, "<html"):
		out.OK = false
		out.Text = "It answered with a web page and did not take the message. Is this the address where messages are taken? " + out.Text
	case saysNo(out.body), slackWord(text):
		out.OK, out.Hopeless = false, !strings.Contains(text, "rate")
	case strings.Contains(text, "delivery failed"): // of Teams, with the status of what is behind it
		out.OK, out.Hopeless = false, !strings.Contains(text, "error 429") && !strings.Contains(text, "error 5")
	}
	return out
}

// saysNo reports whether a body is JSON that says that something went wrong.
func saysNo(body []byte) bool {
	var said struct {
		OK      *bool           `json:"ok"`
		Success *bool           `json:"success"`
		Error   json.RawMessage `json:"error"`   // a text, an object, or a number
		ErrCode string          `json:"errcode"` // of Matrix
	}
	if json.Unmarshal(body, &said) != nil {
		return false
	}
	wrong := strings.Trim(string(said.Error), `"`)
	return said.OK != nil && !*said.OK || said.Success != nil && !*said.Success || said.ErrCode != "" ||
		wrong != "" && wrong != "null" && wrong != "false" && wrong != "0"
}

// slackWord reports whether a text is one of the words with which Slack refuses, as
// "no_service" and "invalid_payload".
func slackWord(text string) bool {
	return strings.Contains(text, "_") && strings.Trim(text, "abcdefghijklmnopqrstuvwxyz_") == ""
}
