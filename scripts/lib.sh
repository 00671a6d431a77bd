# Shared by the scripts here: source it. It names the pinned tools, and finds or
# installs what a fresh Debian machine lacks.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"

# Pinned tools. They are run by version, so that nothing has to be installed.
# The SDK clients are pinned in sdktest/: python/requirements.txt, js/package.json.
staticcheck=honnef.co/go/tools/cmd/staticcheck@v0.8.2
govulncheck=golang.org/x/vuln/cmd/govulncheck@v1.9.0

# Where tools are kept between runs: never in the checkout.
tools=${STRATA_TOOLS:-${XDG_CACHE_HOME:-$HOME/.cache}/strata-tools}

say() { printf '\n== %s\n' "$*"; }
die() { printf 'strata: %s\n' "$*" >&2; exit 1; }

# need_apt PACKAGE... installs Debian packages that are missing.
need_apt() {
	local missing=() p
	for p in "$@"; do
		dpkg-query -W -f '${Status}' "$p" 2>/dev/null | grep -q 'install ok installed' || missing+=("$p")
	done
	[ ${#missing[@]} -eq 0 ] && return
	command -v apt-get >/dev/null || die "please install: ${missing[*]}"
	local sudo=()
	[ "$(id -u)" = 0 ] || sudo=(sudo)
	say "installing ${missing[*]}"
	"${sudo[@]}" apt-get update -qq
	DEBIAN_FRONTEND=noninteractive "${sudo[@]}" apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

# need_command COMMAND PACKAGE... installs packages unless the command is there.
need_command() {
	command -v "$1" >/dev/null && return
	need_apt "${@:2}"
	command -v "$1" >/dev/null || die "$1 is still missing after installing ${*:2}"
}

# need_browser finds Chromium and a font with Chinese characters. On systems
# other than Debian the browser must be there already.
need_browser() {
	if command -v chromium >/dev/null || command -v google-chrome >/dev/null || [ -d '/Applications/Google Chrome.app' ]; then
		:
	else
		need_apt chromium
	fi
	if command -v fc-list >/dev/null; then
		[ -n "$(fc-list :lang=zh family | head -1)" ] && return
	fi
	command -v apt-get >/dev/null || die "please install a font with Chinese characters, such as WenQuanYi Micro Hei or Noto Sans CJK"
	need_apt fontconfig fonts-wqy-microhei
}

need_node() {
	need_command node nodejs
	need_command npm npm
	local major
	major=$(node -p 'process.versions.node.split(".")[0]')
	[ "$major" -ge 20 ] || die "node $major is too old: node 20 or newer is needed"
}

# python_sdk prints the Python of a virtual environment with the pinned openai
# package, made on first use.
python_sdk() {
	local want=sdktest/python/requirements.txt venv
	venv=$tools/python-$(sha256sum "$want" | cut -c1-12)
	if [ ! -x "$venv/bin/python" ] || [ ! -f "$venv/.done" ]; then
		need_command python3 python3 >&2
		rm -rf "$venv"
		python3 -m venv "$venv" 2>/dev/null || {
			need_apt python3-venv >&2
			rm -rf "$venv"
			python3 -m venv "$venv"
		}
		"$venv/bin/pip" install --quiet --disable-pip-version-check -r "$want" >&2
		touch "$venv/.done"
	fi
	printf '%s\n' "$venv/bin/python"
}

# node_sdk installs the pinned openai package for node.
node_sdk() {
	need_node
	local lock stamp=sdktest/js/node_modules/.strata-lock
	lock=$(sha256sum sdktest/js/package-lock.json)
	[ -f "$stamp" ] && [ "$(cat "$stamp")" = "$lock" ] && return
	(cd sdktest/js && npm ci --silent --no-audit --no-fund)
	printf '%s' "$lock" >"$stamp"
}
