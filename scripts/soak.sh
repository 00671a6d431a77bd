#!/usr/bin/env bash
# The long tests. Each test that has a long form reads STRATA_SOAK=1. At the end
# the line to put into docs/operations.md is printed.
set -euo pipefail
source "$(dirname "$0")/lib.sh"
export CGO_ENABLED=0 STRATA_SOAK=1
start=$SECONDS
go test -count=1 -timeout 3h -v -run 'Soak|Crash|Power|Fault|Load|Kill' ./store/... ./ledger/... ./server/... |
	{ grep -vE '^=== (RUN|PAUSE|CONT|NAME)' || true; }
say "soak passed: $(date -u +%F), commit $(git rev-parse --short HEAD), $(((SECONDS - start) / 60)) min, $(nproc) cores, $(go env GOOS)/$(go env GOARCH)"
