import {
  type Audit,
  audit,
  auditText,
  type Expectation,
  ExpectationError,
  readExpectations,
  safe,
  sarif,
} from "../../lib/index.ts";
import manifest from "../../package.json" with { type: "json" };
import { fleet, hosts } from "../fleet.ts";
import { HOST_KINDS, type HostArgs, inputs, missingFamily, Refused, read } from "../inputs.ts";
import { json, print, progress, style } from "../output.ts";

interface AuditArgs extends HostArgs {
  readonly json?: boolean | undefined;
  readonly sarif?: boolean | undefined;
  readonly failOn?: string | undefined;
  readonly expect?: string | undefined;
  readonly budget?: number | undefined;
}

/**
 * `fwcheck audit`: 1 when something is found that `--fail-on` names, or exposed that `--expect` does not; 2 when nothing
 * was found but not all could be settled; else 0. With `--expect`, findings count only where `--fail-on` asks for them.
 */
export function run(args: AuditArgs): number | Promise<number> {
  const several = hosts(args.rules ?? []);
  return several === null ? one(args) : many(several, args);
}

/** Several hosts: a line for each. */
function many(paths: readonly string[], args: AuditArgs): Promise<number> {
  const owned = HOST_KINDS.find((kind) => args[kind] !== undefined);
  if (owned !== undefined) throw new Refused(`--${owned} belongs to one host, and several are named`);
  if (args.sarif === true) throw new Refused("--sarif takes one host, and several are named");
  const flags = [
    ...(args.failOn === undefined ? [] : ["--fail-on", args.failOn]),
    ...(args.expect === undefined ? [] : ["--expect", args.expect]),
    ...(args.budget === undefined ? [] : ["--budget", String(args.budget)]),
  ];
  return fleet(paths, flags, args.json === true);
}

function one(args: AuditArgs): number {
  const { rulesets, host } = inputs(args);
  missingFamily(rulesets);
  const expect = args.expect === undefined ? undefined : expectations(args.expect);
  if (args.budget !== undefined && !(args.budget > 0)) throw new Refused("--budget takes a number above 0");
  const { say, end } = progress(args.json === true && process.stdout.isTTY !== true);
  const result = audit(rulesets, host, { expect, budget: args.budget, progress: say });
  end();
  if (args.sarif === true)
    json(sarif(result, new Map(rulesets.map((r) => [r.family, r.source])), manifest.version));
  else if (args.json === true) json(result);
  else print(auditText(result, style()));
  if (result.exposures.some((e) => e.unexpected !== undefined)) return 1;
  if (fails(result, args.failOn ?? (expect === undefined ? "any" : "none"))) return 1;
  return result.findings.length === 0 && result.inconclusive.length > 0 ? 2 : 0;
}

function expectations(path: string): Expectation[] {
  const source = read(path);
  try {
    return readExpectations(source.text);
  } catch (error) {
    if (error instanceof ExpectationError) throw new Refused(safe(`${source.name}: ${error.message}`));
    throw error;
  }
}

const KINDS = [
  "ingress-bypass",
  "egress-bypass",
  "direct-bypass",
  "loopback-bypass",
  "forward-bypass",
  "ineffective-allow",
  "lint",
];

/** Whether a result has something that `--fail-on` names: any, must, none, or kinds of findings, and lint. */
function fails({ findings, lint }: Audit, wanted: string): boolean {
  if (wanted === "none") return false;
  if (wanted === "any") return findings.length > 0;
  if (wanted === "must") return findings.some((f) => f.certainty === "must");
  const kinds = wanted.split(",");
  const unknown = kinds.find((kind) => !KINDS.includes(kind));
  if (unknown !== undefined)
    throw new Refused(`--fail-on takes any, must, none, or some of ${KINDS.join(", ")}`);
  return findings.some((f) => kinds.includes(f.kind)) || (kinds.includes("lint") && lint.length > 0);
}
