//! What help and man pages say after the list of options: meaning of the output, exit statuses,
//! examples.

/// For `eximrbl` itself.
pub(crate) const GENERAL: &str = "\
Exit status:
  0  done; show: the address is listed; verify: the table is sound
  1  the answer is no: show: not listed; forgive: nothing was forgiven, or it is listed still;
     purge: there was nothing to undo; white 0: was not white, or is white still; verify: harmful
     findings
  2  it could not be done; the cause and what to do are on standard error

JSON:
  With --json, one object on one line, UTF-8. Every time stands twice: in RFC 3339 (UTC), and
  under the same key with _unix in seconds since 1970. What does not apply is null. Further keys
  may be added in later versions; those described in the commands' help stay. Errors are text on
  standard error.

Examples:
  eximrbl show 192.0.2.1              is it listed, and why?
  eximrbl forgive 192.0.2.1           end the listing now
  eximrbl white 192.0.2.0/24 86400    nobody in this network is listed for a day
  eximrbl black 2001:db8::1 spamtrap  count one rejection, for this reason
  eximrbl list --json | jq -r 'select(.count > 100) | .network'

Files:
  /var/lib/eximrbl/table       the table, unless --table or EXIMRBL_TABLE says otherwise
  /etc/eximrbl/eximrbl.toml    eximrbld's configuration, read by `policy --config`";

/// For `create`.
pub(crate) const CREATE: &str = "\
Run by root, the file gets the owner and group of a Debian mail server (see above), so that both
eximrbld and Exim may write it. Its mode is 0660. Run by others, it gets their own
user and group.

JSON: as for info.

Examples:
  eximrbl create
  eximrbl create --slots 4M
  eximrbl --table ./table create --slots 4096";

/// For `info`.
pub(crate) const INFO: &str = "\
Meaning:
  listed       black entries that list their address or network
  lifted       black entries that would, but lie in a white network or in the never-list
  below        black entries with fewer rejections than the threshold
  white        whitelisted addresses and networks
  expired      ended entries whose room is not yet used again
  quarantined  slots out of use until the death of the process that held them is proven
  serial       grows with every change; its low 32 bits are the zones' SOA serial
By reporter: the living entries that each has reported, and which part of all that is. local is
Exim on this host, admin this tool.

JSON keys:
  table bytes slots created created_unix listed lifted below white expired quarantined free serial
  policy {…as for policy} reasons [name…] reporters [name…] by_reporter {name: number…}
  counters {name: number…}

With --daemon: numbers since eximrbld's start; a reload keeps them. Only its user, the members of
the table's group and root may ask.
  unlisted     the name does not exist, or has no records of that type
  own          the zone's own SOA and NS records
  prohibited   the client is not among those that may ask the zone
  refused      the name is in no zone, or a transfer was asked for
  udp_quick    answered without the complete server, which the rest of UDP goes to (udp_complete)
  slipped      over the rate limit: told to come again by TCP; dropped: left without an answer
  ignored      no query at all: left without an answer
  declined     left to the complete server; overrun: dropped there, as too many others waited
  displaced    TCP connections closed to make room for another

JSON keys with --daemon (counts are cumulative):
  format       1; grows when a key changes its meaning
  version pid started started_unix uptime (seconds) table listen [address…]
  queries      {udp_quick udp_complete tcp}: packets by the way on which they were answered
  replies      {noerror formerr servfail nxdomain notimp refused badvers badcookie other slipped
               dropped ignored}: the same packets by what left as the answer
  cookies      {none client_only valid bad}: the same packets by their DNS cookie
  events       {declined overrun truncated unsent tcp_accepted tcp_refused tcp_timed_out
               tcp_displaced}
  workers      [number…]: the same packets by the thread that answered
  zones        [{name served queries}…]: served tells whether the zone is served now; queries
               {a txt other}, each {listed nxdomain nodata apex prohibited refused}
  no_zone other_zones   as queries of a zone: names in no zone; zones beyond the first 256 that
               reloads brought

Examples:
  eximrbl info
  eximrbl info --daemon
  eximrbl info --daemon --json | jq '.zones[] | {name, listed: .queries.a.listed}'";

/// For `show`.
pub(crate) const SHOW: &str = "\
An IPv6 address is kept by its prefix (/64 unless the policy says otherwise). A network is judged
as a whole: entries for parts of it do not count; `eximrbl list NETWORK` shows those.
A listing ends before its entry's life does: with less than the policy's floor (60 s) left, the
entry counts as gone. So `listed` names an earlier time than `life left`.

With --history, what was done about it follows, the newest last: reports, by whom and why; who lifted
or whitelisted it; changes of networks around it. It is read from eximrbld's audit trail and its
older files, also those that logrotate has compressed; where there is no trail, from the last 65536
changes, which the table keeps. `life until` is as it was when the line was written.

Exit status: 0 listed, 1 not listed, 2 error.

JSON keys:
  asked      the address as given
  key        the address or network that the table keeps it under
  listed     true or false: what DNS answers
  state      listed, test (127.0.0.2, always listed), never, white, below (the threshold), unknown
  threshold  rejections that list
  never      the network of the never-list that it lies in, or null
  entry      the entry that decides, or null:
             network white count endless remaining (seconds of life, null when endless)
             until until_unix (the end of its life) listed_until listed_until_unix (the end
             of the listing; null when it lists nobody, or without end) first first_unix
             last last_unix reasons [] reporters []
  lifted     the black entry that a white one lifts, or null
  dns_name   the name to ask for under a zone, null for networks
  history    with --history: source (audit or table), files [], problem (why there is no trail, or
             not all of it, or null), skipped (lines that were not understood), changes [], each
             with the keys of the trail's lines: docs/audit.md

Examples:
  eximrbl show 192.0.2.1
  eximrbl show 192.0.2.1 --history
  eximrbl show 2001:db8:1:2::25
  eximrbl show 192.0.2.0/24
  if eximrbl show 192.0.2.1 >/dev/null; then echo listed; fi";

/// For `list`.
pub(crate) const LIST: &str = "\
Columns, separated by spaces, none of them ever empty or with a space inside:
  NETWORK STATE COUNT LEFT LAST-SEEN REASONS REPORTERS
LEFT is the life left, `endless` without end; the listing ends the policy's floor (60 s) earlier.
REASONS and REPORTERS are joined by commas, - if
there are none, as for white entries. LAST-SEEN is in local time.

States: listed; white; below (fewer rejections than the threshold); lifted (it would be listed, but
lies in a white network or in the never-list). info counts each of them.

JSON: one object a line for each entry (JSON Lines), with the keys
  network state white count endless remaining until until_unix listed_until listed_until_unix
  first first_unix last last_unix reasons [] reporters []

Entries that change while the list is printed may appear as they were before or after.

Examples:
  eximrbl list | sort -k3,3nr | head       the worst
  eximrbl list --white                     the whitelist
  eximrbl list --all 192.0.2.0/24          all that is known within a network
  eximrbl list --reason auth --json        who failed to log in
  eximrbl list --reporter mx2              what mx2 has reported, alone or with others";

/// For `black`.
pub(crate) const BLACK: &str = "\
The reporter of these rejections is `admin`. A never-listed or whitelisted address is refused, with
exit status 2.

JSON: as for show, of the standing afterwards, and
  changed    true

Examples:
  eximrbl black 192.0.2.1
  eximrbl black 192.0.2.1 spamtrap 10
  eximrbl black 198.51.100.0/24 --endless";

/// For `white`.
pub(crate) const WHITE: &str = "\
It takes the place of the address's own black entry, whose count is forgotten; black entries inside
a white network wait, and run out meanwhile. Only whoever should be trusted belongs here. Hosts
that must never be listed at all, your own backup MXes first of all, belong into `never` of
eximrbld's configuration. Exim's rbl_allow may lengthen this, but never ends it.

Exit status: 0 done, 1 with SECONDS 0: was not white, or is white still through a network, 2 error.

JSON: as for show, of the standing afterwards, and
  changed    whether anything was done

Examples:
  eximrbl white 192.0.2.1            without end
  eximrbl white 192.0.2.0/24 86400   for a day
  eximrbl white 192.0.2.1 0          not any longer";

/// For `forgive`.
pub(crate) const FORGIVE: &str = "\
An address that is listed through a network stays listed: the output says which network to forgive.
To forgive a network leaves the entries of single addresses inside it.
A whitelisting is not touched: `eximrbl white IP 0` ends one. A listing without end is ended by
this command alone: Exim's rbl_forgive leaves it.

Exit status: 0 forgiven, 1 there was nothing to forgive, or it is listed still, 2 error.

JSON: as for show, of the standing afterwards, and
  changed    whether anything was forgiven

Examples:
  eximrbl forgive 192.0.2.1
  eximrbl forgive 198.51.100.0/24";

/// For `purge`.
pub(crate) const PURGE: &str = "\
First see to it that no more of it comes: take the reporter's [[reporter]] out of eximrbld's
configuration and reload, or mend the ACL. What is reported during a purge may stay; what is
reported after it counts.

The table keeps for each entry who reported it and why, but not how much of count and life was
whose. Where the last 65,536 changes still hold all reports of an entry, they are added up anew
without those that go, and the entry is as if these had never been. Of older ones count and life stay
as they are and run out: forgive what should not.
With --reason, the same is done to the reports for that reason.
What a reporter has forgiven, or whitelisted in the place of a listing, does not come back. What the
administrator listed or whitelisted stays, unless --all, --network or --reporter admin mean
it. Listings without end are no exception.

Whatever would empty the table, or undo the administrator's own work, needs --yes: --all,
--reporter admin, --network wider than a /8 (a /16 of IPv6).

Exit status: 0 something was undone (or would be), 1 there was nothing, or not all could be
undone, 2 error.

JSON keys:
  dry_run reporter reason network white    as asked for
  ended        listings that ended
  white_ended  whitelistings that ended
  reduced      entries that go on as if what was undone had never been
  kept         entries that go on, with all of their count and life
  left         entries that could not be changed just now

Examples:
  eximrbl purge --reporter mx2 --dry-run
  eximrbl purge --reporter mx2
  eximrbl purge --reason greeting --network 192.0.2.0/24
  eximrbl purge --all --yes";

/// For `verify`.
pub(crate) const VERIFY: &str = "\
Reads the whole table, beside a running system if need be: nobody is held up. A finding that is not
harmful costs a slot for a time, such as that of a writer that was killed, or a part of what `show`
prints.

With --repair, nobody is held up either. It
  takes back slots of owners who are gone: dead; or another process has their pid, which root can
    see; or nobody else has the table open, which root can see outside of containers
  finishes evictions that were begun
  ends entries that nobody can have made: a second one for one address (the one that look-ups
    answer stays), a life that no change makes
  puts slots to rest that hold what no writer writes: a writer who is stopped might still write
    there; they are used again once nobody else has the table open: stop eximrbld and Exim, run it
    again, and start them
  makes entries visible that their prefix length hid
  completes names whose text is known, and takes bits without a name out of entries
  moves the number of the newest event past all events
Not the policy: restart eximrbld, or run eximrbl policy --config FILE. For a harmful finding that is
left and names no other remedy, stop eximrbld and Exim, move the table away, and start them again:
eximrbld makes a new one.

Exit status: 0 sound, or all that was harmful is mended, 1 harmful findings (are left), 2 error.

JSON keys:
  sound      true unless a finding is harmful
  mended     with --repair, what was done [text…], else null
  findings   what was found, or with --repair what is left [{harmful, repairable, text}…]

Examples:
  eximrbl verify
  eximrbl verify --repair";

/// For `resize`.
pub(crate) const RESIZE: &str = "\
The folder must have room for both files, and be writable: run it as root or as eximrbl. The new
file has the owner, group and mode of the old one. While it works, the old one lies beside it as
table.old-…; should it be interrupted, eximrbld finishes the work within seconds, and so does the
next resize.
A quarter of the slots must stay free: `eximrbl info` shows how many entries there are.

JSON: as for info.

Examples:
  eximrbl resize --slots 4M
  eximrbl --table ./table resize --slots 8192";

/// For `import`.
pub(crate) const IMPORT: &str = "\
Formats:
  ip4set ip4trie ip6trie   rbldnsd's files: addresses, their first octets, networks, ranges, each
                           perhaps with a value such as :127.0.0.4:text. Texts are passed over
  plain                    an address, network or range such as 192.0.2.1-192.0.2.9 a line;
                           comments begin with # or ;
  csv                      columns as the first line names them, in any order: network white count
                           endless remaining until first last reasons reporters; only network must
                           be there. Names are separated by spaces
  json                     an object a line, as `list --json` and `export` print it; only the key
                           network must be there

What an entry becomes:
  Without --seconds, or a time in the list, it stays until it is ended by hand. It counts as many
  rejections as the policy's threshold asks for, so it is listed at once; in a zone with a quorum
  too, if it has no end, else together with other reporters. A black entry that ends lives for
  max_ttl at most.
  An exclusion (!192.0.2.9 of rbldnsd's files) becomes white: it lifts all that lies within it,
  and keeps Exim's rejections of it from counting; with --white it is passed over.
  IPv6 clients are kept by their prefix (/64 unless the policy says otherwise).
  With an entry that is there already it is joined: the later end, the larger count, the reasons
  and reporters of both. White stays white; what the administrator set keeps its colour.
  To undo it: eximrbl purge --reporter NAME.

A line that is wrong is told with file and number, the first 20 of them, and the rest is taken.
On a terminal a bar shows how far it is.

Exit status: 0 all lines were taken or set aside for a reason that is told, 1 there were bad lines,
or no room, 2 a file could not be read to its end, or the table not be changed.

JSON keys:
  dry_run    whether nothing was changed
  files      [{file format guessed lines error}…]; error is null unless it could not be read
  lines      in all files
  entries    networks taken; of them white, and lifted by a white network
  never kept expired excluded full   networks not taken: never listed; there in another colour that
             stays; over already; exclusions with --white; without room in the table
  bad        lines that were not understood
  texts      whether there were texts, which are not kept

With --rejectlog, a rejection has the age that the log gives it: its listing ends when it would have ended had it been
recorded at once, and what would be over by now is left out. A time without zone is in the host's.
Records of authenticated clients and temporary rejections do not count; --print-rules shows what does.

The client's own words stand unquoted in the log. What is recorded is the address that Exim spoke with;
a line that may be read in two ways is doubtful, and nothing is recorded. Don't import the log of an Exim
that records by rbl_record as well: it would count twice.

With --follow: rotation, by renaming or truncation, is followed; a log that is not there is waited for.
With --position, what was read before is not counted again, whatever name it has by now; a rotated log
is finished first, compressed or not.

Exit status with --rejectlog: 0 all was read, 1 a log could not be read, 2 error.

JSON keys with --rejectlog:
  lines        lines that were read
  recorded     rejections that are in the table now
  reasons      the same by reason {name: number…}
  over         rejections whose listing would be over by now
  never_listed white no_room   rejections that the table refused
  doubtful     lines that do not tell for certain whose they are
  skipped      lines about a client that no rule counts
  other        lines about nobody
  unfinished   lines that had no end where their file ended
  unread       logs that could not be read [text…]

Examples:
  eximrbl import --reporter drop --seconds 172800 drop.txt
  eximrbl import --codes auth=4,virus=8 --reason spam /var/lib/rbldns/list.ip4set
  eximrbl export --output table.json.new; eximrbl --table ./other import table.json.new
  zcat list.gz | eximrbl import --format plain --dry-run -
  eximrbl import --rejectlog /var/log/exim4/rejectlog
  eximrbl import --rejectlog /var/log/exim4/rejectlog*.gz --json
  eximrbl import --rejectlog /var/log/exim4/rejectlog --follow \\
    --position /var/lib/eximrbl/rejectlog.position";

/// For `export`.
pub(crate) const EXPORT: &str = "\
Formats:
  csv json                 every living entry as it is, also those that list nobody now: what import
                           takes back
  plain                    who is listed: the fewest networks that hold them
  ip4set ip4trie ip6trie   for rbldnsd; with --zone, with codes, texts, SOA and NS
  bind                     a zone file for BIND, NSD and Knot; needs --zone
  nftables                 sets black4 and black6 (with --white: white4, white6) of the table inet
                           eximrbl, whose elements end when the listing does: nft -f FILE

Who is listed is decided as eximrbld decides it: white and never-listed networks are cut out.
With --zone and --config, the zone's reasons, quorum, codes, texts and servers count.

What cannot be said:
  A file does not run down: write it anew every few minutes. In a set of nftables it does, but what
  a white network lifts stays out when that ends.
  rbldnsd has one TTL for all, positive_ttl_max; an ip4trie or ip6trie has one code for a network,
  the first.
  A zone file says networks by wildcards. Their texts have the network in the address's place, and
  they list names below addresses too. Names between the zone and its addresses exist only if
  something lies below them. A network that ends within an octet is several wildcards, and around
  a white address all others of its /24 stand by themselves.

With --output, the file is complete, or not there at all: it is written aside and renamed.

JSON, with --output:
  format output
  entries        written
  lifted         left out, since a white or never-listed network covers them
  other_family   left out, since the format is for the other address family
  notes          what could not be said [text…]

Examples:
  eximrbl export --format csv >table.csv
  eximrbl export --zone rbl.example.org --config /etc/eximrbl/eximrbl.toml --output rbl.zone
  eximrbl export --format nftables --output /run/eximrbl.nft && nft -f /run/eximrbl.nft";

/// For `policy`.
pub(crate) const POLICY: &str = "\
Keys for --set:
  base_ttl=SECONDS      how long one rejection lists; each further one adds as much
  max_ttl=SECONDS       the longest life that rejections add up to
  floor=SECONDS         with less life left than this, an entry counts as gone
  threshold=N           listed from the Nth rejection on
  ipv6_prefix=BITS      IPv6 clients are kept by their prefix of so many bits
  never=NET,NET…        networks that are never listed, beside reserved space; never= for none
  weights.REASON=N      how much a rejection for this reason counts; 0 takes the setting away

With --config, the table is the one of that file's [table] section, unless --table or EXIMRBL_TABLE
names another. A policy that contradicts itself is refused as a whole, and the one in force stays. It is in force
for all processes at once. Entries keep the life they have; new rejections follow the new policy.
After a change of ipv6_prefix, IPv6 entries kept by the old prefix run out by themselves.

JSON keys:
  base_ttl max_ttl floor threshold ipv6_prefix never [network…] weights {reason: number…}

Examples:
  eximrbl policy
  eximrbl policy --config /etc/eximrbl/eximrbl.toml
  eximrbl policy --set threshold=3 --set weights.auth=3";

/// For `completions`.
pub(crate) const COMPLETIONS: &str = "\
Examples:
  eximrbl completions bash >/usr/share/bash-completion/completions/eximrbl
  eximrbl completions zsh >/usr/local/share/zsh/site-functions/_eximrbl";

/// For `man`.
pub(crate) const MAN: &str = "\
Examples:
  eximrbl man | man -l -
  eximrbl man /usr/local/share/man/man8";
