package discovery

import (
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"

	"github.com/restic-manager/restic-manager/controlplane/outbox"
	"github.com/restic-manager/restic-manager/e2e/homeassistant"
	"github.com/restic-manager/restic-manager/topics"
)

var (
	entityOf = regexp.MustCompile(`\b(?:binary_sensor|sensor|button|switch|update)\.[a-z0-9_]+`)
	topicOf  = regexp.MustCompile(`\b(?:rm/v1|homeassistant)/[a-z0-9/+#]+`)
	rowOf    = regexp.MustCompile("(?m)^\\| ([^|]+) \\| `([a-z_.0-9]+)` \\|")
	blockOf  = regexp.MustCompile("(?s)```yaml\n(.*?)```")
)

// docs/HOME-ASSISTANT.md names all entities there are by their names, and no other; what its
// examples use is announced and published.
func TestTheDocumentIsTrue(t *testing.T) {
	text := string(must(os.ReadFile("../../docs/HOME-ASSISTANT.md")))
	v := voice{Dialect: dialect(outbox.Public, topics.Root, true), prefix: Prefix, buttons: true, hub: "rm_x"}
	names := map[string]string{}
	read := map[string]bool{}
	for _, d := range []device{{key: fleetKey, id: "rm_x", name: "Backups"}, {id: "rm_1", name: "attic", host: attic},
		{id: "rm_2", name: "vault", repository: vault}} {
		d.slug, d.model = slugOf(d), "Model"
		payload := compose(v, d, nil)
		found, wrong := homeassistant.Validate(Prefix, v.topic(d), payload)
		if len(wrong) > 0 {
			t.Fatal(wrong)
		}
		for _, c := range found.Components {
			id, _ := c.Config["default_entity_id"].(string)
			names[id], _ = c.Config["name"].(string)
			if s, is := c.Config["state_topic"].(string); is {
				read[s] = true
			}
		}
	}
	documented := map[string]string{}
	for _, m := range rowOf.FindAllStringSubmatch(text, -1) {
		documented[m[2]] = m[1]
	}
	if !maps.Equal(documented, names) {
		for id, name := range names {
			if documented[id] != name {
				t.Errorf("%s is called %q, and %q in the document", id, name, documented[id])
			}
		}
		for id := range documented {
			if names[id] == "" {
				t.Errorf("%s is in the document, and is not announced", id)
			}
		}
	}
	blocks := blockOf.FindAllStringSubmatch(text, -1)
	automations := 0
	for _, b := range blocks {
		var content map[string]any
		if err := yaml.Unmarshal([]byte(b[1]), &content); err != nil {
			t.Errorf("%v in\n%s", err, b[1])
		}
		if content["triggers"] != nil && content["actions"] != nil && content["alias"] != nil {
			automations++
		}
		for _, id := range entityOf.FindAllString(b[1], -1) {
			if _, known := names[id]; !known && id != "button.press" {
				t.Errorf("an example uses %s, which is not announced", id)
			}
		}
		for _, name := range topicOf.FindAllString(b[1], -1) {
			if _, err := topics.Parse(strings.ReplaceAll(name, "+", "alert-0001")); err != nil {
				t.Errorf("an example uses the topic %s: %v", name, err)
			}
		}
	}
	if automations != 3 || len(blocks) != 4 {
		t.Errorf("there are %d automations in %d examples", automations, len(blocks))
	}
	if steps := regexp.MustCompile(`(?m)^\d\. `).FindAllString(text, -1); !slices.Equal(steps, []string{"1. ", "2. ", "3. ", "4. ", "5. "}) {
		t.Errorf("the steps are %v", steps)
	}
	ofHosts := slices.DeleteFunc(slices.Sorted(maps.Keys(read)), func(t string) bool { return !strings.Contains(t, "/host/") })
	if len(ofHosts)+1 > 4 { // and its discovery
		t.Errorf("entities of a host read %v, and it has 4 retained topics at most", ofHosts)
	}
}
