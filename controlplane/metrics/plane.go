package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/restic-manager/restic-manager/broker"
	"github.com/restic-manager/restic-manager/controlplane/fleet"
	"github.com/restic-manager/restic-manager/controlplane/hosts"
	"github.com/restic-manager/restic-manager/controlplane/jobs"
	"github.com/restic-manager/restic-manager/controlplane/protection"
	"github.com/restic-manager/restic-manager/controlplane/space"
	"github.com/restic-manager/restic-manager/store/alerts"
	"github.com/restic-manager/restic-manager/store/gauges"
	"github.com/restic-manager/restic-manager/topics"
)

// Outlet is what is still to be sent to an MQTT broker.
type Outlet struct {
	Name      string // public or uplink
	Connected bool   // else it gets everything when it is
	Waiting   int
	Oldest    time.Time // when the oldest of it was to be sent; the zero time if nothing waits
}

// Uplink is how the connection with the broker of the user's own is.
type Uplink struct {
	On, Connected bool
	Connects      uint64 // since the start
}

// A moment is everything that one scrape tells, but for the lines of each host and
// repository.
type moment struct {
	version string
	now     time.Time
	wrong   map[string]bool // parts that could not be read

	fleet    *fleet.Moment
	alerts   []alerts.Alert
	ended    []gauges.Ended
	brokers  map[string]broker.Stats
	inflow   jobs.Inflow
	turns    map[string]time.Time
	taken    gauges.Taken
	sizes    map[string]int64
	space    space.Status
	waiting  *gauges.Waiting
	outlets  []Outlet
	uplink   Uplink
	overview [2]map[topics.JobKind]int // jobs at work, and those that wait
}

// Describe implements prometheus.Collector.
func (m *moment) Describe(ch chan<- *prometheus.Desc) {
	for _, f := range planeFamilies {
		ch <- descs[f.Name]
	}
}

// descs are planeFamilies as the library has them.
var descs = func() map[string]*prometheus.Desc {
	all := map[string]*prometheus.Desc{}
	for _, f := range planeFamilies {
		all[f.Name] = prometheus.NewDesc(prefix+f.Name, f.Help, f.Labels, nil)
	}
	return all
}()

// Collect implements prometheus.Collector.
func (m *moment) Collect(ch chan<- prometheus.Metric) {
	put := func(name string, value float64, labels ...string) {
		kind := prometheus.GaugeValue
		if family(name).Type == Counter {
			kind = prometheus.CounterValue
		}
		ch <- prometheus.MustNewConstMetric(descs[name], kind, value, labels...)
	}
	put("build_info", 1, m.version)
	for _, part := range parts {
		put("read_success", float64(truth(!m.wrong[part])), part)
	}
	m.ofFleet(put)
	m.ofJobs(put, func(kind topics.JobKind, n uint64, seconds float64) {
		ch <- prometheus.MustNewConstSummary(descs["job_duration_seconds"], n, seconds, nil, string(kind))
	})
	for name, s := range m.brokers {
		put("broker_connections", float64(s.Connected), name)
		put("broker_refused_total", float64(s.Refused), name)
		put("broker_denied_total", float64(s.Denied), name)
		put("broker_dropped_total", float64(s.Dropped), name)
		put("broker_panics_total", float64(s.Panics), name)
	}
	put("ingest_waiting_messages", float64(m.inflow.Messages))
	put("ingest_waiting_bytes", float64(m.inflow.Bytes))
	put("ingest_received_total", float64(m.inflow.Received))
	put("ingest_refused_total", float64(m.inflow.Refused))
	for name, at := range m.turns {
		if !at.IsZero() {
			put("part_last_turn_timestamp_seconds", seconds(at), name)
		}
	}
	m.ofStore(put)
	buckets, below := map[float64]uint64{}, uint64(0)
	for i, bound := range gauges.Bounds {
		below += m.taken.Buckets[i]
		buckets[bound.Seconds()] = below
	}
	ch <- prometheus.MustNewConstHistogram(descs["database_write_seconds"], m.taken.All, m.taken.Sum.Seconds(), buckets)
	for _, o := range m.outlets {
		put("outbox_messages", float64(o.Waiting), o.Name)
		if !o.Connected {
			continue
		}
		lag := 0.0
		if !o.Oldest.IsZero() {
			lag = max(m.now.Sub(o.Oldest).Seconds(), 0)
		}
		put("outbox_lag_seconds", lag, o.Name)
	}
	if m.uplink.On {
		put("uplink_connected", float64(truth(m.uplink.Connected)))
	}
	put("uplink_connections_total", float64(m.uplink.Connects))
	if m.waiting != nil {
		put("notifications_waiting", float64(m.waiting.Messages))
		if m.waiting.Oldest > 0 {
			put("notifications_oldest_timestamp_seconds", float64(m.waiting.Oldest)/1000)
		}
	}
}

type putter func(name string, value float64, labels ...string)

func (m *moment) ofFleet(put putter) {
	if m.fleet == nil {
		return
	}
	for _, status := range protection.Words {
		put("hosts", float64(m.fleet.Tally[status]), string(status))
	}
	put("hosts_connected", float64(m.fleet.Online), string(hosts.Online))
	put("hosts_connected", float64(m.fleet.Offline), string(hosts.Offline))
	put("hosts_connected", float64(m.fleet.Len()-m.fleet.Online-m.fleet.Offline), string(hosts.Unknown))
	counts, now := map[alerts.Severity]map[alerts.State]int{}, m.now.UnixMilli()
	for _, severity := range alerts.Severities {
		counts[severity] = map[alerts.State]int{}
	}
	for _, a := range m.alerts {
		if counts[a.Severity] != nil {
			counts[a.Severity][a.State(now)]++
		}
	}
	for severity, states := range counts {
		for _, state := range []alerts.State{alerts.Open, alerts.Acknowledged, alerts.Snoozed} {
			put("alerts", float64(states[state]), string(severity), string(state))
		}
	}
}

// results are the states that a job ends in.
var results = []topics.JobState{topics.Succeeded, topics.Warnings, topics.Failed, topics.Cancelled, topics.Interrupted, topics.Abandoned}

func (m *moment) ofJobs(put putter, took func(kind topics.JobKind, n uint64, seconds float64)) {
	type key struct {
		kind  topics.JobKind
		state topics.JobState
	}
	ended := map[key]gauges.Ended{}
	for _, e := range m.ended {
		ended[key{e.Kind, e.State}] = e
	}
	for _, kind := range topics.Kinds {
		if m.fleet != nil {
			put("jobs_running", float64(m.overview[0][kind]), string(kind))
			put("jobs_waiting", float64(m.overview[1][kind]), string(kind))
		}
		if m.ended == nil {
			continue
		}
		n, millis := int64(0), int64(0)
		for _, state := range results { // each from the first scrape on, else its first job is no increase
			e := ended[key{kind, state}]
			put("jobs_ended_total", float64(e.Jobs), string(kind), string(state))
			n, millis = n+e.Jobs, millis+e.Millis
		}
		took(kind, uint64(n), float64(millis)/1000)
	}
}

func (m *moment) ofStore(put putter) {
	for file, size := range m.sizes {
		put("database_size_bytes", float64(size), file)
	}
	put("database_write_failures_total", float64(m.taken.Failed))
	if m.space.Total > 0 {
		put("disk_free_bytes", float64(m.space.Free))
		put("disk_size_bytes", float64(m.space.Total))
	}
	for _, level := range []space.Level{space.Well, space.Low, space.Scarce, space.None} {
		word := string(level)
		if level == space.Well {
			word = "no"
		}
		put("disk_short", float64(truth(m.space.Level == level)), word)
	}
}

func seconds(at time.Time) float64 { return float64(at.UnixMilli()) / 1000 }

// counted counts the jobs that are not over, by kind.
func counted(m *fleet.Moment) (counts [2]map[topics.JobKind]int) {
	counts = [2]map[topics.JobKind]int{{}, {}}
	for _, e := range m.ByName() {
		for i := range e.Open {
			which := 1
			if e.Open[i].State == topics.Running {
				which = 0
			}
			counts[which][e.Open[i].Kind]++
		}
	}
	return counts
}
