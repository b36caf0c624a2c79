/**
 * Compares ufw commands with the real ufw, which runs in a namespace and with an /etc/ufw of its own: the commands
 * derived from the rules in force must be exactly those that `ufw show added` lists.
 */
import { spawnSync } from "node:child_process";
import { readRuleset } from "fwcheck";
import { describe, expect, test } from "vitest";
import { ufwCommand } from "../../lib/audit/ufw-rules.ts";

const COMMANDS = `
deny 8080/tcp
limit ssh
allow 53
reject 113/tcp comment ident
allow out 25/tcp
allow out 53
deny out 6881:6889/udp
reject out to 192.0.2.0/24
deny out to any
allow from 198.51.100.0/24
deny from 192.0.2.66
deny in from any
deny in on eth0
allow from 198.51.100.7 to any port 5432 proto tcp
deny in on eth0 to any port 3306 proto tcp
limit in on eth0 to any port 2022 proto tcp
allow out on eth1 to 10.0.0.0/8
allow proto udp to any port 60000:61000
allow proto tcp to any port 80,443
allow proto tcp from any port 1024:65535 to any port 9000
allow to 203.0.113.1 port 8443 proto tcp
allow from 10.1.0.0/16 port 53 proto udp
allow from 10.9.0.0/16 to any port 7000
deny proto udp from 10.0.0.0/8 port 53 to 10.1.0.0/16 port 1024:2048
allow to any proto esp
allow to any proto igmp
allow in on eth1 to any proto gre
allow from 2001:db8:5::/64 to any port 443 proto tcp
allow log 2222/tcp
deny log-all 2223/tcp
limit log 28/tcp
allow out log 26/tcp
allow in on eth0 log to any port 27 proto tcp
allow 'Web Full'
deny Dns
allow from 10.77.0.0/16 to any app 'Web Full'
allow from 10.1.2.3 app Dns
allow log Mail
route allow in on eth0 out on eth1 to 10.99.0.2 port 80 proto tcp
route deny from 10.0.0.0/8 to 172.17.0.0/16
route reject in on eth2
route limit in on eth1 to any port 22 proto tcp
route allow proto tcp from any to any port 8080
`;

const SCRIPT = `
set -e
own=$(mktemp -d)
trap 'rm -rf "$own"' EXIT
mount --make-rprivate /
cp -a /etc/ufw "$own/etc"
sed 's/^IPV6=.*/IPV6=yes/' /etc/default/ufw > "$own/default"
mkdir "$own/lib"
mount --bind "$own/etc" /etc/ufw
mount --bind "$own/default" /etc/default/ufw
mount -t tmpfs tmpfs /run
if [ -d /var/lib/ufw ]; then mount --bind "$own/lib" /var/lib/ufw; fi
ip link set lo up
printf '[Web Full]\ntitle=w\ndescription=w\nports=80,443/tcp\n\n[Dns]\ntitle=d\ndescription=d\nports=53\n\n[Mail]\ntitle=m\ndescription=m\nports=25/tcp\n' > /etc/ufw/applications.d/own
while read -r line; do
  if [ -n "$line" ]; then eval "ufw $line" > "$own/output" 2>&1 || { cat "$own/output"; exit 1; }; fi
done
ufw --force enable > "$own/output" 2>&1 || { cat "$own/output"; exit 1; }
ufw show added | grep '^ufw '
echo ==
iptables-save
ip6tables-save
`;

const found = (program: string): boolean => spawnSync("sh", ["-c", `command -v ${program}`]).status === 0;
const why =
  process.platform !== "linux" || process.getuid?.() !== 0
    ? "needs root on Linux"
    : ["ufw", "unshare", "iptables-save", "ip6tables-save"]
        .filter((p) => !found(p))
        .map((p) => `needs ${p}`)[0];

describe.skipIf(why !== undefined)(`the real ufw${why === undefined ? "" : ` (${why})`}`, () => {
  test("the rules give every command as ufw prints it, and no other", { timeout: 120_000 }, () => {
    const run = spawnSync("unshare", ["-n", "-m", "bash", "-c", SCRIPT], {
      encoding: "utf8",
      input: COMMANDS,
    });
    expect([run.status, run.stderr.trim()]).toEqual([0, ""]);
    const [added, dump] = run.stdout.split("==\n") as [string, string];
    const listed = added
      .trimEnd()
      .split("\n")
      .map((line) => line.replace(/^ufw /, "").replace(/ comment '.*'$/, ""));
    expect(listed.length).toBeGreaterThan(35);
    const { rulesets, diagnostics } = readRuleset([{ name: "ufw", text: dump }]);
    expect(diagnostics).toEqual([]);
    const derived = rulesets.flatMap((ruleset) =>
      [...ruleset.tables.get("filter")!.chains.values()].flatMap((chain) =>
        chain.rules.flatMap((rule) => ufwCommand(rule, ruleset) ?? []),
      ),
    );
    expect([...new Set(derived)].sort()).toEqual([...new Set(listed)].sort());
  });
});
