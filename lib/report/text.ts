/** What people read: a packet, its trace, the fix. */
import type { Fix } from "../fix/fix.ts";
import type { PacketJson } from "../packet/packet.ts";
import { printRule } from "../rules/print.ts";
import { chainOf, type Ruleset } from "../rules/ruleset.ts";
import type { Answer } from "../simulate/simulate.ts";
import type { Step } from "../simulate/state.ts";
import { PLAIN, type Style, safe } from "./style.ts";

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

/** The way of a packet, table by table, as the kernel's TRACE would report it. */
export function traceText(answer: Answer, rulesets: readonly Ruleset[], style: Style = PLAIN): string {
  const ruleset = rulesets.find((r) => r.family === (answer.packet.dst.includes(":") ? 6 : 4));
  const out = [style.bold(packetText(answer.packet)), ""];
  if (answer.branches === undefined) out.push(...steps(answer.path, ruleset, style));
  else
    answer.branches.forEach((branch, i) => {
      out.push(
        style.yellow(`either way ${i + 1}: ${branch.assumptions.map(safe).join("; ")}`),
        ...steps(branch.path, ruleset, style),
        `  ${sentence(branch, style)}`,
        "",
      );
    });
  for (const assumption of answer.branches === undefined ? answer.assumptions : [])
    out.push(`${style.dim("assumed:")} ${safe(assumption)}`);
  out.push("", sentence(answer, style));
  return `${out.join("\n")}\n`;
}

function steps(path: readonly Step[], ruleset: Ruleset | undefined, style: Style): string[] {
  const rows: { text: string; line: string }[] = [];
  let stack: string[] = [];
  let table = "";
  for (const step of path) {
    if (step.table !== table || !stack.includes(step.chain)) {
      const called = step.table === table && stack.length > 0 && rows.length > 0;
      if (!called) stack = [];
      stack.push(step.chain);
      if (stack.length === 1) rows.push({ text: style.cyan(`${step.table} ${safe(step.chain)}`), line: "" });
      table = step.table;
    }
    while (stack.at(-1) !== step.chain) stack.pop();
    const indent = "  ".repeat(stack.length);
    if (step.step === "policy") rows.push({ text: `${indent}policy ${step.policy}`, line: "" });
    else if (step.step === "return")
      rows.push({ text: style.dim(`${indent}end of ${safe(step.chain)}`), line: "" });
    else {
      const rule =
        ruleset === undefined
          ? undefined
          : chainOf(ruleset, step.table, step.chain)?.rules.find((r) => r.index === step.rule);
      const text =
        rule === undefined || ruleset === undefined
          ? `-j ${safe(step.target)}`
          : safe(printRule(rule, ruleset));
      rows.push({
        text: `${indent}${step.rule}: ${text}`,
        line: step.line > 0 ? style.dim(`  (line ${step.line})`) : "",
      });
    }
    if (step.step !== "rule") stack.pop();
    if (step.step === "policy") stack = [];
  }
  return rows.map((row) => `  ${row.text}${row.line}`);
}

function sentence(answer: Omit<Answer, "packet" | "branches">, style: Style): string {
  const { verdict, delivery, out, sent, reason } = answer;
  const because = reason === undefined ? "" : `: ${safe(reason)}`;
  const last = answer.path.at(-1);
  const by =
    last === undefined
      ? ""
      : last.step === "rule"
        ? ` by ${last.table} ${safe(last.chain)} rule ${last.rule}`
        : last.step === "policy"
          ? ` by the policy of ${last.table} ${last.chain}`
          : "";
  const header = sent === null ? "" : ` as ${at(sent.src, sent.sport)} -> ${at(sent.dst, sent.dport)}`;
  if (verdict === "undecided") return style.yellow("UNDECIDED: the inputs do not tell; see the assumptions");
  if (verdict !== "accept")
    return style.red(`${verdict.toUpperCase()}${reason === undefined ? by : because}`);
  if (delivery === "local") return style.green(`ACCEPT: delivered to the host itself${because}`);
  return style.green(
    `ACCEPT: ${delivery === "forward" ? "forwarded" : "sent"} out of ${safe(out ?? "?")}${header}${because}`,
  );
}

/** What a fix does, why, and what its proof says; the rules themselves are printed in their own form. */
export function fixText(fix: Fix, style: Style = PLAIN): string {
  const out: string[] = [];
  for (const c of fix.choices) out.push(`${style.bold(safe(c.endpoint))}: ${c.strategy}; ${safe(c.because)}`);
  for (const f of fix.failed) out.push(`${style.red("cannot:")} ${safe(f)}`);
  const { closed, remaining, changed } = fix.proof;
  out.push(
    `proof: ${closed.length} finding${closed.length === 1 ? "" : "s"} closed, ${remaining.length} remaining, ${changed.length} packets changed that should not be`,
  );
  for (const id of remaining) out.push(`  ${style.red("remains:")} ${safe(id)}`);
  for (const c of changed) out.push(`  ${style.red("changed:")} ${c.why}: ${packetText(c.packet)}`);
  out.push(
    fix.holds
      ? style.green("The proof holds, over all packets.")
      : style.red("The proof does not hold; no rules are printed."),
  );
  return `${out.join("\n")}\n`;
}
