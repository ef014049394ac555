package delivery

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/store/alerts"
)

// A storm is a message whose size is bounded, whatever each alert of it explains.
func TestAStormOfAlertsThatExplainMuchIsAShortMessage(t *testing.T) {
	inWorld(t, []string{"mail"}, func(w *world) {
		var list []alerts.Alert
		for i := range 2000 {
			a := failed(fmt.Sprintf("h%04d", i), alerts.Critical)
			for j := range 60 {
				a.Body.V.Swallows = append(a.Body.V.Swallows, fmt.Sprintf("something of h%04d, %d", i, j))
			}
			list = append(list, a)
		}
		w.open(list...)
		w.pass(time.Minute)
		got := w.heard("mail")
		if len(got) != 1 || len(got[0].Text) > 30_000 || !strings.Contains(got[0].Text, "h0000: this explains something of h0000, 0,") ||
			!strings.Contains(got[0].Text, "and 10 more") || !strings.Contains(got[0].Text, "1,990 more of them explain") {
			t.Errorf("it was told %d messages, the first with %d bytes: %.2000s", len(got), len(got[0].Text), got[0].Text)
		}
	})
}
