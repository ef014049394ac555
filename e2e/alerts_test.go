package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/e2e/world"
)

// alerts lists what the API says.
func (w *World) alerts(query string) []Alert {
	w.t.Helper()
	var page struct {
		Alerts []Alert `json:"alerts"`
	}
	w.API("GET", "/api/alerts?"+query, nil, http.StatusOK, &page)
	return page.Alerts
}

// tell runs a command that must succeed, and answers with what it printed.
func (w *World) tell(args ...string) string {
	w.t.Helper()
	r := command(w.t, exec.Command(program("restic-manager"), append(args, "--data", w.Data)...))
	if r.code != 0 {
		w.t.Fatalf("restic-manager %s ended with exit status %d: %s", strings.Join(args, " "), r.code, r.errs)
	}
	return r.out
}

// awaitAlert waits until the last message of an alert's topic is in a state, "" for one
// that was cleared.
func awaitAlert(t *testing.T, sub *world.Process, id, state string) (a Alert) {
	t.Helper()
	world.Await(t, "the topic of the alert to say "+state, func() error {
		list := said(sub, "pub/alert/"+id)
		if len(list) == 0 {
			return errors.New("nothing was published")
		}
		last := list[len(list)-1]
		a = Alert{}
		if err := json.Unmarshal([]byte(last), &a); err != nil && last != "(null)" {
			return fmt.Errorf("it says %q: %w", last, err)
		}
		if a.State != state {
			return fmt.Errorf("it says %q", last)
		}
		return nil
	})
	return a
}

// awaitCount waits until a host's state says how many alerts it has.
func awaitCount(t *testing.T, sub *world.Process, host string, n int) {
	t.Helper()
	world.Await(t, fmt.Sprintf("the host to have %d alerts", n), func() error {
		list := said(sub, "pub/host/"+host+"/state")
		if len(list) == 0 || !strings.Contains(list[len(list)-1], fmt.Sprintf(`"alerts":%d,`, n)) {
			return fmt.Errorf("%d messages, at last %q", len(list), list[max(0, len(list)-1):])
		}
		return nil
	})
}

// A backup that fails reaches people once by each of their channels, is seen at every door,
// and is taken back once it is over, whatever is restarted in between.
func TestAFailedBackupIsToldOnceAndTakenBack(t *testing.T) {
	w := NewWorld(t, "--gather-alerts", "1s", "--public-url", "https://backups.example.net/rm/")
	hook, post := NewHook(t), NewPostbox(t)
	var channel struct{ ID, Secret string }
	w.API("POST", "/api/channels", map[string]any{"name": "hook", "kind": "webhook", "url": hook.URL}, http.StatusCreated, &channel)
	hook.secret = channel.Secret
	w.CLI("channel", "add", "ops", "email", "host="+post.Host, "port="+post.Port, "security=none", "from=backups@example.net",
		"to=ops@example.net", "to=nights@example.net", "--data", w.Data)

	var tested struct {
		OK     bool
		Answer string
	}
	w.API("POST", "/api/channels/"+channel.ID+"/test", nil, http.StatusOK, &tested)
	if !tested.OK || !strings.Contains(tested.Answer, "200") || !strings.Contains(tested.Answer, "heard") {
		t.Errorf("the test is answered with %+v", tested)
	}
	if text := w.tell("channel", "test", "ops", "--condition", "overdue"); !strings.Contains(text, "250") {
		t.Errorf("channel test says %q", text)
	}
	hook.Await("of a test", 1)
	post.Await("a test", 1)
	if hook.Last().Event != "test" || hook.Last().Version != 1 {
		t.Errorf("a test is %+v", hook.Last())
	}

	attic := w.StartAgent("attic")
	attic.Write("letters/1.txt", "dear reader")
	attic.GroupToBegin("letters")
	w.AwaitState(attic.Backup("letters"), "succeeded")
	if list := w.alerts(""); len(list) != 0 {
		t.Fatalf("when all is well there are alerts: %+v", list)
	}
	consumer := w.CLI("mqtt-user", "create", "home", "--data", w.Data)
	sub := world.Start(t, "mosquitto_sub", w.mosquitto("sub", "home", consumer, "-v", "-t", "rm/v1/pub/#"))
	awaitCount(t, sub, attic.ID, 0)

	away := attic.Home + ".away"
	if err := os.Rename(attic.Home, away); err != nil {
		t.Fatal(err)
	}
	failed := w.AwaitState(attic.Backup("letters"), "failed")
	hook.Await("of the failure", 2)
	post.Await("the failure", 2)
	opened := hook.Last()
	if opened.Event != "opened" || opened.Alert == nil || opened.Alert.Condition != "backup-failed" || opened.Alert.Severity != "critical" ||
		opened.Alert.Subject.Host != attic.ID || !strings.HasPrefix(opened.Alert.Subject.Name, "attic") ||
		opened.Link != "https://backups.example.net/rm/alerts/"+opened.Alert.ID {
		t.Fatalf("the webhook is told %+v of job %s", opened, failed.ID)
	}
	alert := *opened.Alert
	if subject := post.Subjects()[1]; !strings.Contains(subject, "attic") {
		t.Errorf("the mail's subject is %q", subject)
	}
	list := w.alerts("state=open&host=attic")
	if len(list) != 1 {
		t.Fatalf("the API lists %+v", list)
	}
	same := func(door string, a Alert) {
		t.Helper()
		a.SeenAt, a.State = alert.SeenAt, alert.State
		if a != alert {
			t.Errorf("%s says\n%+v; the webhook was told\n%+v", door, a, alert)
		}
	}
	same("the API", list[0])
	same("its topic", awaitAlert(t, sub, alert.ID, "open"))
	awaitCount(t, sub, attic.ID, 1)
	if text := w.tell("alerts", "list", "--json"); !strings.Contains(text, alert.ID) {
		t.Errorf("alerts list says %s", text)
	}

	var acked Alert
	w.API("POST", "/api/alerts/"+alert.ID+"/acknowledge", nil, http.StatusOK, &acked)
	if acked.State != "acknowledged" {
		t.Errorf("acknowledged, it is %+v", acked)
	}
	awaitAlert(t, sub, alert.ID, "acknowledged")
	before := len(said(sub, "pub/alert/"+alert.ID))
	w.KillPlane()
	w.StartPlane()
	world.Await(t, "the topic to be retained again", func() error {
		if n := len(said(sub, "pub/alert/"+alert.ID)); n <= before {
			return fmt.Errorf("%d messages", n)
		}
		return nil
	})
	awaitAlert(t, sub, alert.ID, "acknowledged")

	if err := os.Rename(away, attic.Home); err != nil {
		t.Fatal(err)
	}
	attic.AwaitOnline()
	w.AwaitState(attic.Backup("letters"), "succeeded")
	hook.Await("that it is over", 3)
	post.Await("that it is over", 3)
	if want := []string{"test example", "opened " + alert.ID, "recovered " + alert.ID}; !slices.Equal(hook.Events()[1:], want[1:]) {
		t.Errorf("the webhook was told %q, want %q", hook.Events(), want)
	}
	awaitAlert(t, sub, alert.ID, "")
	awaitCount(t, sub, attic.ID, 0)
	if list := w.alerts("state=standing"); len(list) != 0 {
		t.Errorf("after the end there are %+v", list)
	}
	var ended Alert
	w.API("GET", "/api/alerts/"+alert.ID, nil, http.StatusOK, &ended)
	if ended.State != "ended" || ended.EndedAt == "" {
		t.Errorf("it ended as %+v", ended)
	}

	// It comes back within hours: the same alert, which a person ends while no control
	// plane runs.
	if err := os.Rename(attic.Home, away); err != nil {
		t.Fatal(err)
	}
	w.AwaitState(attic.Backup("letters"), "failed")
	hook.Await("that it came back", 4)
	post.Await("that it came back", 4)
	if again := hook.Last(); again.Event != "opened" || again.Alert.ID != alert.ID || again.Alert.Count != 2 {
		t.Errorf("when it came back the webhook was told %+v", again)
	}
	awaitAlert(t, sub, alert.ID, "open")
	w.tell("alerts", "snooze", "--for", "8h", alert.ID)
	awaitAlert(t, sub, alert.ID, "snoozed")
	w.plane.MustStop(10 * time.Second)
	w.tell("alerts", "end", "--reason", "the letters are read", alert.ID)
	w.StartPlane()
	awaitAlert(t, sub, alert.ID, "")
	attic.AwaitOnline()
	w.AwaitState(attic.Backup("letters"), "failed") // what was ended by hand is not opened while it goes on
	if list := w.alerts("state=standing"); len(list) != 0 {
		t.Errorf("ended by hand, it is open again: %+v", list)
	}

	var told struct {
		Deliveries []struct {
			Event, State string
			Alerts       []string
			Tries        []struct{ OK bool }
		}
	}
	world.Await(t, "all that was told to be recorded", func() error {
		w.API("GET", "/api/channels/"+channel.ID+"/deliveries", nil, http.StatusOK, &told)
		for _, d := range told.Deliveries {
			if d.State != "sent" || len(d.Tries) != 1 || !d.Tries[0].OK {
				return fmt.Errorf("there is %+v", d)
			}
		}
		if len(told.Deliveries) != len(hook.Events()) {
			return fmt.Errorf("%d deliveries of %q", len(told.Deliveries), hook.Events())
		}
		return nil
	})
	count := map[string]int{}
	for _, e := range hook.Events() {
		count[e]++
	}
	if count["opened "+alert.ID] != 2 || count["recovered "+alert.ID] > 2 || len(post.Subjects()) != len(hook.Events()) {
		t.Errorf("the webhook was told %q, and mails are %q", hook.Events(), post.Subjects())
	}
	w.MustStopCleanly()
}
