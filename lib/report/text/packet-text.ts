/** What people read: a packet, the fix. */
import { type Fix, type Left, leftText } from "../../fix/fix.ts";
import type { PacketJson } from "../../packet/packet.ts";
import { PLAIN, type Style, safe } from "./terminal.ts";

/** `1 rule`, `2 rules`. */
export const counted = (count: number, what: string): string => `${count} ${what}${count === 1 ? "" : "s"}`;

/** An address with its port, where it has one. */
export const at = (address: string, port: number | null | undefined): string =>
  port === null || port === undefined
    ? address
    : address.includes(":")
      ? `[${address}]:${port}`
      : `${address}:${port}`;

/** A packet in one line: `tcp 203.0.113.2:40000 -> 203.0.113.1:8080 [S] in eth0`. */
export function packetText(p: PacketJson): string {
  const flags = p.flags === undefined ? "" : ` [${p.flags}]`;
  const icmp = p.type === undefined ? "" : ` type ${p.type}${p.code === undefined ? "" : ` code ${p.code}`}`;
  const where = p.in === null || p.in === undefined ? "from the host itself" : `in ${safe(p.in)}`;
  return `${p.proto ?? "tcp"} ${at(p.src, p.sport)} -> ${at(p.dst, p.dport)}${flags}${icmp} ${where}`;
}

/** A packet as the flags of `fwcheck simulate`. */
export function packetFlags(p: PacketJson): string {
  const word = (text: string): string =>
    /^[A-Za-z0-9_.:@-]+$/.test(text) ? text : `'${safe(text).replaceAll("'", "'\\''")}'`;
  const out = p.in === null || p.in === undefined ? ["--local"] : ["--in", word(p.in)];
  out.push("--src", p.src, "--dst", p.dst, "--proto", String(p.proto ?? "tcp"));
  if (p.sport !== undefined) out.push("--sport", String(p.sport));
  if (p.dport !== undefined) out.push("--dport", String(p.dport));
  if (p.flags !== undefined && p.flags !== "S") out.push("--tcp-flags", p.flags);
  if (p.type !== undefined) out.push("--icmp-type", String(p.type));
  return out.join(" ");
}

/** `a, b and 2 more`. */
function listed(names: readonly string[], most: number): string {
  const more = names.length - most;
  return more > 0 ? `${names.slice(0, most).join(", ")} (and ${more} more)` : names.join(", ");
}

/** Whether what a fix leaves is about its inputs, not about a finding that remains. */
const isUnsettled = ({ proof }: Fix, { finding }: Left): boolean =>
  finding === null || !proof.remaining.includes(finding);

/**
 * The result of a fix in one line: how many findings it closes, what stays open, in which family, and whether anything
 * is not settled.
 */
export function fixSummary(fix: Fix): string {
  const { proof, families, failed, holds } = fix;
  if (!holds) return "No rules are printed: the proof does not hold.";
  const { closed, remaining } = proof;
  const total = new Set([...closed, ...remaining]).size;
  const out: string[] = [];
  if (total > 0)
    out.push(
      remaining.length === 0
        ? `${counted(total, "finding")} closed`
        : `${closed.length} of ${counted(total, "finding")} closed; left open: ${listed(remaining, 3)}`,
    );
  else if (families.ipv4 !== "refused" && families.ipv6 !== "refused")
    out.push(failed.length === 0 ? "No findings, nothing to fix" : "No findings, and not all is settled");
  for (const [family, coverage] of [
    ["IPv4", families.ipv4],
    ["IPv6", families.ipv6],
  ] as const) {
    if (coverage === "refused") out.push(`${family} is not fixed: no rules are printed for it`);
    if (coverage === "open") out.push(`Not all of ${family} is fixed`);
    if (coverage === "absent") out.push(`${family} is not fixed: its rules were not given`);
  }
  const unsettled = fix.left.filter((each) => isUnsettled(fix, each)).map(leftText);
  if (unsettled.length > 0) out.push(`Not settled: ${listed(unsettled, 1)}`);
  return `${out.map(safe).join(". ")}.`;
}

/** What a fix does, why, and what its proof says; the rules themselves are printed in their own form. */
export function fixText(fix: Fix, style: Style = PLAIN): string {
  const out: string[] = [fixSummary(fix)];
  for (const c of fix.choices) out.push(`${style.bold(safe(c.endpoint))}: ${c.strategy}; ${safe(c.because)}`);
  for (const each of fix.left)
    out.push(`${style.red(isUnsettled(fix, each) ? "not settled:" : "left open:")} ${safe(leftText(each))}`);
  const { closed, remaining, changed } = fix.proof;
  out.push(
    `proof: ${closed.length} finding${closed.length === 1 ? "" : "s"} closed, ${remaining.length} remaining, ${changed.length} packets changed that should not be`,
  );
  for (const id of remaining) out.push(`  ${style.red("remains:")} ${safe(id)}`);
  for (const c of changed) out.push(`  ${style.red("changed:")} ${c.why}: ${packetText(c.packet)}`);
  for (const [family, cost] of Object.entries(fix.cost))
    if (cost !== null) {
      const passed = (which: "established" | "fresh" | "worst"): string =>
        `${cost.before[which]} before and ${cost.after[which]} with it`;
      out.push(
        `cost: ${family === "ipv4" ? "IPv4" : "IPv6"} packets pass in FORWARD: of an established flow ${passed("established")}, the first for a container ${passed("fresh")}, at worst ${passed("worst")}`,
      );
    }
  for (const w of fix.warnings) out.push(`${style.yellow("note:")} ${safe(w)}`);
  if (fix.inForce) out.push("These rules are in force already.");
  out.push(
    fix.holds
      ? style.green(
          fix.failed.length === 0
            ? "The proof holds, over all packets."
            : "The proof holds, over all packets, for what is closed; what is left open stands above.",
        )
      : style.red("The proof does not hold; no rules are printed."),
  );
  return `${out.join("\n")}\n`;
}
