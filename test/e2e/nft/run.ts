/**
 * fwcheck fix for nftables, for real: hosts of ../shared/captures-nft in network namespaces, with the captured tables of
 * their engines, real listeners and clients. What clients reach before the fix is what was measured on the captured host.
 * What the owner's rules decide of published ports is measured with listeners and without the engine's tables. With each
 * strategy and form, every connection has to end as that says.
 */
import { existsSync } from "node:fs";
import { closed } from "../lab.ts";
import { CAPTURES } from "./capture.ts";
import { down } from "./capture-host.ts";
import { judgeCaptured } from "./captured.ts";
import { HOSTS, WEB } from "./hosts.ts";
import { judgeLifecycle } from "./lifecycle.ts";
import { judgeMigration } from "./migration.ts";
import { check, say, summary } from "./record.ts";

const NEEDED = [
  "nft",
  "iptables-nft-restore",
  "ip6tables-nft-restore",
  "conntrack",
  "dbus-daemon",
  "firewalld",
  "firewall-cmd",
  "podman",
  "runc",
];
const why =
  closed(NEEDED, "nftables iptables conntrack socat busybox-static firewalld dbus podman netavark runc") ??
  (existsSync(CAPTURES) ? undefined : "the end-to-end test of nftables needs ../shared/captures-nft");
if (why !== undefined) {
  say(`skipped: ${why}`);
  process.exit(0);
}
for (const signal of ["SIGINT", "SIGTERM"] as const)
  process.on(signal, () => {
    down();
    process.exit(1);
  });
const only = new RegExp(/^nft ?(.*)/.exec(process.env.E2E_ONLY ?? "")?.[1] ?? "");
try {
  for (const captured of HOSTS) if (only.test(captured.name)) await judgeCaptured(captured);
  for (const captured of HOSTS.slice(0, 2))
    if (only.test(`lifecycle of ${captured.name}`)) await judgeLifecycle(captured, WEB);
  if (only.test("migration")) await judgeMigration();
} catch (error) {
  check("no error", false, error instanceof Error ? error.stack : String(error));
} finally {
  down();
}
process.exit(summary());
