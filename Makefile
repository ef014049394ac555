# make demo and make test do all their own set-up on a fresh Debian 12 machine
# with Go: what is missing is installed when root, and named otherwise.

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
MODULE  := github.com/restic-manager/restic-manager
LDFLAGS := -X $(MODULE)/controlplane.Version=$(VERSION) -X $(MODULE)/agent.Version=$(VERSION)
# A test may start real restic, brokers and a browser; one that hangs is ended
# well before the whole run would be.
TESTFLAGS ?= -timeout 30m

# SQLite is C turned into Go. Under the race detector it takes nine times as long,
# and it shares no memory with us but through database/sql: it runs without, and
# build/planted-race sees that a race of ours beside it is still reported.
RACE := -race -gcflags=modernc.org/...=-race=false

# What make test runs, side by side. The longest packages begin first. Their tests
# wait more than they work, so that more run at a time than there are processors.
# Where the detector would leave time for a tenth of the rounds, all are played
# without it.
TESTS = \
	'race: CGO_ENABLED=1 go test -json $(RACE) -parallel 4 $(TESTFLAGS) ./e2e ./controlplane/web ./e2e/... ./agent/... ./...' \
	'no race: bad=0; go test -json $(TESTFLAGS) ./protocol || bad=1; \
		go test -json $(TESTFLAGS) -run "TestAYear|TestTheYear" ./controlplane/alerts || bad=1; \
		go test -json $(TESTFLAGS) -run "TestWhateverRestic|TestAFaultStorm" ./e2e/fault || bad=1; exit $$bad'

# What needs neither restic nor a browser, with fewer rounds of what is tried at
# random: make test plays them all.
FAST = $(shell go list ./... | grep -v '/e2e\|/agent$$\|/agent/restic$$')

export GOFLAGS := -buildvcs=false $(GOFLAGS)

# go keeps what it has built at home. Where nobody has set that, as in a container's
# or a timer's environment, it is the user's own directory.
ifeq ($(HOME),)
export HOME := $(shell getent passwd "$$(id -u)" | cut -d: -f6)
endif

.PHONY: build demo dev run-server lint test test-fast check check-all bench soak generate clean

build:
	@build/need go
	@build/compile -trimpath -ldflags '$(LDFLAGS)' -o bin/ ./cmd/...

demo: build
	@build/need restic
	bin/restic-manager demo $(ARGS)

# The demo, or a control plane of your own, below ./tmp and on fixed ports. Saving a
# file below views builds and starts it again, and a browser at
# http://127.0.0.1:7331 loads the page anew.
dev:
	@build/need go restic
	build/watch demo --dir tmp/demo --http 127.0.0.1:8080 --agents 127.0.0.1:8883 --mqtt 127.0.0.1:1883

run-server:
	@build/need go
	build/watch serve --data tmp/server/data --http 127.0.0.1:8080 --agents 127.0.0.1:8883

lint:
	@build/need go git
	build/lint

test:
	@build/need go gcc restic rclone mosquitto_sub chromium strace systemd-analyze
	@CGO_ENABLED=1 build/compile $(RACE) ./...
	@go run ./build/testrun $(TESTS)

test-fast:
	@build/need go mosquitto_sub systemd-analyze
	@go run ./build/testrun 'fast: go test -json -short $(TESTFLAGS) -skip TestRulesMeanWhatTheyMeanToRestic $(FAST)'

check:
	@build/need go git gcc restic rclone mosquitto_sub chromium strace systemd-analyze
	build/check first
	@go run ./build/testrun $(TESTS) 'other checks: build/check rest'

# What lasts too long for every change: run by hand, or on a timer.
check-all: check
	$(MAKE) units
	build/planted-race $(RACE)
	$(MAKE) bench-pages FLEETS=10000
	$(MAKE) soak

bench:
	@build/need go
	go test -run '^$$' -bench . ./store ./broker
	go test -run '^$$' -bench Restore -benchtime 1x ./agent/restoring
	go test -run '^$$' -bench 'Weight|Tab' ./controlplane/web
	go test -run '^$$' -bench . -benchtime 1x ./e2e/bench
	go test -run '^$$' -bench Flood -benchtime 1x ./e2e/evil
	$(MAKE) bench-pages

# What pages and an idle control plane cost, with so many hosts and a year of jobs.
# Databases are kept below RESTIC_MANAGER_FLEET_DIR, if that is given.
FLEETS ?= 10,1000
.PHONY: bench-pages
bench-pages:
	@build/need go
	RESTIC_MANAGER_FLEETS=$(FLEETS) go test -timeout 40m -run '^$$' -bench . -benchtime 5x ./e2e/fleet

# The units of deploy/ at work, in a machine that is booted for it; as root.
.PHONY: units
units:
	@build/need go restic systemd-nspawn
	RESTIC_MANAGER_SOAK=1 go test -count=1 -v -timeout 10m ./e2e/units

# What make test plays a few rounds of: everything in its full size, ROUNDS times.
ROUNDS ?= 300
soak:
	@build/need go strace
	RESTIC_MANAGER_SOAK=$(ROUNDS) go test -count=1 -v -timeout 5h ./e2e/fault
	RESTIC_MANAGER_SOAK=$(ROUNDS) go test -count=1 -v -timeout 1h ./e2e/evil
	RESTIC_MANAGER_SOAK=$(ROUNDS) go test -count=1 -v -timeout 1h -run Mutated ./broker
	RESTIC_MANAGER_SOAK=$(ROUNDS) go test -count=1 -v -timeout 1h -run TestDaysOfAFleet ./controlplane/alerts
	RESTIC_MANAGER_SOAK=$(ROUNDS) go test -count=1 -v -timeout 1h -run TestPeopleGetTheirFilesBack ./e2e

generate:
	go generate ./views

clean:
	rm -rf bin
