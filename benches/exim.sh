#!/bin/bash
# Measures what a session costs a real Exim, with the library and with other ways to record a
# rejection, and writes the results into docs/.
#
#   benches/exim.sh                             everything: about five minutes
#   EXIMRBL_BENCH_SECONDS=1 EXIMRBL_BENCH_ROUNDS=2 benches/exim.sh
#                                               shorter; nothing is written into docs/
#
# As for benches/dns.sh: two processors, nothing else to do.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

packages=(
    sqlite3     # makes the database of one of the ways
    socat       # listens in another
)
source benches/stage.sh

on_stage exim

publish() {
    cp "$data/results/exim.svg" docs/benchmarks-exim.svg
    "$target/release/eximrbl-bench" put docs/benchmarks.md exim "$data/results/exim.md"
}
if_whole publish
