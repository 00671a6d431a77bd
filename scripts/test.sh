#!/usr/bin/env bash
# Runs the checks of this repository: `scripts/test.sh all|quick|lint|e2e`.
# The fast checks come first. Each step's time is printed at the end.
set -euo pipefail
source "$(dirname "$0")/lib.sh"

export CGO_ENABLED=0
times=()
step() { # step NAME COMMAND...
	local name=$1 start=$SECONDS
	shift
	say "$name"
	"$@"
	times+=("$(printf '%5d s  %s' $((SECONDS - start)) "$name")")
}

go_files() { git ls-files -co --exclude-standard '*.go'; }

check_format() {
	local bad
	bad=$(go_files | xargs -r ls 2>/dev/null | xargs -r gofmt -l)
	[ -z "$bad" ] || die "not formatted (run: make fmt):"$'\n'"$bad"
}

check_modules() { go mod verify; }

check_static() { go run "$staticcheck" ./...; }

# The vulnerability database is a web service of the Go project. Where it cannot
# be reached, the check is not done, and that is said; a finding always fails.
check_vulnerabilities() {
	local out status=0
	out=$(timeout 300 go run "$govulncheck" ./... 2>&1) || status=$?
	if [ $status -eq 0 ]; then
		printf '%s\n' "$out" | tail -3
	elif grep -qiE 'fetching vulnerabilities|no such host|connection refused|i/o timeout|dial tcp|proxyconnect|network is unreachable|403 Forbidden|TLS handshake' <<<"$out" || [ $status -eq 124 ]; then
		printf '%s\n' "$out" | tail -3
		echo "NOT CHECKED: the Go vulnerability database cannot be reached from here. Nothing is known about vulnerabilities of the dependencies; run \`make lint\` where there is a network."
	else
		printf '%s\n' "$out"
		die "govulncheck failed"
	fi
}

# Packages that are tested apart, since they need a browser, SDKs or time.
apart='/(console|sdktest|docs)(/|$)'
plain_packages() { go list ./... | grep -vE "$apart"; }

test_plain() { plain_packages | xargs go test -timeout 15m; }

# The race detector needs cgo, and so a C compiler.
race_packages() { go list ./... | grep -E '/(access|admin|gateway|ledger|server|store|model/meter|model/local|model/mock|model/provider/.*|admin/client)$'; }
test_race() {
	need_command gcc gcc libc6-dev
	race_packages | CGO_ENABLED=1 xargs go test -race -short -timeout 20m
}

build_others() {
	local target
	for target in darwin/arm64 windows/amd64; do
		echo "$target"
		GOOS=${target%/*} GOARCH=${target#*/} go build ./...
	done
}

test_console() {
	scripts/console.sh check
	need_browser
	go test -timeout 15m ./console/...
}

test_sdks() {
	local python
	python=$(python_sdk)
	node_sdk
	STRATA_PYTHON=$python go test -timeout 15m ./sdktest/...
}

test_docs() { go test -timeout 10m ./docs/...; }

need_command git git
command -v go >/dev/null || die "Go is needed: see go.mod for the version, and go.dev/dl"

# need_clients finds the package clients through which the tests of the local
# engine fetch its files, as strata itself does.
need_clients() {
	need_node
	need_command python3 python3
	python3 -m pip --version >/dev/null 2>&1 || need_apt python3-pip
}

what=${1:-all}
# Where everything is to be checked, a test that lacks something fails instead of
# being skipped.
case $what in all | e2e) export CI=true STRATA_REQUIRE=1 ;; esac

case $what in
quick)
	step 'format' check_format
	step 'vet' go vet ./...
	step 'arrows of the house' go test .
	step 'unit tests' test_plain
	;;
lint)
	step 'format' check_format
	step 'vet' go vet ./...
	step 'staticcheck' check_static
	step 'vulnerabilities' check_vulnerabilities
	;;
e2e)
	step 'official SDKs' test_sdks
	step 'console in Chromium' test_console
	step 'examples of the docs' test_docs
	;;
all)
	step 'format' check_format
	step 'modules' check_modules
	step 'vet' go vet ./...
	step 'arrows of the house' go test .
	need_clients
	step 'unit tests' test_plain
	step 'examples of the docs' test_docs
	step 'official SDKs' test_sdks
	step 'console in Chromium' test_console
	step 'staticcheck' check_static
	step 'race detector' test_race
	step 'macOS and Windows' build_others
	step 'vulnerabilities' check_vulnerabilities
	;;
*) die "unknown set of checks: $what (all, quick, lint or e2e)" ;;
esac

say "done ($what)"
printf '%s\n' "${times[@]}"
