# Two commands: `make demo` runs the main job and shows its result, `make test` passes every test. Each brings what it needs.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
export CARGO_TERM_COLOR ?= auto

LANGUAGES := core bindings-python bindings-node bindings-c
# The parts in the order in which they build on each other.
PARTS := $(LANGUAGES) bindings-uniffi conformance demo bench
BENCHED := $(LANGUAGES) bindings-uniffi

.PHONY: help demo test conformance live w3c bench bench-e2e bench-scale bench-startup lint build tools clean $(PARTS:%=test-%) $(BENCHED:%=bench-%)

help:
	@echo "make demo [WAV=order.wav] [ARGS=--fast]   one spoken order, traced through C, Node, Python and Rust"
	@echo "make test                                 every test and linter"
	@echo "make conformance                          every case through every driver, and the mutants; target/conformance/report.{json,html}"
	@echo "make live                                 the live matrix, every scenario; target/conformance/live.{json,html}"
	@echo "make w3c [SUITE=trace-context/test]       W3C's own trace-context suite against a service in each language, or a clone of it"
	@echo "make bench                                speed against hand-written code; target/bench/report.json"
	@echo "make bench-e2e [QUICK=1]                   echoes over loopback against the bare library and against hand-written code"
	@echo "make bench-scale | bench-startup          10,000 connections in one process; import times and sizes"
	@echo "make test-PART                            one part of: $(PARTS)"
	@echo "make build | lint | clean"

tools:
	@scripts/tools

demo: tools
	@$(MAKE) --no-print-directory -C demo run WAV="$(WAV)" ARGS="$(ARGS)"

build: tools
	@for part in $(PARTS); do echo "== build $$part"; $(MAKE) --no-print-directory -C $$part build; done

lint: tools
	@for part in $(PARTS); do echo "== lint $$part"; $(MAKE) --no-print-directory -C $$part lint; done

test: tools lint $(PARTS:%=test-%) conformance
	@echo "== all tests passed"

$(PARTS:%=test-%): test-%: tools
	@echo "== test $*"
	@$(MAKE) --no-print-directory -C $* test

conformance: tools
	@$(MAKE) --no-print-directory -C conformance conformance

live: tools
	@$(MAKE) --no-print-directory -C conformance/live live

w3c: tools
	@$(MAKE) --no-print-directory -C conformance/w3c suite SUITE="$(abspath $(SUITE))"

bench: tools $(BENCHED:%=bench-%)
	@python3 scripts/bench-report target/bench

$(BENCHED:%=bench-%): bench-%: tools
	@echo "== bench $*"
	@$(MAKE) --no-print-directory -C $* bench

# What bench/README.md explains; each takes minutes, and has a report of its own.
bench-e2e bench-scale bench-startup: bench-%: tools
	@$(MAKE) --no-print-directory -C bench $*

clean:
	cargo clean
	rm -rf target bindings-node/node_modules demo/gateway/node_modules
