/** Prints a systemd unit that applies the script of a fix. */
import { type FamilyRules, heading, WAIT } from "./family.ts";

/** Path of the script. */
export const SCRIPT_PATH = "/usr/local/sbin/fwcheck-fix";

/**
 * Returns a unit that applies the script each time docker.service starts. The unit does not remain active: a restart of
 * Docker must not undo the fix, and a start job of docker.service starts the unit only if it is inactive
 * (systemd.unit(5), `Wants=`).
 */
export function unit(families: readonly FamilyRules[]): string {
  const parts = families.filter((part) => part.chains.size > 0);
  return `${[
    ...heading(
      parts,
      `Save as /etc/systemd/system/fwcheck-fix.service, and the output of --format script as ${SCRIPT_PATH}; then: systemctl daemon-reload; systemctl enable --now fwcheck-fix. Check: sh ${SCRIPT_PATH} --check. Undo: systemctl disable fwcheck-fix; sh ${SCRIPT_PATH} --undo`,
    ),
    "[Unit]",
    "Description=The firewall's own policy for containers (fwcheck)",
    // Objects that the fix may name must exist first: chains of fail2ban and CrowdSec, sets of ipset-persistent.
    "After=docker.service ufw.service netfilter-persistent.service ipset.service fail2ban.service crowdsec-firewall-bouncer.service",
    "",
    "[Service]",
    "Type=oneshot",
    // The analysed rules may be older than those of this boot; --force applies the fix with a warning.
    `ExecStart=/bin/sh ${SCRIPT_PATH} --force`,
    // Two families wait once each for the lock.
    `TimeoutStartSec=${4 * WAIT}`,
    "",
    "[Install]",
    "WantedBy=docker.service multi-user.target",
  ].join("\n")}\n`;
}
