package asking

import (
	"bytes"
	"encoding/json"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/restic-manager/restic-manager/topics"
)

// An order is what a payload says.
type order struct {
	action topics.Action
	groups []string
	until  time.Time // of a pause; zero is the usual time
}

// mostGroups is how many source groups one message names.
const mostGroups = 1000

// press is what Home Assistant's buttons send unless told otherwise.
const press = "PRESS"

// parse reads what an action's payload says. Nothing, and PRESS, is the action as it is.
// On the topic of pauses OFF is the end of one, so that a switch needs one topic alone.
func parse(action topics.Action, payload []byte, now time.Time) (order, error) {
	o := order{action: action}
	switch text := strings.TrimSpace(string(payload)); {
	case text == "" || text == press:
		return o, nil
	case action == topics.ActionPause && text == topics.On:
		return o, nil
	case action == topics.ActionPause && text == topics.Off:
		o.action = topics.ActionResume
		return o, nil
	case !strings.HasPrefix(text, "{"):
		return o, bad(action)
	}
	var said topics.Do
	d := json.NewDecoder(bytes.NewReader(payload))
	d.DisallowUnknownFields() // a word that is misspelled must not mean all groups
	if err := d.Decode(&said); err != nil || d.More() || !utf8.Valid(payload) {
		return o, bad(action)
	}
	if said.Groups != nil && action != topics.ActionBackup || said.Until != "" && action != topics.ActionPause ||
		len(said.Groups) > mostGroups {
		return o, bad(action)
	}
	for _, name := range said.Groups {
		if name == "" {
			return o, bad(action)
		}
	}
	o.groups = said.Groups
	if said.Until != "" {
		at, err := time.Parse(time.RFC3339, said.Until)
		if err != nil || !at.After(now) {
			return o, bad(action)
		}
		o.until = at
	}
	return o, nil
}

func bad(action topics.Action) error {
	may := map[topics.Action]string{
		topics.ActionBackup: `nothing, which backs up every source group, or {"groups":["NAME"]}`,
		topics.ActionPause:  `ON, OFF, nothing, which is ON, or {"until":"2026-01-31T18:00:00Z"} with a moment within seven days from now`,
	}[action]
	if may == "" {
		may = "nothing"
	}
	return &Refusal{Cause: CauseBadPayload, Class: ErrPayload, Text: "The payload cannot be read, and nothing was begun. For " +
		string(action) + " it is " + may + "."}
}
