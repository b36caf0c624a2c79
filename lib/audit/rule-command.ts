/**
 * Commands that people type for rules outside the main backend of iptables: nft(8), firewall-cmd(1) for what firewalld wrote,
 * and the program of the other backend.
 */
import { knownChain } from "../host/known/chains.ts";
import { maskBits, type Prefix, printAddress } from "../packet/address.ts";
import { type Family, hasPorts, protoName } from "../packet/field.ts";
import { hasOnly, plain, plainPorts, type Reading } from "../rules/reading.ts";
import { iptablesName, namedBackend, programOf, type Rule } from "../rules/ruleset.ts";

/** Chains of a zone or policy that contain the rules of firewall-cmd (firewalld's nftables backend). */
const FIREWALLD_CHAIN = /^filter_(?:IN|OUT|FWD)_(policy_)?(.+)_(?:pre|deny|allow|post)$/;

/**
 * Returns the command that adds a rule of nftables or of the other backend of iptables; `null` for a rule of the main
 * backend, and for one that no person types.
 * @param text the rule as nft or iptables-save prints it
 */
export function ruleCommand(rule: Rule, text: string, family: Family): string | null {
  const name = iptablesName(rule.table);
  if (name !== null) {
    const backend = namedBackend(rule.table);
    return backend === null
      ? null
      : `${programOf(backend, family)} ${name === "filter" ? "" : `-t ${name} `}${text}`;
  }
  const program = knownChain(rule.table, rule.chain)?.by;
  if (program === "firewalld") return firewallCommand(rule);
  return program === undefined ? `nft add rule ${rule.table} ${rule.chain} ${text}` : null;
}

/** Returns the command of firewall-cmd for a port or a rich rule; `null` for any other rule. */
function firewallCommand({ action, chain, reading }: Rule): string | null {
  const [, policy, name] = FIREWALLD_CHAIN.exec(chain) ?? [];
  const isVerdict = action === "accept" || action === "drop" || action === "reject";
  if (name === undefined || !isVerdict || !hasOnly(reading, "src", "proto", "destinationPorts")) return null;
  const [port, ...ports] = portTexts(reading);
  const source = plain(reading.src);
  if (ports.length > 0 || (port === undefined && source === undefined)) return null;
  const target = `firewall-cmd --${policy === undefined ? "zone" : "policy"}=${name}`;
  if (source === undefined && action === "accept") return `${target} --add-port=${port!.join("/")}`;
  const parts = [
    "rule",
    ...(source === undefined
      ? []
      : [`family="${familyOf(source)}"`, `source address="${prefixText(source)}"`]),
    ...(port === undefined ? [] : [`port port="${port[0]}" protocol="${port[1]}"`]),
    action,
  ];
  return `${target} --add-rich-rule='${parts.join(" ")}'`;
}

/** Returns the ports of a rule with the name of their protocol. */
function portTexts({ destinationPorts, proto }: Reading): (readonly [port: string, proto: string])[] {
  const number = proto === undefined || proto.not ? undefined : proto.value;
  if (number === undefined || !hasPorts(number)) return [];
  return plainPorts(destinationPorts).map(([first, last]) => [
    first === last ? String(first) : `${first}-${last}`,
    protoName(number),
  ]);
}

const familyOf = ({ address }: Prefix): string => (typeof address === "number" ? "ipv4" : "ipv6");

function prefixText({ address, mask }: Prefix): string {
  const bits = maskBits(mask);
  const isHost = bits === (typeof address === "number" ? 32 : 128);
  return isHost ? printAddress(address) : `${printAddress(address)}/${bits}`;
}
