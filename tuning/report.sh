# shellcheck shell=bash
# What the tuning scripts share: one mode, one line per knob, an exit status by state.

# Takes --check or --apply; sets $mode.
read_mode() {
    mode=${1:-}
    case $mode in
    --check | --apply) ;;
    *)
        echo "Usage: $(basename "$0") --check | --apply" >&2
        echo "  --check  says what is and what should be; exit 0 if all is well, else 1" >&2
        echo "  --apply  changes the running machine (as root), then checks" >&2
        exit 2
        ;;
    esac
    if [ "$mode" = --apply ] && [ "$(id -u)" != 0 ]; then
        echo "$(basename "$0") --apply needs root" >&2
        exit 2
    fi
    wanting=0
}

# good KNOB VALUE
good() { printf 'ok    %s = %s\n' "$1" "$2"; }

# want KNOB VALUE WANTED WHY
want() {
    printf 'want  %s = %s, should be %s: %s\n' "$@"
    wanting=1
}

# pass KNOB WHY: nothing to say here
pass() { printf 'none  %s: %s\n' "$@"; }

finish() { exit "$wanting"; }

# try_write FILE VALUE: quiet, because the check that follows says what is.
try_write() { printf '%s\n' "$2" 2>/dev/null >"$1" || true; }
