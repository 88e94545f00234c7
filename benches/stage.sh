# What benches/dns.sh, exim.sh and gathering.sh share: what is needed, and the place to measure in.
# To be sourced, in the checkout's top folder, with the packages in the array `packages`.

if [[ $EUID -ne 0 ]]; then
    echo "$0 must be run as root: it installs Debian packages and makes network namespaces" >&2
    exit 1
fi
tests/setup.sh "${packages[@]}"

target=$(realpath -m "${CARGO_TARGET_DIR:-target}")
# Entries in every server's form are kept here for the next run.
data=${EXIMRBL_BENCH_DATA:-$target/bench-data}
mkdir -p "$data/artifacts" "$data/results"
chmod 755 "$data" "$data/artifacts" "$data/results"

# What ships is measured: EXIMRBL_ARTIFACTS names its folder, else it is built here.
artifacts=${EXIMRBL_ARTIFACTS:-}
if [[ -z $artifacts ]]; then
    cargo build --release --workspace --locked
    artifacts=$target/release
else
    cargo build --release --locked -p eximrbl-bench
fi
install -D -m 644 -t "$data/checkout/examples/exim" examples/exim/{eximrbl,report}.acls
install -m 755 "$artifacts"/{libeximrbl.so,eximrbld,eximrbl} "$data/artifacts/"
cc -O2 -shared -fPIC -o "$data/artifacts/nothing.so" benches/peers/nothing.c

# Runs the benchmark in namespaces of its own: for the network, so that nothing leaves the machine
# and every port is free; for processes, so that all of them end with it; for mounts, since the
# servers run as users who may not enter the checkout.
on_stage() {
    unshare --net --mount --pid --fork --kill-child --mount-proc \
        env EXIMRBL_BENCH_STAGE=1 \
        bash -c 'mount --bind "$1" /mnt && cd /mnt && shift && "$@"' \
        bash "$data" "$target/release/eximrbl-bench" "$@" &
    stage=$!
    trap 'kill -KILL "$stage" 2>/dev/null' EXIT
    trap 'exit 130' INT TERM HUP
    wait "$stage"
    trap - EXIT INT TERM HUP
}

# Runs a command that writes the results into the documents, if this was a whole run.
if_whole() {
    local variable
    for variable in $(compgen -v EXIMRBL_BENCH_); do
        if [[ $variable != EXIMRBL_BENCH_DATA ]]; then
            echo "$variable is set: the results stay in $data/results"
            return
        fi
    done
    "$@"
}
