package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/e2e/world"
)

// mosquitto makes a command line of Debian's clients for the public broker.
func (w *World) mosquitto(name, user, password string, args ...string) *exec.Cmd {
	w.t.Helper()
	host, port, err := net.SplitHostPort(w.MQTT)
	if err != nil {
		w.t.Fatal(err)
	}
	args = append([]string{"-h", host, "-p", port, "-u", user, "-P", password}, args...)
	return exec.Command("mosquitto_"+name, args...)
}

// said lists the payloads a subscriber printed on a topic with -v.
func said(p *world.Process, topic string) (payloads []string) {
	for line := range strings.Lines(p.Out.String()) {
		if name, payload, ok := strings.Cut(strings.TrimSuffix(line, "\n"), " "); ok && name == "rm/v1/"+topic {
			payloads = append(payloads, payload)
		}
	}
	return payloads
}

func awaitSaid(t *testing.T, p *world.Process, topic, contains string) {
	t.Helper()
	world.Await(t, topic+" to say "+contains, func() error {
		if !slices.ContainsFunc(said(p, topic), func(s string) bool { return strings.Contains(s, contains) }) {
			return fmt.Errorf("all there is is\n%s%s", p.Out.Tail(3000), p.Errs.Tail(500))
		}
		return nil
	})
}

func TestAConsumerSeesABackupGoBy(t *testing.T) {
	w := NewWorld(t)
	attic := w.Enrol("attic")
	standIn := NewStandIn(t, attic.Dir, "gate seen")
	attic.Restic = standIn.Path
	attic.Noise("photo.raw", 4)
	attic.Group("all")
	secret := w.CLI("mqtt-user", "create", "home", "--data", w.Data)
	sub := world.Start(t, "mosquitto_sub", w.mosquitto("sub", "home", secret, "-v", "-t", "rm/v1/pub/#"))
	awaitSaid(t, sub, "pub/plane/availability", "online")
	attic.Start()
	host := "pub/host/" + attic.ID
	awaitSaid(t, sub, host+"/availability", "online")
	id := attic.Backup("all")
	awaitSaid(t, sub, host+"/job/"+id, `"state":"running"`)
	awaitSaid(t, sub, host+"/state", `"running_job":"`+id+`"`)
	standIn.Open("seen")
	job := w.AwaitState(id, "succeeded")
	awaitSaid(t, sub, host+"/job/"+id, `"state":"succeeded"`)
	awaitSaid(t, sub, host+"/state", `"last_result":"succeeded"`)
	for _, payload := range said(sub, host+"/job/"+id) {
		if !json.Valid([]byte(payload)) {
			t.Errorf("%q is no JSON", payload)
		}
	}
	jobs := said(sub, host+"/job/"+id)
	if last := jobs[len(jobs)-1]; !strings.Contains(last, job.SnapshotID) || strings.Contains(last, `"running"`) {
		t.Errorf("the last word about the job is %s", last)
	}

	// Who comes late is told where things stand, and nothing of a job that is over.
	late := world.Start(t, "a late mosquitto_sub", w.mosquitto("sub", "home", secret, "-v", "-t", "rm/v1/pub/#"))
	// Backed up, but nothing says that it will be again.
	awaitSaid(t, late, host+"/state", `"status":"unscheduled"`)
	awaitSaid(t, late, host+"/availability", "online")
	if old := said(late, host+"/job/"+id); len(old) > 0 {
		t.Errorf("a late consumer is told of an old job: %v", old)
	}
	attic.MustStop()
	awaitSaid(t, late, host+"/availability", "offline")
	w.plane.MustStop(time.Minute)
	awaitSaid(t, late, "pub/plane/availability", "offline")
	w.StartPlane()
	awaitSaid(t, late, "pub/fleet/state", `"hosts":1`)
	for _, p := range []*world.Process{sub, late} {
		if leaked := p.Out.String(); strings.Contains(leaked, "/agent/") || strings.Contains(leaked, "/ctl/") ||
			strings.Contains(leaked, "photo.raw") || strings.Contains(leaked, password) {
			t.Errorf("consumers are told what is none of theirs:\n%s", leaked)
		}
	}
	w.MustStopCleanly()
}

func TestAConsumerMayDoWhatItWasGiven(t *testing.T) {
	w := NewWorld(t)
	attic := w.StartAgent("attic")
	attic.Write("a", "a")
	attic.Group("all")
	reader := w.CLI("mqtt-user", "create", "reader", "--data", w.Data)
	doer := w.CLI("mqtt-user", "create", "doer", "--do", "--data", w.Data)
	watch := world.Start(t, "mosquitto_sub", w.mosquitto("sub", "reader", reader, "-v", "-t", "rm/v1/pub/#"))
	awaitSaid(t, watch, "pub/host/"+attic.ID+"/availability", "online")

	for name, cmd := range map[string]*exec.Cmd{
		"a wrong password": w.mosquitto("sub", "reader", "nonsense", "-v", "-t", "rm/v1/pub/#", "-W", "60"),
		"a wrong user":     w.mosquitto("sub", "nobody", reader, "-v", "-t", "rm/v1/pub/#", "-W", "60"),
	} {
		if r := command(t, cmd); r.code == 0 || r.out != "" || !strings.Contains(strings.ToLower(r.errs), "not authori") &&
			!strings.Contains(strings.ToLower(r.errs), "bad user") {
			t.Errorf("%s: exit status %d, %s%s", name, r.code, r.out, r.errs)
		}
	}
	for _, filter := range []string{"#", "+/#", "rm/#", "rm/v1/#", "rm/v1/agent/#", "rm/v1/ctl/#", "rm/v1/do/#", "$SYS/#",
		"$share/x/rm/v1/agent/#"} {
		if r := command(t, w.mosquitto("sub", "doer", doer, "-v", "-t", filter, "-W", "2")); r.out != "" {
			t.Errorf("subscribing to %s tells %s", filter, r.out)
		}
	}

	answers := world.Start(t, "mosquitto_sub of doer",
		w.mosquitto("sub", "doer", doer, "-v", "-t", "rm/v1/pub/do/#", "-t", "rm/v1/pub/plane/#"))
	awaitSaid(t, answers, "pub/plane/availability", "online")
	do := "rm/v1/do/" + attic.ID + "/backup"
	refused := func(name string, cmd *exec.Cmd) {
		t.Helper()
		if r := command(t, cmd); r.code == 0 {
			t.Errorf("%s, and that is not refused: %s", name, r.errs)
		}
	}
	refused("a reader asks for a backup", w.mosquitto("pub", "reader", reader, "-q", "1", "-t", do, "-n"))
	refused("a reader speaks for the control plane", w.mosquitto("pub", "reader", reader, "-q", "1", "-r", "-t",
		"rm/v1/pub/plane/availability", "-m", "gone"))
	refused("a doer speaks for the control plane", w.mosquitto("pub", "doer", doer, "-q",
		"1", "-r", "-t", "rm/v1/pub/plane/availability", "-m", "gone"))
	// What is acknowledged is not sent again and again. It is no wish all the same, and the answer says so.
	if r := command(t, w.mosquitto("pub", "doer", doer, "-q", "1", "-r", "-t", do, "-n")); r.code != 0 {
		t.Errorf("a doer leaves a wish for ever: exit status %d: %s", r.code, r.errs)
	}
	awaitSaid(t, answers, "pub/do/doer", `"cause":"retained"`)
	if r := command(t, w.mosquitto("pub", "doer", doer, "-q", "1", "-t", do, "-n")); r.code != 0 {
		t.Errorf("exit status %d: %s", r.code, r.errs)
	}
	var id string
	world.Await(t, "the wish to become a job", func() error {
		for line := range strings.Lines(watch.Out.String()) {
			topic, payload, _ := strings.Cut(line, " ")
			if strings.Contains(topic, "/job/") && strings.Contains(payload, `"kind":"backup"`) &&
				strings.Contains(payload, `"state":"succeeded"`) { // the job that makes the repository comes first
				id = topic[strings.LastIndex(topic, "/")+1:]
				return nil
			}
		}
		return errors.New(watch.Out.Tail(2000))
	})
	session := w.SignIn()
	if page := session.Page("/jobs/" + id); page.Missing("the MQTT consumer doer") {
		t.Errorf("the job's page does not say who asked for it: %s", page.Text)
	}
	// The reader's and the retained wish would be jobs by now: wishes are granted in turn.
	if n := len(attic.Snapshots()); n != 1 {
		t.Errorf("there are %d snapshots, want the one that was rightly asked for", n)
	}
	if gone := said(watch, "pub/plane/availability"); slices.Contains(gone, "gone") {
		t.Errorf("a consumer spoke for the control plane: %v", gone)
	}
	w.MustStopCleanly()
}
