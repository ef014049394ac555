# make demo and make test do all their own set-up on a fresh Debian 12 machine
# with Go: what is missing is installed when root, and named otherwise.

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
MODULE  := github.com/restic-manager/restic-manager
LDFLAGS := -X $(MODULE)/controlplane.Version=$(VERSION) -X $(MODULE)/agent.Version=$(VERSION)
# A test may start real restic, brokers and a browser; one that hangs is ended
# well before the whole run would be.
TESTFLAGS ?= -timeout 35m

export GOFLAGS := -buildvcs=false $(GOFLAGS)

.PHONY: build demo test check bench soak generate clean

build:
	@build/need go
	go build -trimpath -ldflags '$(LDFLAGS)' -o bin/ ./cmd/...

demo: build
	@build/need restic
	bin/restic-manager demo $(ARGS)

test:
	@build/need go gcc restic rclone mosquitto_sub chromium strace
	go test $(TESTFLAGS) ./protocol
	go test $(TESTFLAGS) -run 'TestWhateverRestic|TestAFaultStorm' ./e2e/fault
	CGO_ENABLED=1 go test -race $(TESTFLAGS) ./...

check:
	@build/need go git
	build/check
	$(MAKE) test

bench:
	@build/need go
	go test -run '^$$' -bench . ./store ./broker
	go test -run '^$$' -bench . -benchtime 1x ./e2e/bench

# What make test plays a few rounds of: everything in its full size, ROUNDS times.
ROUNDS ?= 300
soak:
	@build/need go strace
	RESTIC_MANAGER_SOAK=$(ROUNDS) go test -count=1 -v -timeout 5h ./e2e/fault
	RESTIC_MANAGER_SOAK=$(ROUNDS) go test -count=1 -v -timeout 1h ./e2e/evil
	RESTIC_MANAGER_SOAK=$(ROUNDS) go test -count=1 -v -timeout 1h -run Mutated ./broker

generate:
	go generate ./views

clean:
	rm -rf bin
