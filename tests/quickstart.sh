#!/usr/bin/env bash
# What a newcomer does: a fresh copy of the sources, ./quickstart, and a look at what it left running.
set -euo pipefail
source=$(cd "$(dirname "$0")/.." && pwd)
copy=$(mktemp -d /tmp/keystile-quickstart-XXXXXX)
data=$copy/d
cleanup() {
  # By the process that holds the data directory's lock, never by name.
  [ -s "$data/lock" ] && kill "$(tr -dc 0-9 <"$data/lock")" 2>/dev/null && tail --pid="$(tr -dc 0-9 <"$data/lock")" -f /dev/null
  [ -L "$data/ring" ] && rm -rf "$(readlink -f "$data/ring")"
  rm -rf "$copy"
}
trap cleanup EXIT

cd "$source"
git ls-files -co --exclude-standard -z | xargs -0 cp --parents -t "$copy"
cd "$copy"
port=$(/usr/bin/python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
export KEYSTILE_DATA=$data KEYSTILE_LISTEN=127.0.0.1:$port
./quickstart | tee out

expect() { grep -qF -- "$1" out || { echo "missing in the output: $1" >&2; exit 1; }; }
expect "200 allowed for org_"
expect "403 scope_missing"
expect "403 tenant_forbidden"
expect "403 path_ambiguous"
expect "401 credential_invalid"
expect "http://127.0.0.1:$port"
curl -fsS "http://127.0.0.1:$port/readyz" >/dev/null
[ "$(stat -c %a "$data/operator-key")" = 600 ]
curl -fsS "http://127.0.0.1:$port/v1/account" -H "Authorization: Bearer $(cat "$data/operator-key")" | grep -q '"first key"'
# A second time it finds the service running.
./quickstart >out2
grep -q "runs already" out2
echo "the quickstart holds"
