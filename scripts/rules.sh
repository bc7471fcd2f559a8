# shellcheck shell=bash
# `./x load rules`: the rules of low-latency HLS on a server of its own whose publisher is jittery.
# Sourced by ./x.

rules_mount=/live/jitter
# The publisher stands still for up to so long, then sends at once what it owes, again and again.
rules_jitter_ms=150

# Watches for SECONDS and forgives what comes later than a rule says by SLACK_MS.
load_rules() {
    local seconds=${1:-60} slack_ms=${2:-250} port=${PORT:-8801} rtmp_port=${RTMP_PORT:-8835}
    [[ $seconds$slack_ms =~ ^[0-9]+$ ]] || die "Usage: ./x load rules [SECONDS] [SLACK_MS]"
    ensure_packages build demo
    need_rust
    cargo build --release -p corecast -p corecast-loadtest
    rules_dir=$(mktemp -d)
    rules_pids=()
    trap 'finish_rules $?' EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
    start_rules_server "$port" "$rtmp_port"
    start_rules_publisher "$port" "$rtmp_port"
    say "Watching $rules_mount.m3u8 for $seconds s; the publisher stands still for up to $rules_jitter_ms ms."
    "$(target_dir)/release/loadtest" hls-check "http://127.0.0.1:$port$rules_mount.m3u8" \
        --seconds "$seconds" --slack-ms "$slack_ms"
}

# A short window: segments leave it while the checker looks on.
start_rules_server() {
    local port=$1 rtmp_port=$2
    CORECAST_SERVER__STATE_DIR=$rules_dir CORECAST_AUTH__SOURCE_PASSWORD=rules \
        CORECAST_LISTEN__ADDRESS=127.0.0.1:$port,rtmp:127.0.0.1:$rtmp_port \
        "$(target_dir)/release/corecast" run --set mount_defaults.hls=always \
        --set mount_defaults.hls_segment_ms=1000 --set mount_defaults.hls_window_ms=10000 \
        >"$rules_dir/log" 2>&1 &
    rules_pids+=("$!")
    wait_for_rules "http://127.0.0.1:$port/health"
}

start_rules_publisher() {
    local port=$1 rtmp_port=$2 source
    ffmpeg -nostdin -hide_banner -loglevel error -re \
        -f lavfi -i "testsrc2=s=320x180:r=30" -f lavfi -i "sine=frequency=220:r=48000" \
        -c:v libx264 -preset ultrafast -tune zerolatency -g 30 -b:v 600k -pix_fmt yuv420p \
        -c:a aac -b:a 96k -f flv "rtmp://127.0.0.1:$rtmp_port$rules_mount?password=rules" &
    source=$!
    rules_pids+=("$source")
    wait_for_rules "http://127.0.0.1:$port$rules_mount.m3u8"
    jitter "$source" &
    rules_pids+=("$!")
}

# The same stops in every run.
jitter() {
    RANDOM=1
    while kill -STOP "$1" 2>/dev/null; do
        sleep "0.$(printf '%03d' $((RANDOM % rules_jitter_ms)))"
        kill -CONT "$1" 2>/dev/null || return 0
        sleep "0.$(printf '%03d' $((100 + RANDOM % 500)))"
    done
}

wait_for_rules() {
    local tries
    for ((tries = 0; tries < 300; tries++)); do
        if curl -fs -o /dev/null --max-time 1 "$1"; then return 0; fi
        sleep 0.1
    done
    cat "$rules_dir/log" >&2
    die "There is no $1."
}

# The jitter first: who stands still does not end.
finish_rules() {
    local index pid
    trap - EXIT
    for ((index = ${#rules_pids[@]} - 1; index >= 0; index--)); do
        pid=${rules_pids[index]}
        kill -TERM "$pid" 2>/dev/null || continue
        kill -CONT "$pid" 2>/dev/null || true
        wait "$pid" 2>/dev/null || true
    done
    rm -rf "$rules_dir"
    exit "$1"
}
