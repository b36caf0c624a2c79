import { matrixCsv, matrixJson, matrixMarkdown, matrixText, serviceMatrix } from "../../lib/index.ts";
import { InputError } from "../errors.ts";
import { requireOneHost } from "../fleet.ts";
import { type HostArgs, inputs } from "../inputs.ts";
import { print, printJson, style } from "../output.ts";

interface MatrixArgs extends HostArgs {
  readonly by: "network" | "container";
  readonly format: "text" | "markdown" | "csv";
  readonly json?: boolean | undefined;
  readonly budget?: number | undefined;
}

/** Runs `fwcheck matrix`. @returns 2 if something is inconclusive */
export function run(args: MatrixArgs): number {
  requireOneHost(args.rules, "matrix");
  if (args.budget !== undefined && !(args.budget > 0))
    throw new InputError("--budget takes a number above 0");
  const { rulesets, host } = inputs(args);
  const matrix = serviceMatrix(rulesets, host, { by: args.by, budget: args.budget });
  if (args.json === true) printJson(matrixJson(matrix));
  else if (args.format === "markdown") print(matrixMarkdown(matrix));
  else if (args.format === "csv") print(matrixCsv(matrix));
  else print(matrixText(matrix, style()));
  return matrix.doubts.length > 0 ? 2 : 0;
}
