#!/usr/bin/env bash
# Where packets are handled: each receive queue of the network card on a CPU of its own, or, where
# the card has fewer queues than there are CPUs, spread in software (RPS) and towards the shard
# that reads the socket (RFS). INTERFACE=eth0 names the card; else that of the default route.
set -euo pipefail
# shellcheck source=tuning/report.sh
. "$(dirname "${BASH_SOURCE[0]}")/report.sh"
read_mode "$@"

flows=32768
flows_why="packets go to the CPU that reads them"

interface=${INTERFACE:-$(awk '$2 == "00000000" { print $1; exit }' /proc/net/route)}
if [ -z "$interface" ] || [ ! -d "/sys/class/net/$interface/queues" ]; then
    echo "no network card found; name it: INTERFACE=eth0 $0 $mode" >&2
    exit 2
fi
card=/sys/class/net/$interface
cpus=$(getconf _NPROCESSORS_ONLN)
queues=("$card"/queues/rx-*)
printf '%s: %s receive queues, %s CPUs\n' "$interface" "${#queues[@]}" "$cpus"

# The mask of all CPUs, in groups of 32 bits as the kernel writes it.
all_cpus() {
    local left=$cpus mask='' bits
    while [ "$left" -gt 0 ]; do
        bits=$((left > 32 ? 32 : left))
        mask=$(printf '%x' $(((1 << bits) - 1)))${mask:+,$mask}
        left=$((left - bits))
    done
    printf '%s' "$mask"
}

# Masks compared without their leading zeros and commas.
bare() { tr -d ',' <<<"$1" | sed 's/^0*\(.\)/\1/'; }

check_irqs() {
    local irqs index=0 irq file cpu
    mapfile -t irqs < <(find "$card/device/msi_irqs" -type f -printf '%f\n' 2>/dev/null | sort -n)
    if [ "${#irqs[@]}" = 0 ]; then
        pass "interrupts of $interface" "the card has none of its own here"
        return
    fi
    if pgrep -x irqbalance >/dev/null; then
        want irqbalance running "stopped" "it moves interrupts away again"
    fi
    for irq in "${irqs[@]}"; do
        file=/proc/irq/$irq/smp_affinity_list
        [ -r "$file" ] || continue
        cpu=$((index % cpus))
        index=$((index + 1))
        if [ "$mode" = --apply ]; then try_write "$file" "$cpu"; fi
        if [ "$(<"$file")" = "$cpu" ]; then
            good "CPU of interrupt $irq" "$cpu"
        elif [ "$mode" = --apply ]; then
            pass "CPU of interrupt $irq" "its driver keeps it on $(<"$file")"
        else
            want "CPU of interrupt $irq" "$(<"$file")" "$cpu" "one queue, one CPU"
        fi
    done
}

check_spread() {
    local mask=0 per_queue=1 queue now
    if [ "${#queues[@]}" -lt "$cpus" ]; then
        mask=$(all_cpus)
        # The kernel takes powers of two.
        while [ $((per_queue * 2 * ${#queues[@]})) -le "$flows" ]; do
            per_queue=$((per_queue * 2))
        done
        check_value /proc/sys/net/core/rps_sock_flow_entries "$flows" "$flows_why"
        for queue in "${queues[@]}"; do
            check_value "$queue/rps_flow_cnt" "$per_queue" "$flows_why"
        done
    fi
    for queue in "${queues[@]}"; do
        if [ "$mode" = --apply ]; then try_write "$queue/rps_cpus" "$mask"; fi
        now=$(<"$queue/rps_cpus")
        if [ "$(bare "$now")" = "$(bare "$mask")" ]; then
            good "$queue/rps_cpus" "$now"
        elif [ "$mask" = 0 ]; then
            want "$queue/rps_cpus" "$now" "$mask" "every CPU has a queue of its own"
        else
            want "$queue/rps_cpus" "$now" "$mask" "all CPUs take packets"
        fi
    done
}

# check_value FILE WANTED WHY
check_value() {
    if [ ! -r "$1" ]; then
        pass "$1" "not here"
        return
    fi
    if [ "$mode" = --apply ]; then try_write "$1" "$2"; fi
    if [ "$(<"$1")" = "$2" ]; then
        good "$1" "$2"
    else
        want "$1" "$(<"$1")" "$2" "$3"
    fi
}

check_irqs
check_spread
finish
