#!/bin/bash
# Builds all test programs of the workspace, and runs several of them at a time: many wait more than
# they work. `cargo test` runs them one after the other, which takes twice as long.
#
#   tests/programs.sh          each program's output comes whole, when the program has ended
#   TEST_PROGRAMS=1 …          so many at a time, in place of three
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

scratch=$(mktemp -d "${TMPDIR:-/tmp}/eximrbl-programs-XXXXXX")
trap 'rm -rf "$scratch"' EXIT

cargo test --workspace --locked --no-run --message-format=json-render-diagnostics >"$scratch/built"
# A line of JSON for each thing that was built: the test programs of all packages.
sed -n 's/^{"reason":"compiler-artifact".*"manifest_path":"\([^"]*\)\/Cargo\.toml".*"profile":{[^}]*"test":true}.*"executable":"\([^"]*\)".*/\1\t\2/p' \
    "$scratch/built" >"$scratch/programs"
[[ -s $scratch/programs ]] || { echo "cargo named no test program"; exit 1; }

# run FOLDER PROGRAM: as cargo does.
run() {
    cd "$1"
    export CARGO_MANIFEST_DIR=$1
    output=$(mktemp "$scratch/output-XXXXXX")
    "$2" >"$output" 2>&1
    status=$?
    # One write of it all, under a lock: outputs do not mix.
    { flock 9; echo; echo "     Running ${2##*/}"; cat "$output"; } 9>>"$scratch/lock"
    return $status
}
export -f run
export scratch
status=0
xargs -d '\n' -P "${TEST_PROGRAMS:-3}" -n 1 bash -c 'IFS=$'"'\t'"' read -r folder program <<<"$1"; run "$folder" "$program"' _ \
    <"$scratch/programs" || status=1
cargo test --workspace --locked --doc || status=1
exit $status
