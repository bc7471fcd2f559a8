#!/usr/bin/env bash
# Open files: one for each connection. The unit file sets the limit of the service itself; this
# is about the ceilings of the kernel, and about who starts corecast from a login.
set -euo pipefail
# shellcheck source=tuning/report.sh
. "$(dirname "${BASH_SOURCE[0]}")/report.sh"
read_mode "$@"

wanted=1048576
limits=/etc/security/limits.d/60-corecast.conf

if [ "$mode" = --apply ]; then
    for file in /proc/sys/fs/nr_open /proc/sys/fs/file-max; do
        [ "$(<"$file")" -ge "$wanted" ] || try_write "$file" "$wanted"
    done
    if [ -d "$(dirname "$limits")" ]; then
        printf '# From tuning/nofile.sh of corecast.\n* hard nofile %s\n' "$wanted" >"$limits"
    fi
    ulimit -Hn "$wanted" 2>/dev/null || true
fi

for key in fs.nr_open fs.file-max; do
    now=$(<"/proc/sys/${key//.//}")
    if [ "$now" -ge "$wanted" ]; then
        good "$key" "$now"
    else
        want "$key" "$now" ">= $wanted" "one open file for each connection"
    fi
done

hard=$(ulimit -Hn)
if [ "$hard" = unlimited ] || [ "$hard" -ge "$wanted" ]; then
    good "hard limit of open files here" "$hard"
else
    want "hard limit of open files here" "$hard" ">= $wanted" \
        "corecast raises its own limit, but not above this one"
fi
finish
