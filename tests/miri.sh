#!/bin/bash
# The table's form on the heap, the arguments that Exim passes, and answers to queries, under Miri, which
# finds undefined behaviour, and reads of shared memory that come in an order which x86 does not show.
#
#   tests/miri.sh
#   EXIMRBL_TORTURE=1 tests/miri.sh    also the tests that take Miri minutes
#
# Miri is no part of stable Rust. It is installed by rustup for the nightly toolchain if that can be
# had; where it cannot, this says so, and the exit status is 0: nothing was found, and nothing shown.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

if ! cargo +nightly miri --version >/dev/null 2>&1; then
    timeout 120 rustup toolchain install nightly --profile minimal --component miri,rust-src \
        >/dev/null 2>&1 || true
fi
if ! cargo +nightly miri --version >/dev/null 2>&1; then
    echo "NOT RUN: Miri is not to be had here (rustup toolchain install nightly --component miri,rust-src)"
    exit 0
fi

target=$(realpath -m "${CARGO_TARGET_DIR:-target}")/miri
# The clock is read; nothing else of the machine is.
export MIRIFLAGS=-Zmiri-disable-isolation CARGO_TARGET_DIR=$target
# Files are out of Miri's reach, its time is not the machine's, and large tables take it too long.
left_out=(--skip owners --skip resize::tests --skip waiting_is_bounded
    --skip glance::tests --skip a_damaged_policy --skip every_key_has_two_buckets --skip never_means_exactly --skip unfinished_events)
[[ ${EXIMRBL_TORTURE:-0} == 1 ]] || left_out+=(--skip no_count_is_lost --skip arbitrary_words
    --skip names_are_mended --skip equals_the_reference)
cargo +nightly miri test -p eximrbl-table --locked --lib -- "${left_out[@]}"
# Properties try thousands of cases, of which the tables of odd cases beside them have some of each kind.
cargo +nightly miri test -p eximrbl --locked --lib -- arguments:: ffi:: line:: \
    --skip any_bytes --skip good_arguments
cargo +nightly miri test -p eximrbl-zone --locked --lib -- query_name::
# Over a whole table, and all of it safe code: without the aliasing model, which takes minutes there.
MIRIFLAGS="$MIRIFLAGS -Zmiri-disable-stacked-borrows" \
    cargo +nightly miri test -p eximrbl-zone --locked --test answer -- odd_names
