# shellcheck shell=bash
# `./x conform`: what others make of HTTP. A suite that no registry has is built by hand, once, from
# sources that never come into this tree; here it runs against a server of its own. Sourced by ./x.

conform() {
    local suite=${1:-}
    [ $# -eq 0 ] || shift
    case $suite in
    h2spec) conform_h2spec "$@" ;;
    http1) conform_http1 "$@" ;;
    autobahn) conform_autobahn "$@" ;;
    *) die "Which suite? ./x conform http1 [CLASS ...], or ./x conform h2spec or autobahn PLACE [ARGS]" ;;
    esac
}

# Hundreds of odd requests, each read by us, nginx, Caddy, Node and h11. CLASS is one of those in
# tests/failures/grammar.py.
conform_http1() {
    local port=${PORT:-8443} rc=0
    ensure_packages build judge
    need_rust
    ensure_python_clients
    cargo build --release -p corecast
    start_for_conformance "$port"
    PYTHONPATH=.x/tools/python python3 tests/failures/grammar.py "$((port + 1))" "$@" || rc=1
    return "$rc"
}

# PROGRAM is h2spec 2.6 or newer: its sources are at summerwind/h2spec, and
# `go build ./cmd/h2spec` makes it. ARGS go to it: a section such as http2/6.5.
conform_h2spec() {
    local program=${1:-} port=${PORT:-8443} rc=0
    [ -x "$program" ] || die "Where is h2spec? ./x conform h2spec PROGRAM [ARGS]"
    shift
    ensure_packages build
    need_rust
    cargo build --release -p corecast
    start_for_conformance "$port"
    say "== over TLS"
    "$program" --strict --timeout 5 --tls --insecure --host 127.0.0.1 --port "$port" "$@" || rc=1
    say "== without"
    "$program" --strict --timeout 5 --host 127.0.0.1 --port "$((port + 1))" "$@" || rc=1
    return "$rc"
}

# A server with a certificate that it made itself; it ends with this script.
start_for_conformance() {
    local port=$1 tries
    conform_dir=$(mktemp -d)
    trap 'kill "$conform_server" 2>/dev/null; rm -rf "$conform_dir"' EXIT
    CORECAST_SERVER__STATE_DIR=$conform_dir \
        CORECAST_LISTEN__ADDRESS=127.0.0.1:$((port + 1)),https:127.0.0.1:$port \
        "$(target_dir)/release/corecast" run >"$conform_dir/log" 2>&1 &
    conform_server=$!
    for ((tries = 0; tries < 100; tries++)); do
        if curl -fsk -o /dev/null --max-time 1 "https://127.0.0.1:$port/health"; then return 0; fi
        kill -0 "$conform_server" 2>/dev/null || { cat "$conform_dir/log" >&2; die "corecast ended."; }
        sleep 0.1
    done
    die "corecast does not answer on port $port."
}
