# shellcheck shell=bash
# `./x test` and `./x lint`. Sourced by ./x.

sim_seeds=200
cargo_deny_version=0.20.2

lint() {
    local scripts
    ensure_packages build
    need_rust
    ensure_cargo_deny
    step "lock file" lock_is_current
    step "format" cargo fmt --all --check
    step "clippy" cargo clippy --quiet --workspace --all-targets -- -D warnings
    # No advisories here: they come from the network and would fail a tree that did not change.
    step "licences and banned crates" cargo deny --log-level error check bans licenses sources
    if command -v shellcheck >/dev/null; then
        mapfile -t scripts < <(shell_scripts)
        step "shell scripts" shellcheck -x -S warning "${scripts[@]}"
    fi
}

# Everything that CI runs, in the order of what fails fastest.
run_tests() {
    started=$SECONDS
    summaries=$(mktemp)
    trap 'finish_tests $?' EXIT
    ensure_packages build demo test
    need_rust
    ensure_web
    ensure_test_web
    ensure_newer_ffmpeg
    ensure_python_clients
    lint
    # The rule checker, which tests run.
    step "load generator" cargo build --quiet -p corecast-loadtest
    if command -v cargo-nextest >/dev/null; then
        step "unit tests" runner cargo nextest run --no-fail-fast --workspace --lib --bins
        step "integration tests" runner cargo nextest run --no-fail-fast -p corecast --test integration
    else
        step "unit tests" runner cargo test --workspace --lib --bins
        step "integration tests" runner cargo test -p corecast --test integration
    fi
    step "doorbells in every interleaving" runner loom_models
    step "simulation, $sim_seeds seeds" sim_many
}

finish_tests() {
    [ ! -s "$summaries" ] || { say ""; cat "$summaries"; }
    rm -f "$summaries"
    if [ "$1" = 0 ]; then
        say "./x test: passed in $((SECONDS - started)) s"
    else
        say "./x test: FAILED after $((SECONDS - started)) s, in: ${step_name:-set-up}"
    fi
}

lock_is_current() { cargo metadata --locked --format-version 1 >/dev/null; }

# Runs one step and says how long it took. A step that fails ends everything.
step() {
    local began=$SECONDS
    step_name=$1
    shift
    say "== $step_name"
    "$@" || die "== $step_name: failed"
    say "== $step_name: ok, $((SECONDS - began)) s"
}

# Runs a test runner and keeps its closing lines for the end.
runner() {
    local log rc=0
    log=$(mktemp)
    [ ! -t 1 ] || export CARGO_TERM_COLOR=always
    "$@" 2>&1 | tee "$log" || rc=$?
    grep -aE 'Summary.*tests? run|^test result:' "$log" >>"$summaries" || true
    rm -f "$log"
    return "$rc"
}

loom_models() {
    RUSTFLAGS="--cfg loom" CARGO_TARGET_DIR="$(target_dir)/loom" \
        cargo test -p corecast-mesh --lib models
}

sim_many() {
    cargo build --quiet --release -p corecast-sim || return
    "$(target_dir)/release/sim" --seeds 1 "$sim_seeds" || return
    say "simulation: $sim_seeds seeds passed" >>"$summaries"
}

# cargo-deny is a program of its own: two minutes to compile, once, into .x/tools.
ensure_cargo_deny() {
    PATH="$PWD/.x/tools/bin:$PATH"
    if command -v cargo-deny >/dev/null; then return 0; fi
    say "Installing cargo-deny $cargo_deny_version into .x/tools (checks licences, banned crates)"
    cargo install --quiet --locked --root .x/tools "cargo-deny@$cargo_deny_version"
}

shell_scripts() {
    printf '%s\n' x .ci/run
    find tuning fuzz -maxdepth 1 -type f \( -name '*.sh' -o -name run \)
}
