package e2e

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/restic-manager/restic-manager/e2e/world"
)

// TestAlertPages goes through the pages of alerts as somebody does who sets up who is told,
// and then hears of a host whose backups fail.
func TestAlertPages(t *testing.T) {
	var told atomic.Int32
	answer := atomic.Int32{}
	answer.Store(http.StatusOK)
	hook := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		told.Add(1)
		w.WriteHeader(int(answer.Load()))
		_, _ = w.Write([]byte("thank you"))
	}))
	t.Cleanup(hook.Close)
	w := NewWorld(t)
	b := NewBrowser(t, w.HTTP)
	attic := w.StartAgent("attic")
	b.signIn(w)

	b.Open("/alerts")
	b.AwaitText("#alerts", "Nothing needs attention")
	b.Inspect("alerts-empty")
	b.Open("/alerts/channels")
	b.AwaitText("main", "Nobody is told yet")
	b.Inspect("channels-empty")
	b.Open("/alerts/channels/new")
	b.Inspect("channel-kinds")
	b.Open("/alerts/channels/new?kind=email")
	b.Inspect("channel-email")
	b.Open("/alerts/channels/new?kind=webhook")
	b.Fill("#name", "Ops")
	b.Fill("#f-url", "nowhere")
	b.Press("Add channel")
	b.Refused("/alerts/channels/new", 422)
	b.AwaitText("main", "The channel was not added")
	if got := Eval[string](b, `document.querySelector("#f-url").value`); got != "nowhere" {
		t.Errorf("after the refusal the URL is %q", got)
	}
	b.Inspect("channel-refused")
	b.Fill("#f-url", hook.URL)
	b.Press("Add channel")
	b.AwaitText("main", "Its signing secret")
	b.Inspect("channel-added")
	id := strings.TrimPrefix(Eval[string](b, `document.querySelector("form[action$='/enabled']").getAttribute("action")`), "/alerts/channels/")
	id = strings.TrimSuffix(id, "/enabled")
	b.Open("/alerts/channels/" + id)
	if strings.Contains(b.Text("main"), "rmw_") {
		t.Error("the secret is shown a second time")
	}
	answer.Store(http.StatusTeapot)
	b.Press("Send test")
	b.AwaitText("#test", "It was not taken")
	b.AwaitText("#test", "418")
	answer.Store(http.StatusOK)
	b.Press("Send test")
	b.AwaitText("#test", "It was taken")
	b.Inspect("channel-tested")
	if told.Load() < 2 {
		t.Errorf("the channel was told %d times", told.Load())
	}

	b.Open("/alerts/rules/new")
	b.Inspect("rule-new")
	b.Fill("#name", "All of attic")
	b.Fill("#hosts", "nobody")
	b.Click("#channel-" + id)
	b.Press("Add rule")
	b.Refused("/alerts/rules/new", 422)
	b.AwaitText("#hosts-err", "There is no host")
	b.Fill("#hosts", "attic")
	b.Press("Add rule")
	b.AwaitText("main", "told to Ops")
	b.Open("/alerts/rules?host=attic")
	b.AwaitText("main", "Which alert goes where")
	b.Inspect("rules")
	b.Open("/alerts/channels")
	b.Inspect("channels")

	b.Open("/alerts/conditions?host=attic")
	b.Inspect("conditions")
	b.set("#limit-condition", "host-offline")
	b.Fill("#limit-value", "2")
	b.Press("Set threshold")
	b.AwaitText("#thresholds", "The fleet")
	b.Open("/alerts/pauses?host=" + attic.ID)
	b.Fill("#pause-reason", "Disks are swapped")
	b.Press("Pause alerts")
	b.AwaitText("main", "End now")
	b.Inspect("pauses")
	b.Open("/hosts/" + attic.ID)
	b.AwaitText("#alerts-of", "Alerts are paused until")
	b.Open("/alerts/pauses")
	b.Click("form[action='/alerts/pauses/end'] button")
	b.AwaitText("main", "Nothing is paused")
	b.Open("/alerts/heartbeat")
	b.Inspect("heartbeat")
	b.Open("/settings")
	b.Fill("#public_url", "backup.example.net")
	b.Press("Save the address")
	b.Refused("/settings/public-url", 422)
	b.AwaitText("#public_url-err", "Write it as in a browser")
	b.Fill("#public_url", "https://backup.example.net")
	b.Press("Save the address") // the page that was refused is below /settings, too
	b.AwaitPath("/settings")

	// A backup fails, of a folder that is not there.
	b.Open("/alerts")
	attic.Write("letters/1.txt", "dear reader")
	attic.GroupToBegin("letters")
	w.AwaitState(attic.Backup("letters"), "succeeded")
	if err := os.Rename(attic.Home, attic.Home+".away"); err != nil {
		t.Fatal(err)
	}
	w.AwaitState(attic.Backup("letters"), "failed")
	var alert string
	world.Await(t, "an alert", func() error {
		var list struct {
			Alerts []struct{ ID string }
		}
		if w.API("GET", "/api/alerts?state=open", nil, http.StatusOK, &list); len(list.Alerts) == 0 {
			return errors.New("none is open")
		}
		alert = list.Alerts[0].ID
		return nil
	})
	b.AwaitText("#nav-alerts", "1")
	b.Open("/alerts")
	b.Inspect("alerts")
	b.Open("/")
	b.AwaitText("#fleet-alerts", "1 alert is open")
	b.Open("/hosts/" + attic.ID)
	b.Inspect("host-alerts")
	b.Open("/alerts/" + alert)
	b.Inspect("alert")
	b.Press("Acknowledge")
	b.AwaitText("#alert-head", "Acknowledged")
	b.Fill("#reason", "The folder is gone for good")
	b.Press("End this alert")
	b.AwaitText("#alert-head", "Ended")
	b.Inspect("alert-ended")
	b.Open("/alerts?state=ended")
	b.AwaitText("#alerts", "The folder is gone for good")
	b.Inspect("alerts-ended")
}
