/** The audit as people read it. */
import type { Audit } from "../audit/audit.ts";
import type { Exposure, Finding } from "../audit/finding.ts";
import { columns, PLAIN, type Style, safe } from "./style.ts";
import { at, packetFlags, packetText } from "./text.ts";

/** What each kind of finding means, in a clause. */
export const KINDS: Readonly<Record<Finding["kind"], string>> = {
  "ingress-bypass": "a published port is open although the firewall blocks it",
  "loopback-bypass": "a port published on a loopback address is reached from outside",
  "direct-bypass": "a container is reached by its own address although the firewall blocks it",
  "egress-bypass": "a container sends what the firewall forbids the host",
  "forward-bypass": "Docker's rules forward what the firewall blocks",
  "ineffective-allow": "the firewall allows what Docker drops before it is asked",
};

const published = (e: Pick<Exposure, "listen" | "proto">): string =>
  `${e.listen.address === null ? "" : `${e.listen.address}:`}${e.listen.port ?? "any"}/${e.proto}`;

const container = (c: Finding["container"]): string =>
  c === null ? "" : `${c.name === null ? "" : `${safe(c.name)} `}${at(c.ip, c.port)}`;

/** What the owner's rules say, as a ufw command where it is one. */
export function intendedText({ rule }: Finding["intended"]): string {
  if ("policy" in rule) return rule.policy;
  return rule.ufw !== undefined ? `ufw ${safe(rule.ufw)}` : safe(rule.text);
}

/** A finding in one sentence. */
export function findingSentence(f: Finding): string {
  const who =
    f.container === null
      ? ""
      : ` (container ${container(f.container)}${f.listen === null ? "" : `, published as ${published({ listen: f.listen, proto: f.proto })}`})`;
  return `${KINDS[f.kind]}${who}: the firewall says ${f.intended.verdict} (${intendedText(f.intended)}), but ${f.from} gets through via ${f.in.join(", ")}; for instance ${packetText(f.witness)}`;
}

/** The audit as a person reads it: a table of what is exposed, then each finding with its proof. */
export function auditText(audit: Audit, style: Style = PLAIN): string {
  const out: string[] = [];
  const { findings, exposures, inconclusive, inferred } = audit;
  if (exposures.length > 0) {
    const rows = exposures.map((e) => {
      const finding = findings.find(
        (f) =>
          f.listen !== null &&
          f.family === e.family &&
          f.proto === e.proto &&
          f.listen.port === e.listen.port &&
          f.listen.address === e.listen.address,
      );
      const says = finding === undefined ? "allowed" : `${intendedText(finding.intended)}: BYPASSED`;
      return [published(e), container(e.endpoint), `${e.from} via ${e.in.map(safe).join(", ")}`, says];
    });
    out.push(style.bold("Published ports, who reaches them, and what the firewall says"));
    const [head, ...lines] = columns([["PUBLISHED", "CONTAINER", "REACHED BY", "FIREWALL"], ...rows]);
    out.push(
      `  ${style.dim(head!)}`,
      ...lines.map((l) => `  ${l.endsWith("BYPASSED") ? style.red(l) : l}`),
      "",
    );
  }
  for (const e of exposures) {
    if (e.unexpected === undefined) continue;
    const { from, witness } = e.unexpected;
    const who = `${from} via ${e.unexpected.in.map(safe).join(", ")}`;
    out.push(
      `${style.red("unexpected:")} ${published(e)} (${container(e.endpoint)}) is open to ${who}; for instance ${packetText(witness)}`,
    );
  }
  if (exposures.some((e) => e.unexpected !== undefined)) out.push("");
  for (const [i, f] of findings.entries()) out.push(...findingText(f, i + 1, style), "");
  for (const l of audit.lint) {
    const where = l.rule === null ? "" : ` (line ${l.rule.line}: ${safe(l.rule.text)})`;
    out.push(`${style.yellow("lint:")} ${l.kind}${where}: ${safe(l.message)}`);
  }
  for (const sentence of inconclusive) out.push(`${style.yellow("inconclusive:")} ${safe(sentence)}`);
  for (const sentence of inferred) out.push(`${style.dim("inferred:")} ${safe(sentence)}`);
  if (inconclusive.length + inferred.length + audit.lint.length > 0) out.push("");
  out.push(
    findings.length > 0
      ? style.red(
          `${findings.length} finding${findings.length === 1 ? "" : "s"}: the firewall does not govern these packets.`,
        )
      : inconclusive.length > 0
        ? style.yellow("No findings, but not everything could be settled: see above.")
        : style.green(
            "No findings: every packet that reaches a container does so with the firewall's consent.",
          ),
  );
  return `${out.join("\n")}\n`;
}

function findingText(f: Finding, number: number, style: Style): string[] {
  const { rule } = f.intended;
  const where = "policy" in rule ? "" : ` (line ${rule.line}: ${safe(rule.text)})`;
  const last = f.actual.path.findLast((s) => s.step === "rule");
  const by =
    last === undefined || last.step !== "rule"
      ? ""
      : `, by ${last.table} ${safe(last.chain)} rule ${last.rule} (line ${last.line})`;
  return [
    `${style.bold(`${number}. ${f.id}`)}${f.certainty === "may" ? style.yellow(" (possible)") : ""}`,
    `   ${KINDS[f.kind]}`,
    ...(f.container === null
      ? []
      : [
          `   container  ${container(f.container)}${f.listen === null ? "" : `, published as ${published({ listen: f.listen, proto: f.proto })}`}`,
        ]),
    `   firewall   ${f.intended.verdict}: ${intendedText(f.intended)}${where}${f.allowed === "nobody" ? "" : `; it lets through ${f.allowed}`}`,
    `   actual     ${f.actual.verdict}${by}; gets through: ${f.from}, via ${f.in.map(safe).join(", ")}`,
    ...(f.depends.length === 0 ? [] : [`   depends on ${f.depends.map(safe).join(", ")}`]),
    `   proof      ${packetText(f.witness)}`,
    `              fwcheck simulate RULES ${packetFlags(f.witness)}`,
  ];
}
