import { defineCommand } from "../command.ts";
import {
  assumptionFlags,
  familyFlag,
  familyFlagValue,
  hostFlags,
  jsonFlag,
  rulesPositional,
} from "../flags.ts";

export const command = defineCommand({
  positionals: rulesPositional,
  flags: {
    strategy: {
      choices: ["auto", "internal-ip", "conntrack", "ipset"],
      default: "auto",
      describe:
        "how to match an endpoint: internal-ip (the container's address), conntrack (the original destination) or ipset (one set for many)",
    },
    format: {
      choices: ["script", "nft", "ufw", "systemd", "restore", "save"],
      default: "script",
      describe:
        "script: a shell script; nft: a file for nft -f; ufw: a block for ufw's after.rules; systemd: a unit that runs the script; restore: a file for iptables-restore; save: the whole ruleset including the fix",
    },
    migrate: {
      type: "boolean",
      describe:
        "print the rules of DOCKER-USER as tables of nftables, for a switch of Docker to its nftables backend, with a proof that both stop the same packets",
    },
    ...familyFlag("address family for --format ufw and restore; each family needs a file of its own"),
    ...assumptionFlags,
    ...hostFlags,
    ...jsonFlag,
  },
  examples: [
    ["A script that applies, checks and undoes the fix", "fwcheck fix host.snap > fix.sh"],
    [
      "A fix that stays valid when containers get other addresses",
      "fwcheck fix host.snap --strategy conntrack > fix.sh",
    ],
    [
      "Applied by ufw at every boot",
      "fwcheck fix host.snap --format ufw --family 4 >> /etc/ufw/after.rules && ufw reload",
    ],
    [
      "Rules of nftables, which need no chain DOCKER-USER",
      "fwcheck fix host.snap --format nft > fwcheck.nft && nft -f fwcheck.nft",
    ],
    [
      "The owner's own rules of DOCKER-USER for a Docker that uses nftables",
      "fwcheck fix host.snap --migrate > docker-user.nft && nft -f docker-user.nft",
    ],
    [
      "What would still be open with the fix",
      "fwcheck fix host.snap --format save | fwcheck audit - --assume complete",
    ],
  ],
  notes:
    "Exit code: 0; 1 if the proof does not hold, or if something stays open or is not part of the printed form, which is named on stderr; 2 if the call or the input is wrong.",
  run: async (args) => (await import("../commands/fix.js")).run({ ...args, family: familyFlagValue(args) }),
});
