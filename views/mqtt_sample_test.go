package views_test

import (
	"strings"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/views"
)

func mqttSample() views.MQTT {
	place := views.TopicPlace{Filter: "rm/v1/#", Topic: "rm/v1/pub/host/attic-0001/state", Open: []string{"rm/v1/pub", hostile}}
	up := views.Status{Tone: "ok", Icon: "circle-check", Word: "Online", Quiet: true}
	host := views.TopicLevel{Place: place, Path: "rm/v1/pub/host", More: 9950, After: "attic-0001", Branches: []views.TopicBranch{
		{Name: "attic-0001", Path: "rm/v1/pub/host/attic-0001", Label: hostile, Below: true, Count: 4, Open: &views.TopicLevel{Place: place,
			Branches: []views.TopicBranch{{Name: "state", Path: place.Topic, Topic: true, Count: 1},
				{Name: hostile, Path: hostile, Topic: true, Live: true, Count: 1}}}}}}
	return views.MQTT{
		State: views.MQTTState{Up: true, Public: "127.0.0.1:1883", Since: past(16 * 24 * time.Hour), Agents: 23, Hosts: 24, Listening: 3,
			PerSecond: 34.2, Bytes: 2150, Points: []int{0, 4, 9, 2, 40}, Retained: 412, RetainedBytes: 1 << 20, Waiting: 1, Dropped: 7,
			Brokers: []views.MQTTBroker{{Name: "Agents", Sub: "on 0.0.0.0:8883", Status: up, Connected: "23", In: "44,000", Out: "1,802",
				Dropped: "0", Refused: "3", Denied: "0"}, {Name: "Consumers", Sub: hostile, Status: up, Connected: "3", Dropped: "7"}}},
		Explorer: views.TopicExplorer{Place: place, Filter: "rm/v1/#", Tree: views.TopicLevel{Place: place,
			Branches: []views.TopicBranch{{Name: "rm/v1/pub", Path: "rm/v1/pub", Below: true, Count: 412, Open: &host},
				{Name: "homeassistant", Path: "homeassistant", Below: true, Topic: true, Count: 24}}},
			Value: views.TopicValue{Topic: place.Topic, There: true,
				Payload: `{"status":"failed","limit":26,"ok":[true,null],"why":"` + "a \\\" b" + `"}`,
				Size:    80, QoS: 1, Retain: true, At: past(18 * time.Minute), Command: "mosquitto_sub -h 127.0.0.1 -t 'a'"},
			Messages: []views.TopicMessage{
				{N: 8, Topic: "rm/v1/pub/host/attic-0001/job/0b9e", Payload: hostile, Size: 9, At: past(time.Second)},
				{N: 7, Topic: hostile, Retain: true, QoS: 1, At: past(time.Minute)}, {N: 6, Topic: "a"}}},
		Uplink: views.UplinkCard{On: true, Connected: true, URL: "mqtts://" + hostile, Root: "rm/v1", Commands: "not heard",
			Since:    past(time.Hour),
			Warnings: []string{hostile}, Topics: 412, Published: 9000, Fixed: true,
			Leaving: []views.UplinkLeaving{{ID: "x", URL: hostile, Error: hostile, Topics: 3, Since: past(time.Hour)}}},
		Assistant: views.AssistantCard{Enabled: true, Prefix: "homeassistant", Devices: 46, Entities: 700, Born: past(time.Hour)},
		Clients: &views.MQTTClients{Total: 26, Rows: []views.MQTTClient{
			{Name: "home-assistant", URL: views.ConsumerURL("home-assistant"), Sub: "Consumer, WebSocket", Remote: "10.20.1.40:5000",
				Since: past(9 * 24 * time.Hour), In: "0", Out: "18,200", Subs: "3", Note: "Does not keep up"},
			{Name: hostile, URL: views.ConsumerURL(hostile), Sub: hostile, Remote: hostile, Note: hostile}}},
		Consumers: &views.Consumers{Prefix: "homeassistant", List: []views.Consumer{
			{Name: "home-assistant", Rights: views.ConsumerRights{Do: true}, By: "admin", Created: past(9 * 24 * time.Hour), Connected: 1},
			{Name: hostile, By: hostile, Created: past(time.Hour)}}},
	}
}

// mqttFirst is the page before anything happened, of a server whose brokers are down.
func mqttFirst() views.MQTT {
	return views.MQTT{State: views.MQTTState{Says: "the port is taken"}, Explorer: views.TopicExplorer{Filter: "rm/v1/pub/#"},
		Clients: &views.MQTTClients{}, Consumers: &views.Consumers{}}
}

// mqttLevel is a level for a browser without script.
func mqttLevel() views.TopicLevel {
	l := *mqttSample().Explorer.Tree.Branches[0].Open
	l.Alone, l.Branches[0].Open = true, nil
	return l
}

func mqttWrong() views.MQTT {
	v := mqttSample()
	v.Explorer.Filter, v.Explorer.Wrong, v.Explorer.Messages = "a#"+hostile, "# stands alone.", nil
	v.Explorer.Value = views.TopicValue{Topic: hostile, Problem: "It cannot be read."}
	v.Clients, v.Consumers = nil, nil
	v.Uplink = views.UplinkCard{On: true, Error: "It cannot be reached.", Remedy: "Look whether it runs."}
	v.Assistant = views.AssistantCard{Problem: "It cannot be read."}
	return v
}

func uplinkSample() views.UplinkForm {
	wrong := map[string]string{}
	for _, name := range []string{"url", "user", "password", "ca", "certificate", "key", "root", "prefix", "commands", "second_user"} {
		wrong[name] = "Wrong: " + hostile
	}
	return views.UplinkForm{Version: "3", URL: hostile, User: hostile, Root: hostile, CA: hostile, HasPassword: true,
		HasKey: true, Insecure: true,
		Commands: "external", Second: hostile, Errors: wrong, Problem: "Nothing was saved.", Unread: "Enter them again.",
		Result: &views.UplinkResult{Steps: []views.UplinkStep{{Status: views.Status{Tone: "fail", Icon: "octagon-x",
			Word: "Does not"}, Text: hostile,
			Remedy: hostile}}}}
}

func assistantSample() views.AssistantForm {
	return views.AssistantForm{Version: "2", Enabled: true, Prefix: hostile, Tags: hostile,
		Errors:  map[string]string{"prefix": "Wrong.", "tags": "Wrong."},
		Problem: "Nothing was saved.", Preview: views.AssistantPreview{Devices: 46, Hosts: 40, Repositories: 5, Entities: 700, Enabled: true}}
}

func TestAValueIsShownAsItIs(t *testing.T) {
	for _, c := range []struct{ payload, want string }{
		{`{"a":"b\\\"<c>","d":[1,true,null]}`,
			"{\n  <span class=\"k\">&#34;a&#34;</span>: <span class=\"s\">&#34;b\\\\\\&#34;&lt;c&gt;&#34;</span>,\n" +
				"  <span class=\"k\">&#34;d&#34;</span>: [\n    <span class=\"d\">1</span>,\n    <span class=\"d\">true</span>,\n" +
				"    <span class=\"d\">null</span>\n  ]\n}"},
		{"online", "online"}, {"{broken", "{broken"}, {"[]", "[]"}, {"", ""},
	} {
		html := render(t, views.TopicValueOf(views.TopicValue{Topic: "t", There: true, Payload: c.payload, Size: len(c.payload)}))
		_, text, _ := strings.Cut(html, `tabindex="0">`)
		if text, _, _ = strings.Cut(text, "</pre>"); text != c.want {
			t.Errorf("%s is shown as\n%s\nwant\n%s", c.payload, text, c.want)
		}
	}
}
