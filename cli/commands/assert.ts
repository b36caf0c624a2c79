import {
  assertPolicy,
  type Policy,
  PolicyError,
  policyJson,
  policyJunit,
  policyOutcome,
  policySarif,
  policyText,
  readPolicy,
  safe,
} from "../../lib/index.ts";
import manifest from "../../package.json" with { type: "json" };
import { InputError } from "../errors.ts";
import { readSource } from "../files.ts";
import { requireOneHost } from "../fleet.ts";
import { type HostArgs, inputs } from "../inputs.ts";
import { print, printJson, style } from "../output.ts";

interface AssertArgs extends HostArgs {
  readonly policy?: string | undefined;
  readonly json?: boolean | undefined;
  readonly junit?: boolean | undefined;
  readonly sarif?: boolean | undefined;
  readonly budget?: number | undefined;
}

const EXIT_CODES = { holds: 0, violated: 1, unsettled: 2 } as const;

/** Runs `fwcheck assert`. @returns 1 if a check is violated, else 2 if something is unsettled */
export function run(args: AssertArgs): number {
  const [rules, file] = withPolicy(args);
  requireOneHost(rules, "assert");
  if (args.budget !== undefined && !(args.budget > 0))
    throw new InputError("--budget takes a number above 0");
  const policy = policyOf(file);
  const { rulesets, host } = inputs({ ...args, rules });
  const result = assertPolicy(rulesets, host, policy, { budget: args.budget });
  if (args.sarif === true) printJson(policySarif(result, file, manifest.version));
  else if (args.junit === true) print(policyJunit(result));
  else if (args.json === true) printJson(policyJson(result));
  else print(policyText(result, style()));
  return EXIT_CODES[policyOutcome(result)];
}

/** Returns the inputs of the host and the policy file: that of `--policy`, else the last of the files. @throws InputError */
function withPolicy({ rules = [], policy }: AssertArgs): readonly [rules: readonly string[], policy: string] {
  if (policy !== undefined) return [rules, policy];
  const last = rules.at(-1);
  if (last === undefined || rules.length < 2)
    throw new InputError("name the host and then the policy file: fwcheck assert host.snap policy.yaml");
  return [rules.slice(0, -1), last];
}

/** Reads a policy. @throws InputError */
function policyOf(path: string): Policy {
  const source = readSource(path);
  try {
    return readPolicy(source.text);
  } catch (error) {
    if (error instanceof PolicyError) throw new InputError(safe(`${source.name}: ${error.message}`));
    throw error;
  }
}
