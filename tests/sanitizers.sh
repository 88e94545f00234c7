#!/bin/bash
# The table under sanitizers: ThreadSanitizer and AddressSanitizer over threads that do everything to
# it (tests/sanitizers/stress.rs says what that shows); each must first see a fault made on purpose.
#
#   tests/sanitizers.sh
#   EXIMRBL_TORTURE=1 tests/sanitizers.sh    AddressSanitizer also over all of the table's tests
#
# Stable Rust is enough: its sanitizers come with it. RUSTC_BOOTSTRAP lets it take the options, which
# are called unstable; that std is not instrumented has to be allowed expressly.
#
# The fuzz targets (tests/fuzz.sh) run under AddressSanitizer as well. Miri is no part of stable Rust,
# and slow; over the form of the table that needs no file:
#   rustup component add --toolchain nightly miri rust-src
#   MIRIFLAGS=-Zmiri-disable-isolation cargo +nightly miri test -p eximrbl-table --lib
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

machine=$(rustc -vV | sed -n 's/^host: //p')
target=$(realpath -m "${CARGO_TARGET_DIR:-target}")/sanitizers
export RUSTC_BOOTSTRAP=1
passed=0
failed=0

# result NAME COMMAND…: counts whether the command succeeds.
result() {
    local name=$1
    shift
    if "$@" >"$scratch/output" 2>&1; then
        echo "$name: ok"
        passed=$((passed + 1))
    else
        echo "$name: FAILED"
        tail -n 80 "$scratch/output"
        failed=$((failed + 1))
    fi
}

# tells WHAT COMMAND…: whether the command fails with that report of a sanitizer.
tells() {
    local what=$1
    shift
    ! "$@" >"$scratch/told" 2>&1 && grep -q "$what" "$scratch/told"
}

flags_of() {
    echo "-Zsanitizer=$1 -Cunsafe-allow-abi-mismatch=sanitizer"
}

scratch=$(mktemp -d "${TMPDIR:-/tmp}/eximrbl-sanitizers-XXXXXX")
trap 'rm -rf "$scratch"' EXIT

for sanitizer in thread address; do
    RUSTFLAGS=$(flags_of $sanitizer) CARGO_TARGET_DIR=$target/$sanitizer \
        cargo build --release --locked --target "$machine" --manifest-path tests/sanitizers/Cargo.toml
done
threads=$target/thread/$machine/release/stress
addresses=$target/address/$machine/release/stress

result "ThreadSanitizer sees a data race" tells "ThreadSanitizer: data race" "$threads" race
result "ThreadSanitizer finds none in the table" "$threads"
result "AddressSanitizer sees a read behind an allocation" \
    tells "AddressSanitizer: heap-buffer-overflow" "$addresses" overflow
result "AddressSanitizer finds none in the table" "$addresses"

if [[ ${EXIMRBL_TORTURE:-0} == 1 ]]; then
    result "AddressSanitizer finds nothing in the table's tests" \
        env RUSTFLAGS="$(flags_of address)" CARGO_TARGET_DIR="$target/address" \
        cargo test -p eximrbl-table --locked --target "$machine"
fi

# The line that tests/run.sh counts.
if [[ $failed -eq 0 ]]; then verdict=ok; else verdict=FAILED; fi
echo "test result: $verdict. $passed passed; $failed failed"
[[ $failed -eq 0 ]]
