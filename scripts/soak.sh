#!/usr/bin/env bash
# The long tests: 300 kills of the ledger and 300 of the whole program, 200 power
# failures and the other faults of the file layer, 20,000 calls at 64 at once.
# At the end the line to put into docs/operations.md is printed.
set -euo pipefail
source "$(dirname "$0")/lib.sh"
export CGO_ENABLED=0 STRATA_SOAK=1
export STRATA_KILLS=${STRATA_KILLS:-300}
start=$SECONDS
go test -count=1 -timeout 3h -v -run 'Crash|Kill|Power|Fsync|Full|Disk|Fault|TwentyThousand|Conservation' ./store/... ./ledger/... ./server/... |
	{ grep -vE '^=== (RUN|PAUSE|CONT|NAME)' || true; }
say "soak passed, $STRATA_KILLS kills: $(date -u +%F), commit $(git rev-parse --short HEAD), $(((SECONDS - start) / 60)) min, $(nproc) cores, $(go env GOOS)/$(go env GOARCH)"
