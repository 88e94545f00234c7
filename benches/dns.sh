#!/bin/bash
# Compares eximrbld with other name servers, and writes the results into docs/.
#
#   benches/dns.sh                              everything: about a quarter of an hour
#   EXIMRBL_BENCH_SERVERS=eximrbld,rbldnsd \
#   EXIMRBL_BENCH_ENTRIES=1000000 EXIMRBL_BENCH_SECONDS=2 EXIMRBL_BENCH_ROUNDS=1 benches/dns.sh
#                                               a part of it; nothing is written into docs/
#
# The machine should have two processors and nothing else to do. docs/benchmarks.md says what is
# measured and how; benches/peers/src/settings.rs lists the variables. Installs Debian packages,
# none of whose services are left running, and leaves target/bench-data behind.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

packages=(
    rbldnsd nsd knot pdns-server pdns-backend-sqlite3    # the peers
    sqlite3                                              # makes the database of PowerDNS
    dnsperf                                              # a second opinion
)
source benches/stage.sh

on_stage dns

publish() {
    cp "$data/results/dns.svg" docs/benchmarks-dns.svg
    "$target/release/eximrbl-bench" put docs/benchmarks.md dns "$data/results/dns.md"
    "$target/release/eximrbl-bench" put README.md dns-short "$data/results/dns-short.md"
}
if_whole publish
