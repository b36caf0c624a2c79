/** Prints a systemd unit that applies the script of a fix. */
import type { FixLanguage } from "../chain-names.ts";
import { type FamilyRules, heading, WAIT } from "./family.ts";
import { nftHeading } from "./nft.ts";

/** Path of the script. */
export const SCRIPT_PATH = "/usr/local/sbin/fwcheck-fix";

const HOW = `Save as /etc/systemd/system/fwcheck-fix.service, and the output of --format script as ${SCRIPT_PATH}; then: systemctl daemon-reload; systemctl enable --now fwcheck-fix. Check: sh ${SCRIPT_PATH} --check. Undo: systemctl disable fwcheck-fix; sh ${SCRIPT_PATH} --undo`;

/** Services that the unit starts after, and services whose start starts it. */
interface Services {
  readonly after: string;
  readonly wantedBy: string;
}

const SERVICES: Readonly<Record<FixLanguage, Services>> = {
  iptables: {
    // Objects that the fix may name must exist first: chains of fail2ban and CrowdSec, sets of ipset-persistent.
    after:
      "docker.service ufw.service netfilter-persistent.service ipset.service fail2ban.service crowdsec-firewall-bouncer.service",
    wantedBy: "docker.service multi-user.target",
  },
  nftables: {
    // nftables.service flushes the ruleset when it starts.
    after: "nftables.service firewalld.service ufw.service docker.service",
    wantedBy: "nftables.service firewalld.service docker.service multi-user.target",
  },
};

/**
 * Returns a unit that applies the script each time docker.service starts. The unit does not remain active: a restart of
 * Docker must not undo the fix, and a start job of docker.service starts the unit only if it is inactive
 * (systemd.unit(5), `Wants=`).
 */
export const unit = (families: readonly FamilyRules[]): string =>
  unitText(
    heading(
      families.filter((part) => part.chains.size > 0),
      HOW,
    ),
    SERVICES.iptables,
  );

/**
 * Returns a unit that applies the script of a fix for nftables each time Docker, nftables.service or firewalld starts.
 * @param listing output of `nft list ruleset` that was analysed; `null` if it is not known
 */
export const nftUnit = (listing: string | null): string =>
  unitText(nftHeading(listing, HOW), SERVICES.nftables);

const unitText = (head: readonly string[], { after, wantedBy }: Services): string =>
  `${[
    ...head,
    "[Unit]",
    "Description=The firewall's own policy for containers (fwcheck)",
    `After=${after}`,
    "",
    "[Service]",
    "Type=oneshot",
    // The analysed rules may be older than those of this boot; --force applies the fix with a warning.
    `ExecStart=/bin/sh ${SCRIPT_PATH} --force`,
    // Two families wait once each for the lock.
    `TimeoutStartSec=${4 * WAIT}`,
    "",
    "[Install]",
    `WantedBy=${wantedBy}`,
  ].join("\n")}\n`;
