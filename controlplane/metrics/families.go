package metrics

import "slices"

// A Type is what kind of metric a family is, in Prometheus' words.
type Type string

// The types that are used.
const (
	Gauge     Type = "gauge"
	Counter   Type = "counter"
	Summary   Type = "summary"
	Histogram Type = "histogram"
)

// A Family is all metrics of one name.
type Family struct {
	Name   string
	Type   Type
	Labels []string // in their order
	Help   string   // a sentence without a full stop: what its value is
}

// prefix begins the name of every family of ours.
const prefix = "restic_manager_"

// Families is every family of ours, in the order they are told in. docs/METRICS.md has
// the same table. Those of Go's runtime and of the process are the library's.
func Families() []Family {
	var list []Family
	for _, f := range hostFamilies {
		list = append(list, f.Family)
	}
	for _, f := range repositoryFamilies {
		list = append(list, f.Family)
	}
	return append(list, planeFamilies...)
}

// planeFamilies are those of the fleet as a whole and of the control plane itself.
var planeFamilies = []Family{
	{"build_info", Gauge, []string{"version"}, "1; which version of the control plane runs"},
	{"read_success", Gauge, []string{"part"}, "1 if the figures of this part could be read for this scrape; at 0 they are those of before"},

	{"hosts", Gauge, []string{"status"}, "Hosts by how well they are protected, as the page Fleet counts them"},
	{"hosts_connected", Gauge, []string{"connection"}, "Hosts by connection: online, offline or unknown"},
	{"alerts", Gauge, []string{"severity", "state"}, "Alerts that are not over: open, acknowledged or snoozed"},
	{"jobs_running", Gauge, []string{"kind"}, "Jobs at work"},
	{"jobs_waiting", Gauge, []string{"kind"}, "Jobs that wait for their turn or for their host, or were sent and not begun"},
	{"jobs_ended_total", Counter, []string{"kind", "result"}, "Jobs that ended, counted in the database: a restart keeps the count"},
	{"job_duration_seconds", Summary, []string{"kind"}, "How long jobs ran, waiting left out, counted in the database"},

	{"broker_connections", Gauge, []string{"broker"}, "Clients connected to an embedded broker"},
	{"broker_refused_total", Counter, []string{"broker"}, "Connections that never became a client, since the start"},
	{"broker_denied_total", Counter, []string{"broker"}, "What clients tried beyond their rights, since the start"},
	{"broker_dropped_total", Counter, []string{"broker"}, "Messages that a client did not get because it was too slow, since the start"},
	{"broker_panics_total", Counter, []string{"broker"}, "Faults that cost a client its connection, since the start"},

	{"ingest_waiting_messages", Gauge, nil, "Messages of agents that wait to be handled"},
	{"ingest_waiting_bytes", Gauge, nil, "The same in bytes, with what holding them costs"},
	{"ingest_received_total", Counter, nil, "Messages of agents that were taken, since the start"},
	{"ingest_refused_total", Counter, nil, "Messages of agents that were invalid or not authentic, since the start"},
	{"part_last_turn_timestamp_seconds", Gauge, []string{"part"}, "When a part of the control plane last came round"},

	{"database_size_bytes", Gauge, []string{"file"}, "Size of the database, and of the log (wal) of what was written last"},
	{"database_write_seconds", Histogram, nil, "From when a write was asked for until it was on disk, since the start"},
	{"database_write_failures_total", Counter, nil, "Writes that the database did not begin or commit, since the start"},
	{"disk_free_bytes", Gauge, nil, "Room on the disk of the data directory, without the reserve"},
	{"disk_size_bytes", Gauge, nil, "Size of that disk"},
	{"disk_short", Gauge, []string{"level"}, "1 for how short of room the control plane is: no, low (jobs are held), scarce or none"},

	{"outbox_messages", Gauge, []string{"outlet"}, "Retained messages that are still to be given to an MQTT broker: public " +
		"(embedded) or uplink (your own)"},
	{"outbox_lag_seconds", Gauge, []string{"outlet"}, "How long the oldest of them has waited, 0 if none does; absent while the " +
		"broker is not connected"},
	{"uplink_connected", Gauge, nil, "1 while the broker of your own is connected, 0 while it is not; absent while it is not set"},
	{"uplink_connections_total", Counter, nil, "How often it was connected to, since the start"},
	{"notifications_waiting", Gauge, nil, "Messages about alerts that are still to be delivered to people"},
	{"notifications_oldest_timestamp_seconds", Gauge, nil, "When the oldest of them was made; absent if none waits"},
}

// family is one of planeFamilies. A name that is not there is a slip.
func family(name string) Family {
	i := slices.IndexFunc(planeFamilies, func(f Family) bool { return f.Name == name })
	if i < 0 {
		panic("metrics: " + name + " is not in the table")
	}
	return planeFamilies[i]
}
