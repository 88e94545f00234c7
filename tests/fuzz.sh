#!/bin/bash
# Fuzzes every untrusted byte for a short while: DNS packets, the table's file, the arguments that
# Exim passes, the configuration file, lines of reports. The targets, and what each of them checks, are in fuzz/.
#
#   tests/fuzz.sh              every target: its seeds, then 10 seconds of new inputs
#   tests/fuzz.sh TARGET…      these only
#   FUZZ_SECONDS=3600 …        so many seconds each; EXIMRBL_TORTURE=1 alone means 300
#
# Needs g++ beside what tests/setup.sh installs, for libFuzzer. Stable Rust has all the rest: the
# coverage pass is LLVM's, and the sanitizer's runtime comes with the compiler. RUSTC_BOOTSTRAP
# lets it take the one option that is called unstable.
#
# What a target finds is left in fuzz/artifacts/TARGET. To see it again: tests/fuzz.sh TARGET FILE
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../fuzz"

seconds=${FUZZ_SECONDS:-10}
[[ -n ${FUZZ_SECONDS:-} || ${EXIMRBL_TORTURE:-0} != 1 ]] || seconds=300
machine=$(rustc -vV | sed -n 's/^host: //p')
target=$(realpath -m "${CARGO_TARGET_DIR:-../target}")/fuzz

# As cargo-fuzz builds.
flags=(
    -Cpasses=sancov-module
    -Cllvm-args=-sanitizer-coverage-level=4
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters
    -Cllvm-args=-sanitizer-coverage-pc-table
    -Cllvm-args=-sanitizer-coverage-trace-compares
    --cfg fuzzing
    -Zsanitizer=address
)
RUSTC_BOOTSTRAP=1 RUSTFLAGS="${flags[*]}" CARGO_TARGET_DIR=$target \
    cargo build --release --locked --target "$machine"

bin=$target/$machine/release
if [[ $# -eq 2 && -f $2 ]]; then
    exec "$bin/$1" "$2"
fi

scratch=$(mktemp -d "${TMPDIR:-/tmp}/eximrbl-fuzz-XXXXXX")
trap 'rm -rf "$scratch"' EXIT
passed=0
failed=0
for name in "${@:-dns_query table_file dlfunc_arguments config_file report_line}"; do
    # The default is one word with blanks, so that "$@" may be empty under set -u.
    for name in $name; do
        options=(-timeout=60 -rss_limit_mb=2048 -max_len=4096 -print_final_stats=1)
        inputs=("seeds/$name")
        if [[ $name == config_file ]]; then
            options+=(-dict=config_file.dict)
            # Every good and bad sample of the product is a seed as well.
            mkdir "$scratch/examples"
            cp ../examples/eximrbl.toml ../examples/config-bad/*.toml "$scratch/examples"
            inputs+=("$scratch/examples")
        fi
        mkdir -p "artifacts/$name" "$scratch/$name"
        if "$bin/$name" "${options[@]}" -max_total_time="$seconds" \
            -artifact_prefix="artifacts/$name/" "$scratch/$name" "${inputs[@]}" \
            >"$scratch/log" 2>&1; then
            passed=$((passed + 1))
            awk -v name="$name" '/number_of_executed_units/ { print name ": " $2 " inputs" }' \
                "$scratch/log"
        else
            failed=$((failed + 1))
            echo "$name: FAILED"
            grep -v '^#' "$scratch/log" | tail -n 60
        fi
    done
done
rmdir --ignore-fail-on-non-empty artifacts/* artifacts
# The line that tests/run.sh counts.
if [[ $failed -eq 0 ]]; then verdict=ok; else verdict=FAILED; fi
echo "test result: $verdict. $passed passed; $failed failed"
[[ $failed -eq 0 ]]
