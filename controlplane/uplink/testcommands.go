package uplink

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/restic-manager/restic-manager/store/uplinks"
)

// commands looks whether we may read commands, if they are to be heard.
func (t *trial) commands(ctx context.Context) bool {
	if t.asked == Off && t.second == nil {
		return true
	}
	// "test" is no action: nobody carries it out.
	topic := t.set.Root + "/do/test-" + t.id + "/test"
	if t.asked == ByConsumer || t.second != nil {
		topic = t.set.Root + "/do/" + t.set.User + "/test-" + t.id + "/test"
	}
	back, refused, err := t.echo(ctx, topic, []byte(t.id), false)
	switch {
	case err != nil:
		t.broken("commands", "Reading commands below "+t.set.Root+"/do/", err)
		return false
	case refused:
		t.say(Step{Name: "commands", Text: "The broker does not let us read below " + t.set.Root + "/do/, so no command is heard.",
			Remedy: t.rights(t.set.Root + "/do/#")})
	case back:
		t.say(Step{Name: "commands", OK: true, Text: "Commands written below " + t.set.Root + "/do/ are heard."})
	default:
		t.say(Step{Name: "commands", Warn: true, Text: "A command that we wrote ourselves below " + t.set.Root +
			"/do/ was not heard: either our user may not " +
			"write there, which it need not, or it may not read there.", Remedy: t.rights(t.set.Root + "/do/#")})
	}
	return true
}

// consumers looks whether a consumer's account can write what another's would: the broker's
// rules alone keep them apart.
func (t *trial) consumers(ctx context.Context) bool {
	if t.second == nil {
		return true
	}
	access := t.set.access
	access.Account, access.Password = t.second.User, t.second.Password
	access.Certificate, access.Key = "", ""
	found, err := t.forge(ctx, access)
	var known *trouble
	switch {
	case errors.As(err, &known):
		t.say(Step{Name: "consumers", Text: "As " + t.second.User + ": " + known.say, Remedy: known.remedy})
	case err != nil:
		t.broken("consumers", "As "+t.second.User, err)
	case len(found) > 0:
		t.disproven = true
		t.say(Step{Name: "consumers", Text: t.second.User + " can write " + strings.Join(found, " and ") + ", as if it were another. " +
			"Commands of consumers are not heard there.",
			Remedy: "Let each user write only below " + t.set.Root + "/do/NAME/, with its own name: docs/UPLINK.md has the pattern for " +
				"mosquitto, EMQX and NATS."})
	default:
		t.proven = true
		t.say(Step{Name: "consumers", OK: true, Text: t.second.User + " can write its own commands, and no others."})
	}
	return true
}

// forge writes commands of others as a consumer, at last its own, and returns which of the
// others came. It fails if its own did not come: then nothing is known of the others.
func (t *trial) forge(ctx context.Context, access uplinks.Access) (found []string, err error) {
	name := func(consumer string) string { return t.set.Root + "/do/" + consumer + "/test-" + t.id + "/test" }
	own, other, ours := name(access.Account), name("other-"+t.id), name(t.set.User)
	asWill := name("will-" + t.id)
	if _, err := t.conn.subscribe(ctx, t.set.Root+"/do/+/+/+", 1); err != nil {
		return nil, err
	}
	try := func(w *will, publish ...string) error {
		c, err := dial(ctx, access, w, t.timing, func(message) {})
		if err != nil {
			return err
		}
		defer c.close()
		for _, topic := range publish {
			if err := c.publish(ctx, topic, []byte("as "+access.Account), 1, false); err != nil {
				return err
			}
		}
		if len(publish) == 0 {
			return nil
		}
		return c.flush(ctx)
	}
	// Each on a connection of its own: some brokers end it over what is not allowed.
	_ = try(&will{asWill, "as " + access.Account})
	_ = try(nil, other)
	if t.set.User != "" {
		_ = try(nil, ours)
	}
	if err := try(nil, own); err != nil {
		return nil, err
	}
	limit := time.NewTimer(t.timing.Step)
	defer limit.Stop()
	for {
		select {
		case m := <-t.came:
			if string(m.payload) != "as "+access.Account {
				continue
			}
			switch m.topic {
			case own:
				return found, t.settle(ctx, asWill, &found)
			case other, ours, asWill:
				found = append(found, fmt.Sprintf("%.200q", m.topic))
			}
		case <-t.conn.lost:
			return nil, t.conn.failed(errLost)
		case <-limit.C:
			return nil, &trouble{"what it wrote at " + own + " was not passed on, so nothing is known of what it may write.",
				"Give it the right to write below " + t.set.Root + "/do/" + access.Account + "/, and us that to read below " + t.set.Root +
					"/do/.", errUnfit}
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// settle waits a moment for a will, which a broker may say later than what was written after.
func (t *trial) settle(ctx context.Context, topic string, found *[]string) error {
	limit := time.NewTimer(min(t.timing.Step/4, time.Second))
	defer limit.Stop()
	for {
		select {
		case m := <-t.came:
			if m.topic == topic {
				*found = append(*found, fmt.Sprintf("%.200q by its last will", m.topic))
				return nil
			}
		case <-limit.C:
			return nil
		case <-ctx.Done():
			return nil
		}
	}
}

// tried reports whether a test wrote to this topic.
func tried(parts []string) bool {
	n := len(parts)
	return parts[n-1] == "test" && strings.HasPrefix(parts[n-2], "test-")
}
