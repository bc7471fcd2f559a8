# shellcheck shell=bash
# `./x conform autobahn`: what Autobahn's clients make of our WebSocket. What they talk to are real
# shards in a test of ours, the only place that has an echo. Sourced by ./x.

# FOLDER holds the suite (25.10 or newer), which runs under Python 2.7 alone:
# `python2.7 -m pip install --target FOLDER autobahntestsuite; touch FOLDER/zope/__init__.py`.
# PYTHON2 names that Python. CASES are patterns such as '7.*'.
conform_autobahn() {
    local folder=${1:-} python=${PYTHON2:-python2.7} cases='"*"' tries
    [ -d "$folder/autobahntestsuite" ] ||
        die "Where is Autobahn? ./x conform autobahn FOLDER [CASES ...]"
    shift
    folder=$(cd "$folder" && pwd)
    [ $# -eq 0 ] || cases=$(printf '"%s",' "$@" | sed 's/,$//')
    ensure_packages build suite
    need_rust
    cargo test --no-run -p corecast-shard
    conform_dir=$(mktemp -d)
    trap 'rm -f "$conform_dir/echo"; wait; rm -rf "$conform_dir"' EXIT
    CORECAST_ECHO=$conform_dir/echo cargo test -p corecast-shard a_suite_may_ask_for_echoes \
        >"$conform_dir/log" 2>&1 &
    conform_server=$!
    for ((tries = 0; tries < 300; tries++)); do
        [ ! -s "$conform_dir/echo" ] || break
        kill -0 "$conform_server" 2>/dev/null || { cat "$conform_dir/log" >&2; die "No echo."; }
        sleep 0.1
    done
    cat >"$conform_dir/spec.json" <<SPEC
{"outdir": "$conform_dir/reports", "cases": [$cases], "exclude-cases": [], "exclude-agent-cases": {},
 "servers": [{"agent": "corecast", "url": "$(cat "$conform_dir/echo")"}]}
SPEC
    (cd "$conform_dir" && PYTHONPATH=$folder "$python" -m autobahntestsuite.wstest \
        -m fuzzingclient -s spec.json >wstest.log 2>&1) || { tail "$conform_dir/wstest.log" >&2; return 1; }
    judge_autobahn "$conform_dir/reports/index.json"
}

# Says how many cases ended how, and which ended badly.
judge_autobahn() {
    jq -r '.corecast | [.[] | .behavior] | group_by(.) | map("\(.[0]): \(length)") | join(", ")' "$1"
    jq -r '.corecast | to_entries[] | select(
        ([.value.behavior, .value.behaviorClose] - ["OK", "NON-STRICT", "INFORMATIONAL",
         "UNIMPLEMENTED"]) != []) | "\(.key): \(.value.behavior), close \(.value.behaviorClose)"' \
        "$1" >"$1.bad"
    cat "$1.bad"
    [ ! -s "$1.bad" ]
}
