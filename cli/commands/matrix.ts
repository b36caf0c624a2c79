import {
  matrixCsv,
  matrixJson,
  matrixMarkdown,
  matrixSvg,
  matrixText,
  serviceMatrix,
} from "../../lib/index.ts";
import { InputError } from "../errors.ts";
import { requireOneHost } from "../fleet.ts";
import { type HostArgs, inputs } from "../inputs.ts";
import { print, printJson, style } from "../output.ts";

interface MatrixArgs extends HostArgs {
  readonly by: "network" | "container";
  readonly format: "text" | "markdown" | "csv" | "svg";
  readonly spoofing?: boolean | undefined;
  readonly json?: boolean | undefined;
  readonly budget?: number | undefined;
}

/** Runs `fwcheck matrix`. @returns 1 if spoofed packets get in, else 2 if something is inconclusive */
export function run(args: MatrixArgs): number {
  requireOneHost(args.rules, "matrix");
  if (args.budget !== undefined && !(args.budget > 0))
    throw new InputError("--budget takes a number above 0");
  const { rulesets, host } = inputs(args);
  const { by, budget, spoofing } = args;
  if (spoofing === true && by === "container")
    throw new InputError("--spoofing looks at interfaces and networks; leave out --by container");
  const sources = spoofing === true ? "spoofed" : "own";
  const matrix = serviceMatrix(rulesets, host, { by, budget, sources });
  if (args.json === true) printJson(matrixJson(matrix));
  else if (args.format === "markdown") print(matrixMarkdown(matrix));
  else if (args.format === "csv") print(matrixCsv(matrix));
  else if (args.format === "svg") print(matrixSvg(matrix));
  else print(matrixText(matrix, style()));
  const getsIn = matrix.families.some(({ cells }) => cells.some(({ entries }) => entries.length > 0));
  if (spoofing === true && getsIn) return 1;
  return matrix.doubts.length > 0 ? 2 : 0;
}
