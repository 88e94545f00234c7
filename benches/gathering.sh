#!/bin/bash
# Measures what eximrbld's collector takes, beside socat, and how long Exim's clients wait when
# the gatherer is down; writes the results into docs/gathering.md.
#
#   benches/gathering.sh                        everything: about five minutes
#   EXIMRBL_BENCH_PARTS=latency benches/gathering.sh
#   EXIMRBL_BENCH_SECONDS=0.5 EXIMRBL_BENCH_ROUNDS=1 benches/gathering.sh
#                                               a part of it; nothing is written into docs/
#
# As for benches/dns.sh: two processors, nothing else to do.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

packages=(
    socat       # the gatherer of the first document
    nats-server # between two sites
)
source benches/stage.sh

on_stage gathering

publish() {
    local bench=$target/release/eximrbl-bench
    "$bench" put docs/gathering.md gathering "$data/results/gathering.md"
    "$bench" put docs/gathering.md gathering-latency "$data/results/gathering-latency.md"
}
if_whole publish
