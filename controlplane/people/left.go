package people

import (
	"strings"

	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/store/access"
	"github.com/restic-manager/restic-manager/words"
)

// Programs names credentials: "the API tokens nightly and weekly, the MQTT consumer
// home", "" for none.
func Programs(c access.Credentials) string {
	var tokens, consumers []string
	for _, t := range c.Tokens {
		tokens = append(tokens, t.Name)
	}
	for _, u := range c.Consumers {
		consumers = append(consumers, u.Name)
	}
	var parts []string
	for _, p := range []struct {
		one, many string
		names     []string
	}{{"the API token ", "the API tokens ", tokens}, {"the MQTT consumer ", "the MQTT consumers ", consumers}} {
		switch n := len(p.names); n {
		case 0:
		case 1:
			parts = append(parts, p.one+p.names[0])
		default:
			parts = append(parts, p.many+strings.Join(p.names[:n-1], ", ")+" and "+p.names[n-1])
		}
	}
	return strings.Join(parts, ", ")
}

// Tell says what ended with somebody's rights, or whose it became; "" for nothing.
func Tell(l Left, heir Maker) string {
	var said []string
	if which := Programs(l.Credentials); which != "" && l.Kept {
		whose := heir.Name + " answers for it now: "
		if heir.User == "" {
			whose = "Kept with their own roles, as made on this machine: "
		}
		said = append(said, whose+which+".")
	} else if which != "" {
		said = append(said, "Revoked with it: "+which+".")
	}
	if n := len(l.Jobs); n > 0 {
		said = append(said, words.Count(uint64(n), "job that waited was", "jobs that waited were")+" cancelled: "+jobsOf(l.Jobs)+".")
	}
	return strings.Join(said, " ")
}

// jobsOf names a few jobs by kind and ID.
func jobsOf(jobs []store.Job) string {
	const most = 5
	var names []string
	for i, j := range jobs {
		if i == most {
			names = append(names, "and more")
			break
		}
		names = append(names, string(j.Kind)+" "+string(j.ID))
	}
	return strings.Join(names, ", ")
}
