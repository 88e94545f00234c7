#!/bin/bash
# The demonstration: a rejection at one mail server becomes a refusal at another.
#
#   sudo examples/demo.sh
#
# Installs what it needs (Debian packages, none of whose services are left running), builds, and
# plays the story in network namespaces of its own: no packet leaves the machine. At the end, or
# when interrupted, it takes away all that it made except the build in target/; the packages stay.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

if [[ $EUID -ne 0 ]]; then
    echo "examples/demo.sh must be run as root: it installs Debian packages and makes network namespaces" >&2
    exit 1
fi

# ---------------------------------------------------------------- telling the story

bold='' plain=''
if [[ -t 1 ]]; then
    bold=$'\e[1m' plain=$'\e[0m'
fi
chapter_number=0
checks=0

chapter() {
    chapter_number=$((chapter_number + 1))
    printf '\n%s%d. %s%s\n' "$bold" "$chapter_number" "$1" "$plain"
}

say() {
    printf '%s\n' "$@"
}

# Shows a command as one would type it, runs the rest, and shows and keeps what comes out.
shown=''
show() {
    local typed=$1
    shift
    printf '\n   %s$ %s%s\n' "$bold" "$typed" "$plain"
    shown=$("$@" 2>&1) || true
    printf '%s\n' "$shown" | sed 's/^/   /'
}

# The story must be true: stops when the last output shown has no line like this.
expect() {
    if ! grep -qE -- "$1" <<<"$shown"; then
        printf '\nThe demonstration failed: expected a line like  %s\n' "$1" >&2
        exit 1
    fi
    checks=$((checks + 1))
}

# Puts the clock of the servers and of the tool forward, and shows it: SECONDS after the start.
pass_time() {
    local before
    before=$("${under_clock[@]}" date +%T)
    set_ahead "$1"
    printf '\n   %s[ The clock of mx1 and mx2 is put forward: %s → %s ]%s\n' \
        "$bold" "$before" "$("${under_clock[@]}" date +%T)" "$plain"
}

# Waits up to a minute until a command succeeds: the machine may be busy.
wait_for() {
    local what=$1
    shift
    local end=$((SECONDS + 60))
    while [[ $SECONDS -lt $end ]]; do
        if "$@" >/dev/null 2>&1; then return; fi
        sleep 0.05
    done
    printf '\nThe demonstration failed: waited in vain for %s\n' "$what" >&2
    tail -n 20 "$work"/*.out >&2 || true
    exit 1
}

# ---------------------------------------------------------------- cleaning up

name=eximrbl-demo-$$
internet=$name-internet mx1=$name-mx1 mx2=$name-mx2
work=''
servers=()

clean_up() {
    local status=$? process namespace
    set +e
    for process in "${servers[@]}"; do kill "$process" 2>/dev/null; done
    for _ in {1..100}; do
        kill -0 "${servers[@]}" 2>/dev/null || break
        sleep 0.05
    done
    for namespace in "$internet" "$mx1" "$mx2"; do
        [[ -e /run/netns/$namespace ]] || continue
        for process in $(ip netns pids "$namespace"); do kill -KILL "$process" 2>/dev/null; done
        ip netns del "$namespace"
        rm -rf "/etc/netns/$namespace"
    done
    rmdir /etc/netns 2>/dev/null
    # What libfaketime leaves of a program that was ended by a signal.
    for process in "${servers[@]}"; do
        rm -f "/dev/shm/faketime_shm_$process" "/dev/shm/sem.faketime_sem_$process"
    done
    [[ -z $work ]] || rm -rf "$work"
    exit "$status"
}
trap clean_up EXIT
trap 'exit 130' INT TERM HUP

# ---------------------------------------------------------------- set-up and build

say "Set-up and build. The first time this takes some minutes."
tests/setup.sh
cargo build --release --workspace --locked --quiet
target=$(realpath -m "${CARGO_TARGET_DIR:-target}")/release

work=$(mktemp -d "${TMPDIR:-/tmp}/$name-XXXXXX")
chmod 755 "$work"
# Exim's user must reach the library, and a checkout in /root is closed to it.
install -m 644 "$target/libeximrbl.so" "$work/eximrbl.so"

# ---------------------------------------------------------------- three hosts

ip netns add "$internet"
ip -n "$internet" link set lo up
ip -n "$internet" link add bridge0 type bridge
ip -n "$internet" addr add 198.51.100.254/24 dev bridge0
ip -n "$internet" link set bridge0 up
# Every address of this network is a client here.
ip -n "$internet" route add local 203.0.113.0/24 dev lo

add_host() { # NAMESPACE ADDRESS
    ip netns add "$1"
    ip -n "$1" link set lo up
    ip link add eth0 netns "$1" type veth peer name "port${2##*.}" netns "$internet"
    ip -n "$internet" link set "port${2##*.}" master bridge0 up
    ip -n "$1" addr add "$2/24" dev eth0
    ip -n "$1" link set eth0 up
    ip -n "$1" route add 203.0.113.0/24 via 198.51.100.254
}
add_host "$mx1" 198.51.100.10
add_host "$mx2" 198.51.100.20
# Whoever removes the last other namespace takes away /etc/netns, perhaps just now.
wait_for "/etc/netns/$mx2" mkdir -p "/etc/netns/$mx2"
echo "nameserver 127.0.0.1" >"/etc/netns/$mx2/resolv.conf"

# Time can be set for the servers and the tool, and for them alone.
clock=$work/ahead
set_ahead() {
    echo "+$1" >"$clock.new"
    mv "$clock.new" "$clock"
}
set_ahead 0
libfaketime=$(echo /usr/lib/*/faketime/libfaketime.so.1)
under_clock=(env "LD_PRELOAD=$libfaketime" "FAKETIME_TIMESTAMP_FILE=$clock" FAKETIME_NO_CACHE=1
    FAKETIME_DONT_FAKE_MONOTONIC=1)

start_server() { # NAME NAMESPACE COMMAND…
    local output=$work/$1.out namespace=$2
    shift 2
    "${under_clock[@]}" ip netns exec "$namespace" "$@" </dev/null >"$output" 2>&1 &
    servers+=($!)
}
eximrbl() {
    "${under_clock[@]}" "$target/eximrbl" --table "$work/state/table" "$@"
}
listens() { # NAMESPACE PORT KIND
    [[ -n $(ip netns exec "$1" ss -Hln"$3" "sport = :$2") ]]
}
not_listens() {
    ! listens "$@"
}

# ---------------------------------------------------------------- their configurations

mkdir "$work/state"
cat >"$work/eximrbl.toml" <<TOML
version = 1

[table]
path = "$work/state/table"
slots = 4096

[policy]
never = ["198.51.100.20"]    # our own backup MX

[control]
socket = "$work/state/control"

[dns]
listen = ["198.51.100.10:53"]
user = "nobody"

[[zone]]
name = "rbl.example.org"
txt = "rejections at mx1.example.org: {count}"
TOML

write_exim() { # NAME HOSTNAME, and on standard input the ACLs and all after them
    local folder=$work/$1
    mkdir "$folder" "$folder/spool" "$folder/log"
    chown Debian-exim:Debian-exim "$folder/spool" "$folder/log"
    {
        cat <<EXIM
primary_hostname = $2
spool_directory = $folder/spool
log_file_path = $folder/log/%slog
pid_file_path = $folder/spool/exim.pid
domainlist local_domains = example.org
deliver_drop_privilege = true
host_lookup =
rfc1413_hosts =
tls_advertise_hosts =
keep_environment = ^FAKETIME
EXIM
        cat
    } >"$folder/exim.conf"
}

write_exim mx1 mx1.example.org <<EXIM
LIB = $work/eximrbl.so
add_environment = EXIMRBL_TABLE=$work/state/table
acl_smtp_rcpt = acl_check_rcpt

begin acl
acl_check_rcpt:
  accept  domains     = +local_domains
          local_parts = good
  deny    message     = no such user
          log_message = unknown user\${if exists{LIB}{\${dlfunc{LIB}{rbl_record}{\$sender_host_address}{rcpt}}}}

begin routers
good:
  driver = accept
  transport = mailbox
begin transports
mailbox:
  driver = appendfile
  file = $work/mx1/spool/mailbox
  user = Debian-exim
EXIM

write_exim mx2 mx2.example.org <<'EXIM'
acl_smtp_connect = acl_check_connect
acl_smtp_rcpt = acl_check_rcpt
acl_smtp_data = acl_check_data

begin acl
acl_check_connect:
  deny    message     = blacklisted at $dnslist_domain: $dnslist_text
          log_message = blacklisted at $dnslist_domain
          dnslists    = rbl.example.org
  accept
acl_check_rcpt:
  accept  domains     = +local_domains
acl_check_data:
  accept

begin routers
primary:
  driver = manualroute
  domains = +local_domains
  transport = onward
  route_list = * 198.51.100.10
bounces:
  driver = accept
  transport = nowhere
begin transports
onward:
  driver = smtp
nowhere:
  driver = appendfile
  file = /dev/null
  user = Debian-exim
EXIM

cat >"$work/unbound.conf" <<UNBOUND
server:
    interface: 127.0.0.1
    chroot: ""
    directory: "$work"
    username: ""
    pidfile: ""
    use-syslog: no
    module-config: "iterator"
    qname-minimisation-strict: yes
remote-control:
    control-enable: no
UNBOUND
sed 's/192\.0\.2\.10/198.51.100.10/' examples/unbound/eximrbl.conf >>"$work/unbound.conf"

start_server eximrbld "$mx1" "$target/eximrbld" --config "$work/eximrbl.toml"
start_server unbound "$mx2" unbound -d -c "$work/unbound.conf"
wait_for "eximrbld" listens "$mx1" 53 u
wait_for "unbound" listens "$mx2" 53 u
start_exim() { # NAME NAMESPACE
    start_server "exim-$1" "$2" exim4 -C "$work/$1/exim.conf" -bdf -oX 25
    wait_for "Exim on $1" listens "$2" 25 t
}
start_exim mx1 "$mx1"
start_exim mx2 "$mx2"

# ---------------------------------------------------------------- what the actors can do

# A client sends a message: ITS-ADDRESS SERVER RECIPIENTS (with commas between them).
send() {
    local server=198.51.100.10 typed=$3
    [[ $2 == mx1 ]] || server=198.51.100.20
    [[ ${#typed} -lt 40 ]] || typed=${typed:0:32}…
    show "swaks --local-interface $1 --server $2.example.org --to $typed" \
        ip netns exec "$internet" swaks --local-interface "$1" --server "$server" --to "$3" \
        --from sender@client.example --helo client.example --protocol SMTP \
        --hide-informational --suppress-data
}
# The backup's resolver is asked about an address: ADDRESS TYPE.
ask() {
    local a b c d
    IFS=. read -r a b c d <<<"$1"
    show "dig $d.$c.$b.$a.rbl.example.org $2      # on mx2, through its resolver" \
        ask_server 127.0.0.1 "$d.$c.$b.$a.rbl.example.org" "$2"
}
# Of dig's output: the status and the records.
ask_server() { # SERVER NAME TYPE
    ip netns exec "$mx2" dig "@$1" +noall +comments +answer +authority +noedns "$2" "$3" |
        grep -E '^[^;]|^;; .*status|SECTION'
}
# The last line of an Exim's rejectlog: HOST, and a pattern of the line, which Exim may write a moment
# after its reply. Each Exim of the story has its own.
rejectlog() {
    wait_for "a line in the rejectlog of $1" grep -qE -- "$2" "$work/$1/log/rejectlog"
    show "tail -n 1 $work/$1/log/rejectlog      # on $1" tail -n 1 "$work/$1/log/rejectlog"
}
tool() {
    show "eximrbl $*      # on mx1" eximrbl "$@"
}

cat <<STORY

${bold}The story's places${plain}

   clients                        mx1.example.org  198.51.100.10    the primary MX
   203.0.113.0/24  ── SMTP ──►    Exim + eximrbl.so ──► table ──► eximrbld (DNS)
        │                                                            ▲
        │                                                            │ rbl.example.org?
        └───────── SMTP ─────►    Exim ──────────────────────► unbound
                                  mx2.example.org  198.51.100.20    the backup MX

   All that follows really happens, in network namespaces of this machine. Of dig's output the
   status and the records are shown, of swaks's the SMTP dialogue.
STORY

chapter "mx1 records what it rejects; mx2 refuses whom the list has"
say "   On mx1, the ACL as it was, with a call in the line that is logged:"
sed -n '/^acl_check_rcpt:/,/rbl_record/s/^/      /p' "$work/mx1/exim.conf"
say "" "   On mx2, a plain DNS blocklist, asked when a client connects:"
sed -n '/^acl_check_connect:/,/^  accept/s/^/      /p' "$work/mx2/exim.conf"

chapter "A client that nobody has rejected is welcome at mx2"
say "   The list does not have it, and the answer may be kept for 60 seconds, no longer."
ask 203.0.113.99 A
expect 'NXDOMAIN'
expect '[[:space:]](60|59|58)[[:space:]]+IN[[:space:]]+SOA.* 60$'
send 203.0.113.99 mx2 good@example.org
expect '<-  250 OK id='

chapter "Another client tries an unknown user at mx1, and is rejected"
send 203.0.113.7 mx1 nobody@example.org
expect '550 no such user'

chapter "In the same moment DNS has it"
ask 203.0.113.7 A
expect 'IN[[:space:]]+A[[:space:]]+127\.0\.0\.2'
ask 203.0.113.7 TXT
expect 'TXT[[:space:]]+"rejections at mx1\.example\.org: 1"'
tool show 203.0.113.7
expect '203\.0\.113\.7 is listed'

chapter "So mx2 refuses it before it says a word"
send 203.0.113.7 mx2 good@example.org
expect '550 blacklisted at rbl\.example\.org: rejections at mx1\.example\.org: 1$'
refusal='H=\[203\.0\.113\.7\] rejected connection in "connect" ACL: blacklisted at rbl\.example\.org$'
rejectlog mx2 "$refusal"
expect "$refusal"

chapter "Ten rejections list for ten times as long as one"
send 203.0.113.10 mx1 "$(printf 'no%s@example.org,' 1 2 3 4 5 6 7 8 9)no10@example.org"
expect '550 no such user'
tool list
expect '^203\.0\.113\.7 +listed +1 +(10|9|8)min'
expect '^203\.0\.113\.10 +listed +10 +1h(40|39|38)min'

chapter "The life of a listing runs down"
say "   The first client had 600 seconds. With less than 60 of them left it is free again, that is" \
    "   541 seconds after its rejection. The other one is not."
pass_time 541
ask 203.0.113.7 A
expect 'NXDOMAIN'
ask 203.0.113.10 A
expect 'IN[[:space:]]+A[[:space:]]+127\.0\.0\.2'
send 203.0.113.7 mx2 good@example.org
expect '<-  250 OK id='

chapter "An administrator forgives"
tool forgive 203.0.113.10
expect 'forgiven'
say "" "   eximrbld forgets at once:"
show "dig @mx1.example.org 10.113.0.203.rbl.example.org A" \
    ask_server 198.51.100.10 10.113.0.203.rbl.example.org A
expect 'NXDOMAIN'
say "" "   mx2's resolver forgets when the TTL of its cached answer is over, after at most 300 seconds:"
pass_time 850
ask 203.0.113.10 A
expect 'NXDOMAIN'

chapter "White beats black"
tool white 203.0.113.10
send 203.0.113.10 mx1 nobody@example.org
expect '550 no such user'
tool show 203.0.113.10
expect 'is not listed: whitelisted'

chapter "mx2 relays mail that mx1 rejects, and is not listed for it: it is on the never-list"
send 203.0.113.50 mx2 unknown@example.org
expect '<-  250 OK id='
rejection='\[198\.51\.100\.20\].* rejected RCPT <unknown@example.org>'
rejectlog mx1 "$rejection"
expect "$rejection"
tool show 198.51.100.20
expect 'is never listed'

chapter "One wrong recipient need not shut a client out: threshold = 2"
sed -i 's/^\[policy\]$/&\nthreshold = 2/' "$work/eximrbl.toml"
kill -HUP "${servers[0]}"
has_threshold() { grep -qE 'threshold[^0-9]+2\b' <<<"$(eximrbl policy)"; }
wait_for "the new policy" has_threshold
say "   In eximrbld's configuration on mx1, [policy] has got a line threshold = 2, and eximrbld was told" \
    "   to read it again (SIGHUP, as systemctl reload does). Then a client mistypes one address:"
send 203.0.113.60 mx1 god@example.org
expect '550 no such user'
say "" "   and may still deliver to the right one, by way of mx2:"
send 203.0.113.60 mx2 good@example.org
expect '<-  250 OK id='
tool show 203.0.113.60
expect 'is not listed: 1 rejection counted, 2 would list it'

chapter "Or let mx2 only mark the mail of listed clients, and refuse nothing"
say "   mx2's Exim is started again, with these ACLs:"
kill "${servers[-1]}"
wait_for "Exim on mx2 to stop" not_listens "$mx2" 25 t
cat >"$work/warn" <<'ACL'
acl_check_data:
  warn    remove_header = X-RBL
  warn    dnslists      = rbl.example.org
          add_header    = X-RBL: $sender_host_address listed at $dnslist_domain: $dnslist_text
ACL
sed -i -e '/^acl_check_connect:/,/^  accept/c acl_check_connect:\n  accept' \
    -e "/^acl_check_data:/{r $work/warn" -e 'd}' "$work/mx2/exim.conf"
sed -n -e '/^acl_check_connect:/,/^  accept/s/^/      /p' \
    -e '/^acl_check_data:/,/^  accept/s/^/      /p' "$work/mx2/exim.conf"
start_exim mx2 "$mx2"
say "" "   A second wrong recipient lists the client; its mail still gets through, with a mark on it:"
send 203.0.113.60 mx1 god@example.org
expect '550 no such user'
say "" "   mx2's resolver has it within a minute: for so long may it keep that the client is not listed."
pass_time 950
send 203.0.113.60 mx2 good@example.org
expect '<-  250 OK id='
is_marked() { grep -q '^X-RBL: ' "$work/mx1/spool/mailbox"; }
wait_for "the marked mail" is_marked
show "grep X-RBL: mailbox      # the recipient's, on mx1" grep X-RBL: "$work/mx1/spool/mailbox"
expect '^X-RBL: 203\.0\.113\.60 listed at rbl\.example\.org: rejections at mx1\.example\.org: 2$'

say "" "${bold}All $checks checks of the story held.${plain} What stays is the build in $target, and the Debian" \
    "packages that were installed for it."
