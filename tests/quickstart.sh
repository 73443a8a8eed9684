#!/usr/bin/env bash
# A newcomer's first two minutes: ./quickstart in a copy of the checkout, with a data directory and a port of its own.
set -euo pipefail
source_=$(cd "$(dirname "$0")/.." && pwd)
place=$(mktemp -d /tmp/keystile-quickstart-XXXXXX)
data=$place/data
service=

fail() {
  echo "FAILED: $*" >&2
  [ ! -f "$place/output" ] || cat "$place/output" >&2
  [ ! -f "$data/keystile.log" ] || tail -20 "$data/keystile.log" >&2
  exit 1
}

# The service that quickstart left running is found by its lock file, which names it.
clean() {
  [ -n "$service" ] || service=$(cat "$data/lock" 2>/dev/null || true)
  if [ -n "$service" ] && [ "$(readlink "/proc/$service/exe" 2>/dev/null)" = "$place/checkout/build/keystile" ]; then
    kill -TERM "$service" 2>/dev/null || true
    while kill -0 "$service" 2>/dev/null; do sleep 0.1; done
  fi
  ring=$(readlink "$data/ring" 2>/dev/null || true)
  case "$ring" in /dev/shm/keystile-*) rm -rf "$ring" ;; esac
  rm -rf "$place"
}
trap clean EXIT

said() { # how often, text
  [ "$(grep -cF -- "$2" "$place/output")" -eq "$1" ] || fail "not $1 times in the output: $2"
}

mkdir "$place/checkout"
(cd "$source_" && git ls-files -co --exclude-standard -z | while IFS= read -r -d '' file; do
  # What was removed and not committed yet is still listed.
  [ ! -e "$file" ] && [ ! -L "$file" ] || printf '%s\0' "$file"
done | tar -c --no-recursion --null -T -) | tar -x -C "$place/checkout"

port=$(/usr/bin/python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
export KEYSTILE_DATA=$data KEYSTILE_LISTEN=127.0.0.1:$port
unset KEYSTILE_CONFIG KEYSTILE_POLICY KEYSTILE_BUILD KEYSTILE_DOMAIN

(cd "$place/checkout" && ./quickstart) >"$place/output" 2>&1 || fail "quickstart ended with $?"

echo "one request is allowed, three are denied, and the revoked key is refused"
grep -qE '^  GET /api/v1/contacts +200 allowed for org_' "$place/output" || fail "no request was allowed"
said 1 "403 scope_missing"
said 1 "403 tenant_forbidden"
said 1 "403 path_ambiguous"
said 1 "401 credential_invalid"
said 1 "stop           "

echo "the key is where it is said to be, and nowhere in the output"
[ "$(stat -c %a "$data/operator-key")" = 600 ] || fail "operator-key may be read by others"
token=$(cat "$data/operator-key")
case "$token" in ks_????????????????????????????????) ;; *) fail "operator-key holds no token" ;; esac
if grep -qF "$token" "$place/output" "$data/keystile.log"; then fail "the operator's key is in the output or the log"; fi
if grep -qE 'ks_[0-9a-f]{32}' "$place/output"; then fail "a token is in the output"; fi

echo "the service is left running"
service=$(cat "$data/lock")
[ "$(curl -sS -o /dev/null -w '%{http_code}' "http://127.0.0.1:$port/readyz")" = 200 ] || fail "the service does not answer"
account=$(printf 'header = "Authorization: Bearer %s"\n' "$token" | curl -sS -K - "http://127.0.0.1:$port/v1/account")
case "$account" in *'"name":"first key"'*) ;; *) fail "the operator's key does not work: $account" ;; esac

echo "a second run finds it running"
(cd "$place/checkout" && ./quickstart) >"$place/output" 2>&1 || fail "the second quickstart ended with $?"
said 1 "The service runs already"
said 1 "401 credential_invalid"

echo "it stops as it says"
# The pattern names the data directory, which is this test's alone.
stop=$(sed -n 's/^  stop  *//p' "$place/output")
[ "$stop" = "pkill -TERM -f \"keystile serve --data $data\"" ] || fail "an unknown way to stop: $stop"
kill -TERM "$service"
for _ in $(seq 600); do
  kill -0 "$service" 2>/dev/null || break
  sleep 0.1
done
kill -0 "$service" 2>/dev/null && fail "the service did not stop"
tail -1 "$data/keystile.log" | grep -q '"event":"stopped"' || fail "the service did not stop in order"

echo "it builds alone as well"
(cd "$place/checkout" && ./quickstart --build-only) >"$place/output" 2>&1 || fail "--build-only ended with $?"
if "$place/checkout/quickstart" --nothing >"$place/output" 2>&1; then fail "an unknown option was taken"; fi
echo "quickstart passed"
