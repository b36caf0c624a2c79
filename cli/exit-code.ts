/** Computes the exit code of an audit from `--fail-on` and `--expect`. */
import { type Audit, type Expectation, ExpectationError, readExpectations, safe } from "../lib/index.ts";
import { InputError } from "./errors.ts";
import { readSource } from "./files.ts";

/** Reads a file of ports that may be open. @throws InputError */
export function readExpectationFile(path: string): Expectation[] {
  const source = readSource(path);
  try {
    return readExpectations(source.text);
  } catch (error) {
    if (error instanceof ExpectationError) throw new InputError(safe(`${source.name}: ${error.message}`));
    throw error;
  }
}

/** Values of `--fail-on` that can be combined. */
const KINDS = [
  "ingress-bypass",
  "egress-bypass",
  "direct-bypass",
  "loopback-bypass",
  "forward-bypass",
  "ineffective-allow",
  "lint",
];

/** Returns true if the result has a finding that `--fail-on` selects. @throws InputError */
function hasSelectedFinding({ findings, lint }: Audit, wanted: string): boolean {
  if (wanted === "none") return false;
  if (wanted === "any") return findings.length > 0;
  if (wanted === "must") return findings.some((f) => f.certainty === "must");
  const kinds = wanted.split(",");
  const unknown = kinds.find((kind) => !KINDS.includes(kind));
  if (unknown !== undefined)
    throw new InputError(`--fail-on takes any, must, none, or some of ${KINDS.join(", ")}`);
  return findings.some((f) => kinds.includes(f.kind)) || (kinds.includes("lint") && lint.length > 0);
}

/** Returns 1 for a finding that counts or an unexpected exposure, else 2 if the audit is inconclusive, else 0. */
export function auditExitCode(
  result: Audit,
  failOn: string | undefined,
  expect: readonly Expectation[] | undefined,
): number {
  if (result.exposures.some((e) => e.unexpected !== undefined)) return 1;
  if (hasSelectedFinding(result, failOn ?? (expect === undefined ? "any" : "none"))) return 1;
  return result.doubts.length > 0 ? 2 : 0;
}
