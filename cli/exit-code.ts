/** What an audit's result means for the exit code, by what the command line asks for. */
import { type Audit, type Expectation, ExpectationError, readExpectations, safe } from "../lib/index.ts";
import { Refused, read } from "./files.ts";

/** The ports that a file says may be open. @throws Refused */
export function expectations(path: string): Expectation[] {
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

/** Returns the exit code: 1 for what `--fail-on` and `--expect` count, else 2 if something is not settled, else 0. */
export function judged(
  result: Audit,
  failOn: string | undefined,
  expect: readonly Expectation[] | undefined,
): number {
  if (result.exposures.some((e) => e.unexpected !== undefined)) return 1;
  if (fails(result, failOn ?? (expect === undefined ? "any" : "none"))) return 1;
  return result.inconclusive.length > 0 ? 2 : 0;
}
