package homeassistant

import (
	"strings"
	"testing"
)

const whole = `{"device":{"identifiers":["rm_1"],"name":"attic"},"origin":{"name":"x"},"state_topic":"rm/v1/s","qos":1,
	"availability":[{"topic":"rm/v1/a"}],"availability_mode":"all","components":{
	"size":{"platform":"sensor","unique_id":"rm_1_size","default_entity_id":"sensor.attic_size","name":"Size","device_class":"data_size",
		"unit_of_measurement":"B","state_class":"measurement","value_template":"{{ value_json.size | default(0) }}"},
	"word":{"platform":"sensor","unique_id":"rm_1_word","default_entity_id":"sensor.attic_word","name":"Word","device_class":"enum",
		"options":["a","b"],"value_template":"{{ value_json.word }}"},
	"go":{"platform":"button","unique_id":"rm_1_go","default_entity_id":"button.attic_go","name":"Go","command_topic":"rm/v1/do"},
	"old":{"platform":"switch"}}}`

// A message is refused for each thing that is not as it is documented.
func TestWhatIsWrongIsSaid(t *testing.T) {
	const topic = "homeassistant/device/rm_1/config"
	if d, wrong := Validate("homeassistant", topic, []byte(whole)); len(wrong) > 0 || len(d.Components) != 4 {
		t.Fatalf("a good one has %d components: %v", len(d.Components), wrong)
	}
	for what, c := range map[string][3]string{
		"an object_id":              {`"name":"Size"`, `"name":"Size","object_id":"x"`, "not documented"},
		"no origin":                 {`"origin":{"name":"x"}`, `"origin":{}`, "origin has no name"},
		"nothing to be known by":    {`["rm_1"]`, `[]`, "nothing to be known by"},
		"no unique ID":              {`"unique_id":"rm_1_size",`, ``, "no unique_id"},
		"the same unique ID":        {`rm_1_size`, `rm_1_word`, "both have the unique_id"},
		"an ID without its domain":  {`"sensor.attic_size"`, `"attic_size"`, "no ID of a sensor"},
		"an ID of another platform": {`"button.attic_go"`, `"switch.attic_go"`, "no ID of a button"},
		"capitals in an ID":         {`"sensor.attic_size"`, `"sensor.Attic_size"`, "no ID of a sensor"},
		"a unit of another class":   {`"B"`, `"°C"`, "no unit"},
		"another device class":      {`"data_size"`, `"weight_of_data"`, "no device_class"},
		"another state class":       {`"state_class":"measurement"`, `"state_class":"sum"`, "no state_class"},
		"an enum with a unit":       {`"options":["a","b"]`, `"options":["a","b"],"unit_of_measurement":"B"`, "options stand"},
		"no options":                {`"options":["a","b"]`, `"options":[]`, "options"},
		"a category for settings":   {`"name":"Word"`, `"name":"Word","entity_category":"config"`, "category"},
		"a wildcard":                {`"rm/v1/do"`, `"rm/v1/#"`, "no topic"},
		"no command":                {`"command_topic":"rm/v1/do"`, `"retain":false`, "no command_topic"},
		"another platform":          {`"platform":"button"`, `"platform":"lever"`, "platform"},
		"a template of a person":    {`{{ value_json.word }}`, `{{ states('x') }}`, "value_template"},
		"available by another mode": {`"availability_mode":"all"`, `"availability_mode":"each"`, "availability_mode"},
		"an icon of no set":         {`"name":"Go"`, `"name":"Go","icon":"disk"`, "icon"},
		"no JSON":                   {`{"device"`, `{device`, "invalid"},
		"an address of no page":     {`"name":"attic"`, `"name":"attic","configuration_url":"javascript:1"`, "no address"},
	} {
		text := strings.Replace(whole, c[0], c[1], 1)
		if _, wrong := Validate("homeassistant", topic, []byte(text)); text == whole || !strings.Contains(strings.Join(wrong, "\n"), c[2]) {
			t.Errorf("%s: %v", what, wrong)
		}
	}
	for _, name := range []string{"homeassistant/device/rm 1/config", "homeassistant/sensor/rm_1/config", "other/device/rm_1/config"} {
		if _, wrong := Validate("homeassistant", name, []byte(whole)); len(wrong) == 0 {
			t.Errorf("%s is a topic for a device", name)
		}
	}
}

func TestTemplates(t *testing.T) {
	payload := []byte(`{"a":"x","empty":"","n":12.5,"zero":0,"yes":true,"m":{"failed":2}}`)
	for template, want := range map[string]string{
		"{{ value_json.a }}":                           "x",
		"{{ value_json.n }}":                           "12.5",
		"{{ value_json.yes }}":                         "True",
		"{{ value_json.empty | default(None, true) }}": "None",
		"{{ value_json.a | default(None, true) }}":     "x",
		"{{ value_json.m.failed | default(0) }}":       "2",
		"{{ value_json.m.overdue | default(0) }}":      "0",
		"{{ 'ON' if value_json.yes else 'OFF' }}":      "ON",
		"{{ 'ON' if value_json.zero else 'OFF' }}":     "OFF",
		"{{ 'ON' if value_json.empty else 'OFF' }}":    "OFF",
		"{{ value_json.gone | default(0) }}":           "!",
		"{{ value_json.gone }}":                        "!",
		"{{ 'ON' if value_json.gone else 'OFF' }}":     "!",
		"{{ value_json.a | upper }}":                   "!",
		"{% if value_json.a %}x{% endif %}":            "!",
		"{{ value_json['a'] }}":                        "!",
		"{{ value_json.a.b | default(0) }}":            "!",
	} {
		got, err := Render(template, payload)
		if (want == "!") != (err != nil) || err == nil && got != want {
			t.Errorf("%s is %q, %v", template, got, err)
		}
	}
}
