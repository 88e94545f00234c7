#!/bin/bash
# Installs the Debian packages that building, tests and the demonstration need.
#
# Run as root by tests/run.sh, .ci/run and examples/demo.sh, and by benches/*.sh with the names of
# further packages as arguments. Does nothing when all are there.
# No service of an installed package is left running or enabled; a service that ran before runs
# on. Nothing is installed that would drive out another mail server.
set -euo pipefail

packages=(
    gcc libc6-dev binutils     # links Rust programs, builds the C shim, reads the library's symbols
    g++                        # builds libFuzzer
    libclang-dev               # bindgen reads exim-headers/ with it
    exim4-daemon-heavy         # the Exim that has dlfunc
    exim4-dev                  # Debian's headers, to compare ours with
    unbound bind9-dnsutils     # a real resolver, and dig
    nsd knot knot-dnsutils     # name servers that serve the same list, to compare answers; kdig
    bind9-utils rbldnsd        # checks zone files; serves exported lists, and those that are imported
    nftables                   # loads exported sets
    nats-server openssl        # what sites exchange their changes over, and its certificates
    spamassassin rspamd        # spam filters that ask the list
    swaks                      # SMTP for people to read
    faketime                   # sets the time for programs under test
    iproute2 procps            # namespaces, ss, sysctl
    strace                     # counts Exim's system calls
    logrotate                  # renames the audit trail
    systemd                    # checks the unit file; a container may lack it
)
packages+=("$@")
# What runs by itself after an installation, and the package that brings it.
declare -A services=(
    [exim4.service]=exim4-base
    [exim4-base.timer]=exim4-base
    [unbound.service]=unbound
    [unbound-resolvconf.service]=unbound
    [nsd.service]=nsd
    [knot.service]=knot
    [nats-server.service]=nats-server
    [rspamd.service]=rspamd
    [spamassassin-maintenance.timer]=spamassassin
    [rbldnsd.service]=rbldnsd
    [pdns.service]=pdns-server
    [logrotate.timer]=logrotate
)

die() {
    echo "setup: $*" >&2
    exit 1
}

is_installed() {
    [[ $(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null) == installed ]]
}

has_systemd() {
    [[ -d /run/systemd/system ]]
}

[[ $EUID -eq 0 ]] || die "must be run as root: it installs Debian packages"
command -v apt-get dpkg-query >/dev/null || die "apt-get not found: this needs Debian 12 or a descendant"

missing=()
for package in "${packages[@]}"; do
    is_installed "$package" || missing+=("$package")
done

if [[ ${#missing[@]} -gt 0 ]]; then
    echo "setup: installing ${missing[*]}"
    export DEBIAN_FRONTEND=noninteractive
    options=(-qq --no-install-recommends -o Dpkg::Use-Pty=0)
    apt-get -qq update || die "apt-get update failed: is there a network?"

    # exim4-daemon-light may go, for -heavy replaces it; another mail server must not.
    removed=$(apt-get -s "${options[@]}" install "${missing[@]}" |
        awk '$1 == "Remv" && $2 !~ /^exim4-/ { print $2 }')
    [[ -z $removed ]] || die "would remove: ${removed//$'\n'/ }. Use a machine without another mail server"

    ran=()
    new=()
    for service in "${!services[@]}"; do
        is_installed "${services[$service]}" || new+=("$service")
        if has_systemd && systemctl -q is-active "$service"; then ran+=("$service"); fi
    done

    # The usual way to say "start nothing during installation"; another's file is left alone.
    policy=/usr/sbin/policy-rc.d
    if [[ ! -e $policy ]]; then
        trap 'rm -f "$policy"' EXIT
        printf '#!/bin/sh\nexit 101\n' >"$policy"
        chmod 755 "$policy"
    fi
    output=$(apt-get "${options[@]}" install "${missing[@]}" 2>&1) ||
        die "installation failed: $output"
    # spamassassin's installation leaves one running.
    if command -v gpgconf >/dev/null && [[ -d /var/lib/spamassassin/sa-update-keys ]]; then
        gpgconf --homedir /var/lib/spamassassin/sa-update-keys --kill gpg-agent 2>/dev/null || true
    fi

    if has_systemd; then
        for service in "${ran[@]}"; do
            systemctl -q is-active "$service" || systemctl start "$service"
        done
        for service in "${new[@]}"; do
            # Not every version of a package has each of them.
            systemctl -q disable --now "$service" 2>/dev/null || true
        done
    fi
fi

# For tests of postscreen; where it cannot be had, those fail and say so.
top=$(dirname "$(dirname "$(realpath "${BASH_SOURCE[0]}")")")
"$top/tests/postfix.sh" "$(realpath -m "${CARGO_TARGET_DIR:-$top/target}")/postfix" || true

command -v cargo >/dev/null || die "cargo not found in the PATH of root. Install Rust from \
https://rustup.rs; if it is another user's, run: sudo env \"PATH=\$PATH\" $0"
