#!/bin/bash
# Runs every test: on a fresh Debian 12 machine with Rust, as root, this is all there is to do.
#
#   tests/run.sh            everything
#   tests/run.sh ARGUMENT…  the arguments go to cargo test, e.g. --test scenario
#   EXIMRBL_TORTURE=1 …     with the long forms of the tests that torture: an hour more
#
# The last line counts: `N passed, N failed`. The exit status is 0 only if nothing failed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

if [[ $EUID -ne 0 ]]; then
    echo "tests/run.sh must be run as root: it installs Debian packages and makes network namespaces" >&2
    exit 1
fi
tests/setup.sh

step() {
    echo
    echo "=== $*"
}

target=$(realpath -m "${CARGO_TARGET_DIR:-target}")
scratch=$(mktemp -d "${TMPDIR:-/tmp}/eximrbl-run-XXXXXX")
models=
trap 'rm -rf "$scratch"; [[ -z $models ]] || kill "$models" 2>/dev/null || true' EXIT

# Runs cargo, shows its output, and keeps it for the count.
tested() {
    "$@" 2>&1 | tee "$(mktemp "$scratch/output-XXXXXX")" || echo "$*" >>"$scratch/failed"
}

step "The library, the daemon and the tool, as shipped"
cargo build --release --locked
# Exim's user must reach the library, and a checkout in /root is closed to it.
mkdir "$scratch/artifacts"
chmod 755 "$scratch" "$scratch/artifacts"
cp "$target"/release/{libeximrbl.so,eximrbld,eximrbl} "$scratch/artifacts/"
export EXIMRBL_ARTIFACTS=$scratch/artifacts

# What needs builds of its own, and no sockets.
models_and_sanitizers() {
    step "Every interleaving of the table's steps (loom)"
    RUSTFLAGS="${RUSTFLAGS:-} --cfg loom" CARGO_TARGET_DIR=$target/loom \
        tested cargo test -p eximrbl-table --locked --release --lib loom

    step "Fuzzing, a short while"
    tested tests/fuzz.sh

    step "Sanitizers"
    tested tests/sanitizers.sh

    step "Miri"
    tested tests/miri.sh
}

if [[ $# -eq 0 ]]; then
    # Beside the test programs, which wait more than they work; what it says comes after theirs.
    models_and_sanitizers >"$scratch/models" 2>&1 &
    models=$!

    step "Tests"
    tested tests/programs.sh

    step "Benchmarks compile"
    tested cargo bench --workspace --locked --no-run --bench '*'

    wait "$models" || echo "models and sanitizers" >>"$scratch/failed"
    models=
    cat "$scratch/models"
else
    step "Tests"
    tested cargo test --workspace --locked --no-fail-fast "$@"
fi

# `test result: ok. 12 passed; 0 failed; …` of every test program.
read -r passed failed < <(awk '/^test result: / {
    for (i = 2; i <= NF; i++) {
        if ($i == "passed;") passed += $(i - 1)
        if ($i == "failed;") failed += $(i - 1)
    }
} END { print passed + 0, failed + 0 }' "$scratch"/output-*)
echo
if [[ -s $scratch/failed && $failed -eq 0 ]]; then
    echo "Did not build, or not come to its end, see above: $(paste -sd '\n' "$scratch/failed")"
    failed=1
fi
echo "$passed passed, $failed failed"
[[ $failed -eq 0 && $passed -gt 0 ]]
