# make demo and make test do all their own set-up on a fresh Debian 12 machine
# with Go: what is missing is installed when root, and named otherwise.

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
MODULE  := github.com/restic-manager/restic-manager
# Without symbols for debuggers, which would be two fifths of them; panics are as readable.
LDFLAGS := -s -w -X $(MODULE)/controlplane.Version=$(VERSION) -X $(MODULE)/agent.Version=$(VERSION)
# Agents take updates that this key signed: the public half, the line that begins with RW.
# Without one they refuse every update. The number of a build only rises.
RELEASE_KEY ?=
RELEASE_NUMBER ?= $(shell git log -1 --format=%ct 2>/dev/null || echo 0)
LDFLAGS += -X $(MODULE)/release.Number=$(RELEASE_NUMBER) $(if $(RELEASE_KEY),-X $(MODULE)/release.Key=$(RELEASE_KEY))
# The agent asks few servers for little: it does without HTTP/2.
AGENTTAGS := nethttpomithttp2
# A test may start real restic, brokers and a browser; one that hangs is ended
# well before the whole run would be.
TESTFLAGS ?= -timeout 60m

# SQLite is C turned into Go. Under the race detector it takes nine times as long,
# and it shares no memory with us but through database/sql: it runs without, and
# build/planted-race sees that a race of ours beside it is still reported.
RACE := -race -gcflags=modernc.org/...=-race=false

# What make test runs, side by side. The race detector, which makes a test five to fifteen
# times as long, runs where goroutines meet: build/meeting finds these packages, and the
# single tests elsewhere that start goroutines. Pages, rules, releases and whole systems
# run without it. With -short, what is tried at random has a share of its rounds. All of
# it, under the detector, is in make check-all. The longest packages begin first; their
# tests wait more than they work, so that more run at a time than there are processors.
MEETING := go run ./build/meeting
TESTS = \
	'race: set -e; whole=$$($(MEETING) whole); some=$$($(MEETING) some); tests=$$($(MEETING) tests); bad=0; \
		CGO_ENABLED=1 go test -json -short $(RACE) -p 1 -parallel 4 $(TESTFLAGS) $$whole || bad=1; \
		CGO_ENABLED=1 go test -json -short $(RACE) -p 1 -parallel 4 $(TESTFLAGS) -run "$$tests" $$some || bad=1; exit $$bad' \
	'no race: set -e; rest=$$($(MEETING) rest); go test -json -short -parallel 4 $(TESTFLAGS) ./e2e ./e2e/... $$rest'

# Everything, under the race detector and with all rounds. Where the detector would leave
# time for a tenth of them, all are played without it.
ALLTESTS = \
	'race: CGO_ENABLED=1 go test -json $(RACE) -parallel 4 -timeout 90m ./e2e ./controlplane/web ./e2e/... ./agent/... ./...' \
	'no race: bad=0; go test -json -timeout 90m ./protocol || bad=1; \
		go test -json -timeout 90m -run "TestAYear|TestTheYear" ./controlplane/alerts || bad=1; \
		go test -json -timeout 90m -run "TestWhateverRestic|TestAFaultStorm" ./e2e/fault || bad=1; exit $$bad'

# What needs neither restic nor a browser.
FAST = $(shell go list ./... | grep -v '/e2e\|/agent$$\|/agent/restic$$')

# A template is a function that returns a closure. Put inline it is compiled anew wherever
# it is used, which is a fourteenth of the control plane, and more than a minute of compiling.
# What a debugger would want costs each test's program half a second: nobody debugs those.
export GOFLAGS := -buildvcs=false -gcflags=$(MODULE)/views=-l -ldflags=-w $(GOFLAGS)

# go keeps what it has built at home. Where nobody has set that, as in a container's
# or a timer's environment, it is the user's own directory.
ifeq ($(HOME),)
export HOME := $(shell getent passwd "$$(id -u)" | cut -d: -f6)
endif

.PHONY: build demo dev run-server lint test test-fast check check-all bench soak generate clean

build:
	@build/need go
	@CGO_ENABLED=0 build/compile -trimpath -ldflags '$(LDFLAGS)' -o bin/ ./cmd/restic-manager
	@CGO_ENABLED=0 build/compile -trimpath -tags $(AGENTTAGS) -ldflags '$(LDFLAGS)' -o bin/ ./cmd/restic-manager-agent

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
	@build/need go gcc restic rclone sshd mosquitto_sub mosquitto nats-server prometheus chromium strace systemd-analyze wixl msiinfo rpm fish zsh
	@build/compile ./...
	@CGO_ENABLED=1 build/compile $(RACE) $$($(MEETING) whole)
	@go run ./build/testrun $(TESTS)

test-fast:
	@build/need go mosquitto_sub systemd-analyze fish zsh
	@go run ./build/testrun 'fast: go test -json -short $(TESTFLAGS) -skip TestRulesMeanWhatTheyMeanToRestic $(FAST)'

# What go test would vet again is vetted by build/lint.
check: TESTFLAGS += -vet=off
check:
	@build/need go git gcc restic rclone sshd mosquitto_sub mosquitto nats-server prometheus chromium strace systemd-analyze wixl msiinfo rpm fish zsh
	build/check first
	@go run ./build/testrun $(TESTS) 'other checks: build/check rest'

# What lasts too long for every change: run by hand, or on a timer.
check-all:
	@build/need go git gcc restic rclone sshd mosquitto_sub mosquitto nats-server prometheus chromium strace systemd-analyze wixl msiinfo rpm fish zsh
	build/check first
	@go run ./build/testrun $(ALLTESTS) 'other checks: build/check rest'
	$(MAKE) units
	$(MAKE) packages-test
	$(MAKE) packages-wine
	$(MAKE) packages-repro
	$(MAKE) everywhere
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

# The agent's tests of Windows, on Windows' programs under Wine. The machine for that is
# made the first time, in some minutes, and kept in the user's cache. RESTIC_WINDOWS
# names a restic.exe to restore with in earnest, if you have one.
.PHONY: wine wine-chroot
wine:
	@build/need go
	build/wine test

wine-chroot:
	build/wine chroot

# What is released, into dist/: see docs/RELEASE.md, and build/packages/make for what may be
# set.
.PHONY: packages packages-test packages-wine packages-repro
packages:
	@build/need go git wixl msiinfo
	build/packages/make dist

# Their life on machines that are made for it; as root.
packages-test:
	@build/need go git wixl msiinfo mmdebstrap systemd-nspawn podman runc
	build/packages/test

# The installer for Windows, under Wine.
packages-wine:
	@build/need go git wixl msiinfo mmdebstrap
	build/packages/wine

# The commit, made here and in another directory: the same bytes.
packages-repro:
	@build/need go git wixl msiinfo
	build/packages/repro

# What make test plays a few rounds of: everything in its full size, ROUNDS times.
ROUNDS ?= 300
soak:
	@build/need go strace
	RESTIC_MANAGER_SOAK=$(ROUNDS) go test -count=1 -v -timeout 5h ./e2e/fault
	RESTIC_MANAGER_SOAK=$(ROUNDS) go test -count=1 -v -timeout 1h ./e2e/evil
	RESTIC_MANAGER_SOAK=$(ROUNDS) go test -count=1 -v -timeout 1h -run Mutated ./broker
	RESTIC_MANAGER_SOAK=$(ROUNDS) go test -count=1 -v -timeout 1h -run TestDaysOfAFleet ./controlplane/alerts
	RESTIC_MANAGER_SOAK=$(ROUNDS) go test -count=1 -v -timeout 1h -run TestPeopleGetTheirFilesBack ./e2e
	RESTIC_MANAGER_SOAK=$(ROUNDS) go test -count=1 -v -timeout 1h -run TestThePowerMayFail ./agent

# The manual pages, which say what --help says.
.PHONY: man
man:
	@build/need go
	@mkdir -p docs/man
	go run ./cmd/restic-manager man >docs/man/restic-manager.1
	go run ./cmd/restic-manager-agent man >docs/man/restic-manager-agent.1

# The pictures of docs/FIRST-RUN.md: the first run is walked with a real agent and restic, and
# what another run would have otherwise is written over.
.PHONY: screenshots
screenshots:
	@build/need go restic rclone chromium
	RM_PICTURES=$(CURDIR)/docs/first-run go test -count=1 -run TestTheFirstRunFromNothingToTheKit ./e2e

# Both programs, built for systems that nobody here builds for every day; make check only
# type-checks them there.
.PHONY: everywhere
everywhere:
	@build/need go
	go run ./build/everywhere build

generate:
	go generate ./views

clean:
	rm -rf bin dist
