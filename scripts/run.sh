# shellcheck shell=bash
# `./x run`: build, start, say where everything is, and end all of it together. Sourced by ./x.

state_dir=$PWD/.x/state
demo_mount=/demo.mp3
demo_video=/live/demo
demo_titles=('Corecast Trio - First Light' 'Corecast Trio - Ring Road' 'Ada & the Shards - Déjà vu'
    'Corecast Trio - Quiet Core')
demo_title_s=15

run() {
    local demo=no port=${PORT:-8000} rtmp_port=${RTMP_PORT:-1935} https_port=${HTTPS_PORT:-8443}
    while [ $# -gt 0 ]; do
        case $1 in
        --demo) demo=yes ;;
        --)
            shift
            break
            ;;
        *) die "./x run does not know $1. Arguments for the program go after --" ;;
        esac
        shift
    done
    ensure_packages build
    [ "$demo" = no ] || ensure_packages demo
    need_rust
    port_is_free "$port" ||
        die "Port $port is taken by another program. Choose one: PORT=$((port + 1)) ./x run"
    port_is_free "$rtmp_port" ||
        die "Port $rtmp_port (RTMP) is taken by another program. Choose one: RTMP_PORT=$((rtmp_port + 1)) ./x run"
    port_is_free "$https_port" ||
        die "Port $https_port (HTTPS) is taken by another program. Choose one: HTTPS_PORT=$((https_port + 1)) ./x run"
    ensure_web
    cargo build --release -p corecast

    children=()
    trap 'finish_run $?' EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
    start_server "$port" "$rtmp_port" "$https_port" "$@"
    say_where "$port" "$rtmp_port" "$https_port"
    if [ "$demo" = yes ]; then
        start_demo "$port"
        start_demo_video "$port" "$rtmp_port"
        serve_demo "$port"
    fi
    wait "$server"
}

port_is_free() { ! (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# Starts the program with its embedded defaults and waits until it answers.
start_server() {
    local port=$1 rtmp_port=$2 https_port=$3 tries
    shift 3
    mkdir -p "$state_dir"
    secrets=${CORECAST_SERVER__STATE_DIR:-$state_dir}/secrets.toml
    secrets_are_new=no
    [ -e "$secrets" ] || secrets_are_new=yes
    # Own process groups: a terminal's Ctrl-C comes to us alone, and we end the children in order.
    CORECAST_SERVER__STATE_DIR=${CORECAST_SERVER__STATE_DIR:-$state_dir} \
        CORECAST_LISTEN__ADDRESS=${CORECAST_LISTEN__ADDRESS:-[::]:$port,https:[::]:$https_port,rtmp:[::]:$rtmp_port} \
        setsid "$(target_dir)/release/corecast" run "$@" &
    server=$!
    children+=("$server")
    for ((tries = 0; tries < 100; tries++)); do
        if curl -fs -o /dev/null --max-time 1 "http://127.0.0.1:$port/health"; then return 0; fi
        kill -0 "$server" 2>/dev/null || die "corecast ended before it answered (see above)."
        sleep 0.1
    done
    die "corecast does not answer on port $port (see above)."
}

source_password() {
    if [ -n "${CORECAST_AUTH__SOURCE_PASSWORD:-}" ]; then
        printf '%s' "$CORECAST_AUTH__SOURCE_PASSWORD"
    elif [ -r "$secrets" ]; then
        sed -n 's/^source_password *= *"\(.*\)"$/\1/p' "$secrets"
    fi
}

say_where() {
    local port=$1 rtmp_port=$2 https_port=$3 password=PASSWORD note="  (PASSWORD is source_password in $secrets)"
    if [ "$secrets_are_new" = yes ] && [ -n "$(source_password)" ]; then
        password=$(source_password)
        note=
    fi
    cat <<TEXT

corecast runs. Ctrl-C ends it.
  page      http://localhost:$port/
            https://localhost:$https_port/ (HTTP/2 and 3; browsers warn of a certificate of ours)
  API       http://localhost:$port/api/v1/mounts
  metrics   http://localhost:$port/metrics

Publish a file (then listen at http://localhost:$port/live.mp3):
  ffmpeg -re -i music.mp3 -c:a libmp3lame -b:a 128k -content_type audio/mpeg -f mp3 \\
    icecast://source:$password@localhost:$port/live.mp3

Publish video (then watch it at http://localhost:$port/watch/live/cam):
  ffmpeg -re -i film.mp4 -c copy -f flv "rtmp://localhost:$rtmp_port/live/cam?password=$password"
  OBS: server rtmp://localhost:$rtmp_port/live, stream key cam?password=$password
TEXT
    [ -z "$note" ] || say "$note"
    say ""
}

# A station made of nothing: a plucked pentatonic tune over a slow chord.
start_demo() {
    local port=$1 password tune chord note
    password=$(source_password)
    [ -n "$password" ] || die "The demo needs CORECAST_AUTH__SOURCE_PASSWORD with settings of yours."
    note='mod(t,0.25)'
    tune="440*pow(2,floor(2.4*mod(3*floor(4*t)+floor(t),7))/12)"
    tune="0.3*sin(2*PI*$tune*$note)*exp(-7*$note)*(1-exp(-300*$note))"
    chord="0.06*(sin(2*PI*110*t)+sin(2*PI*164.81*t)+sin(2*PI*220*t))*(1+0.5*sin(2*PI*0.2*t))"
    setsid ffmpeg -nostdin -hide_banner -loglevel error -re \
        -f lavfi -i "aevalsrc='$tune+$chord|0.9*($tune)+$chord':s=44100" \
        -c:a libmp3lame -b:a 128k -content_type audio/mpeg \
        -ice_name "corecast demo" -ice_genre "Generated" \
        -ice_description "A tune that never ends" \
        -f mp3 "icecast://source:$password@127.0.0.1:$port$demo_mount" &
    demo_source=$!
    children+=("$demo_source")
    say "Demo station: http://localhost:$port/?play=$demo_mount"
    if [ -t 1 ] && [ -n "${DISPLAY:-}${WAYLAND_DISPLAY:-}" ] && command -v xdg-open >/dev/null; then
        xdg-open "http://localhost:$port/?play=$demo_mount" >/dev/null 2>&1 || true
    fi
}

# Moving pictures with a counter in them, and a tone each second.
start_demo_video() {
    local port=$1 rtmp_port=$2
    setsid ffmpeg -nostdin -hide_banner -loglevel error -re \
        -f lavfi -i "testsrc2=s=640x360:r=30" \
        -f lavfi -i "sine=frequency=220:beep_factor=4:r=48000" \
        -c:v libx264 -preset superfast -tune zerolatency -g 30 -b:v 900k -pix_fmt yuv420p \
        -c:a aac -b:a 96k -f flv \
        "rtmp://127.0.0.1:$rtmp_port$demo_video?password=$(source_password)" &
    video_source=$!
    children+=("$video_source")
    say "Demo video:   http://localhost:$port/watch$demo_video"
}

# Changes the title now and then for as long as server and sources run.
serve_demo() {
    local port=$1 second=0 turn=0
    while kill -0 "$server" 2>/dev/null; do
        kill -0 "$demo_source" 2>/dev/null || die "The demo source ended (see above)."
        kill -0 "$video_source" 2>/dev/null || die "The demo's video source ended (see above)."
        if [ $((second % demo_title_s)) = 2 ]; then
            set_title "$port" "${demo_titles[turn % ${#demo_titles[@]}]}"
            turn=$((turn + 1))
        fi
        sleep 1
        second=$((second + 1))
    done
}

set_title() {
    printf 'user = "source:%s"\n' "$(source_password)" |
        curl -fsS -o /dev/null --max-time 5 --config - --get \
            --data-urlencode "mount=$demo_mount" --data-urlencode "mode=updinfo" \
            --data-urlencode "charset=UTF-8" --data-urlencode "song=$2" \
            "http://127.0.0.1:$1/admin/metadata" || say "The title was not taken."
}

# Ends what this run started, by pid: the source first, then the server, which drains. Another
# Ctrl-C while it drains ends it at once.
finish_run() {
    local rc=$1 index pid
    trap - EXIT
    trap '[ -z "${server:-}" ] || kill -TERM "$server" 2>/dev/null || true' INT TERM HUP
    for ((index = ${#children[@]} - 1; index >= 0; index--)); do
        pid=${children[index]}
        kill -TERM "$pid" 2>/dev/null || continue
        while kill -0 "$pid" 2>/dev/null; do wait "$pid" || true; done
    done
    exit "$rc"
}
