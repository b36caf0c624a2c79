import { existsSync } from "node:fs";
import {
  isQueryError,
  isSettled,
  type QueryAnswer,
  query,
  queryErrorText,
  queryJson,
  queryText,
} from "../../lib/index.ts";
import { InputError } from "../errors.ts";
import { requireOneHost } from "../fleet.ts";
import { type HostArgs, inputs } from "../inputs.ts";
import { print, printJson, style, writeStderr } from "../output.ts";

interface QueryArgs extends HostArgs {
  readonly expectEmpty?: boolean | undefined;
  readonly expectSome?: boolean | undefined;
  readonly explainDrop?: boolean | undefined;
  readonly json?: boolean | undefined;
  readonly budget?: number | undefined;
}

/** Runs `fwcheck query`. @returns the exit code */
export function run(args: QueryArgs): number {
  const [rules, expression] = [(args.rules ?? []).slice(0, -1), args.rules?.at(-1) ?? ""];
  if (rules.length === 0) {
    const missing = existsSync(expression) ? "an expression" : "the input with the rules";
    throw new InputError(`query takes the rules of a host and then an expression; ${missing} is missing`);
  }
  requireOneHost(rules, "query");
  if (args.budget !== undefined && !(args.budget > 0))
    throw new InputError("--budget takes a number above 0");
  if (args.expectEmpty === true && args.expectSome === true)
    throw new InputError("--expect-empty and --expect-some exclude each other");
  const { rulesets, host } = inputs({ ...args, rules });
  const answer = query(rulesets, host, expression, {
    budget: args.budget,
    explainDrop: args.explainDrop,
  });
  if (isQueryError(answer)) {
    const lines = queryErrorText(expression, answer).split("\n");
    for (const line of lines.slice(0, -1)) writeStderr(`${line}\n`);
    throw new InputError(lines.at(-1)!);
  }
  if (args.json === true) printJson(queryJson(answer));
  else print(queryText(answer, style()));
  return exitCode(answer, args);
}

function exitCode(answer: QueryAnswer, { expectEmpty, expectSome }: QueryArgs): number {
  const hasSome = answer.families.some(({ matches }) => matches === "some");
  const isSettledAnswer = isSettled(answer);
  if (expectEmpty === true && hasSome) return 1;
  if (expectSome === true && isSettledAnswer && !hasSome) return 1;
  return isSettledAnswer ? 0 : 2;
}
