#!/usr/bin/env bash
# Builds the console (`build`), or checks that the committed build is what the
# source gives, and runs the console's own tests (`check`).
set -euo pipefail
source "$(dirname "$0")/lib.sh"
need_node

cd console
lock=$(sha256sum package-lock.json)
if [ ! -f node_modules/.strata-lock ] || [ "$(cat node_modules/.strata-lock)" != "$lock" ]; then
	npm ci --silent --no-audit --no-fund
	printf '%s' "$lock" >node_modules/.strata-lock
fi

case ${1:-build} in
build)
	npm run --silent build
	;;
check)
	npm run --silent check --if-present
	npm test --silent
	npm run --silent build
	if [ -n "$(git status --porcelain -- dist)" ]; then
		git status --short -- dist
		die "the committed console is not what its source builds; run: make console, and commit console/dist"
	fi
	;;
*) die "unknown: $1 (build or check)" ;;
esac
