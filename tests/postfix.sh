#!/bin/bash
# Unpacks Debian's postfix into a folder, for tests of its postscreen and smtpd. It is not installed:
# that would drive out Exim. The libraries that it needs are installed.
#
#   tests/postfix.sh FOLDER    does nothing when it is there
#
# Run as root by tests/setup.sh, and by the tests themselves when that was left out.
set -euo pipefail

[[ $# -eq 1 ]] || { echo "usage: $0 FOLDER" >&2; exit 2; }
folder=$1
[[ ! -x $folder/usr/lib/postfix/sbin/master ]] || exit 0

not_run() {
    echo "NOT RUN: the tests of postscreen and smtpd need Debian's package postfix, and $*" >&2
    exit 1
}

scratch=$(mktemp -d "${TMPDIR:-/tmp}/eximrbl-postfix-XXXXXX")
trap 'rm -rf "$scratch"' EXIT
apt() {
    DEBIAN_FRONTEND=noninteractive timeout 300 apt-get -qq -o APT::Sandbox::User=root \
        -o DPkg::Lock::Timeout=120 -o Dpkg::Use-Pty=0 "$@"
}
cd "$scratch"
apt download postfix || not_run "apt-get cannot download it: is there a network? Run apt-get update"
dpkg -x postfix_*.deb root

# `libc6 (>= 2.34), libdb5.3, …, debconf (>= 0.5) | debconf-2.0`: the libraries that are missing.
missing=()
for name in $(dpkg-deb -f postfix_*.deb Depends | tr ',' '\n' | awk '$1 ~ /^lib/ { print $1 }'); do
    [[ $(dpkg-query -W -f '${db:Status-Status}' "$name" 2>/dev/null) == installed ]] ||
        missing+=("$name")
done
if [[ ${#missing[@]} -gt 0 ]]; then
    apt install --no-install-recommends "${missing[@]}" >/dev/null ||
        not_run "its libraries cannot be installed: ${missing[*]}"
fi

# Beside its place first: another run of this sees all of it, or nothing.
mkdir -p "$(dirname "$folder")"
mv root "$folder.$$"
mv -T "$folder.$$" "$folder" 2>/dev/null || rm -rf "$folder.$$"
[[ -x $folder/usr/lib/postfix/sbin/master ]] || not_run "$folder could not be made"
