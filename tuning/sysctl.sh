#!/usr/bin/env bash
# Kernel settings for many connections. `--apply` lasts until the next boot; the service
# corecast-tuning.service applies it at every boot.
set -euo pipefail
# shellcheck source=tuning/report.sh
. "$(dirname "${BASH_SOURCE[0]}")/report.sh"
read_mode "$@"

# key  relation  value  why
knobs='
net.core.somaxconn                  >= 8192     listeners that come back at once wait to be accepted
net.ipv4.tcp_max_syn_backlog        >= 8192     the same, before their handshake is done
net.ipv4.tcp_slow_start_after_idle  =  0        a quantum each second is no idle connection
net.ipv4.tcp_mtu_probing            >= 1        listeners behind tunnels that drop large packets
net.netfilter.nf_conntrack_max      >= 1048576  a firewall that tracks drops what does not fit
kernel.io_uring_disabled            =  0        the shards run on io_uring
'

while read -r key relation value why; do
    [ -n "$key" ] || continue
    file=/proc/sys/${key//.//}
    if [ ! -r "$file" ]; then
        pass "$key" "not on this kernel"
        continue
    fi
    is_well() {
        local now
        now=$(<"$file")
        if [ "$relation" = "=" ]; then [ "$now" = "$value" ]; else [ "$now" -ge "$value" ]; fi
    }
    if [ "$mode" = --apply ] && ! is_well; then try_write "$file" "$value"; fi
    if is_well; then
        good "$key" "$(<"$file")"
    else
        want "$key" "$(<"$file")" "$relation $value" "$why"
    fi
done <<<"$knobs"
finish
