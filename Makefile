# Everything that is done with this repository. `make help` lists it.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

GO ?= go
export CGO_ENABLED ?= 0
ARGS ?=

# The version control stamp makes `strata version` say what was built. It is
# left out where there is no Git checkout, such as in an unpacked archive.
VCS := $(shell git rev-parse --is-inside-work-tree >/dev/null 2>&1 && echo true || echo false)

# The binding to llama.cpp loads libffi when the program starts, and on a Linux
# without it (package libffi8 on Debian) nothing would start: the program is then
# built without the local engine, and says so.
TAGS := $(shell if [ "$$(uname -s)" != Linux ] || PATH="$$PATH:/sbin:/usr/sbin" ldconfig -p 2>/dev/null | grep -q 'libffi\.so\.8'; then echo; else echo noengine; fi)

.PHONY: up
up: build ## build, and start gateway and console on 127.0.0.1:4000 (ARGS="--addr 127.0.0.1:4001")
	bin/strata up $(ARGS)

.PHONY: build
build: ## build bin/strata; needs only Go
	@if [ -n "$(TAGS)" ]; then echo "libffi.so.8 is not on this system: building without the local engine (Debian: apt-get install libffi8)" >&2; fi
	$(GO) build -buildvcs=$(VCS) -trimpath -tags '$(TAGS)' -o bin/strata ./cmd/strata

.PHONY: test
test: ## everything that CI checks; installs what it needs
	scripts/test.sh all

.PHONY: quick
quick: ## the checks of a minute: format, vet, arrows, unit tests without browser and SDKs
	scripts/test.sh quick

.PHONY: lint
lint: ## gofmt, go vet, staticcheck, govulncheck
	scripts/test.sh lint

.PHONY: fmt
fmt: ## format all Go source
	gofmt -w $$(git ls-files -co --exclude-standard '*.go')

.PHONY: e2e
e2e: ## the official SDKs and a real browser against the real binary
	scripts/test.sh e2e

.PHONY: bench
bench: ## benchmarks (BENCH=regexp, BENCHTIME=1s)
	$(GO) test -run '^$$' -bench '$(or $(BENCH),.)' -benchmem -benchtime $(or $(BENCHTIME),1s) ./...

.PHONY: soak
soak: ## the long tests: 300 kill -9, file faults, 20,000 calls; takes about half an hour
	scripts/soak.sh

.PHONY: console
console: ## rebuild the console's committed bundle (needs node)
	scripts/console.sh build

.PHONY: clean
clean: ## remove what was built here (not the caches of models and tools)
	rm -rf bin dist coverage console/node_modules sdktest/js/node_modules

.PHONY: help
help: ## this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
