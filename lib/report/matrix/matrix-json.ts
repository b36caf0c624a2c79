/** The service matrix as a JSON document. */
import type { MatrixEntry } from "../../compare/entry-writer.ts";
import type { MatrixCell, ServiceMatrix } from "../../compare/service-matrix.ts";
import type { DoubtJson } from "../audit-json.ts";
import { doubtJson } from "../audit-json.ts";
import { doubtText } from "../text/audit-sentences.ts";
import { inferenceText } from "../text/inference-text.ts";
import { entryText } from "./entry-text.ts";

/** An entry, with its sentence. */
export interface MatrixEntryJson extends MatrixEntry {
  /** The entry in words. */
  readonly text: string;
}

/** The JSON document of a service matrix. */
export interface MatrixJson extends Omit<ServiceMatrix, "families" | "doubts"> {
  /** Version of the document's format. */
  readonly version: 1;
  /** `complete`, or `inconclusive` where there are doubts. */
  readonly outcome: "complete" | "inconclusive";
  /** One for each family. */
  readonly families: readonly (Omit<ServiceMatrix["families"][number], "cells"> & {
    readonly cells: readonly (Omit<MatrixCell, "entries"> & {
      readonly entries: readonly MatrixEntryJson[];
    })[];
  })[];
  /** Facts that were inferred, a sentence for each of `inferences`. */
  readonly inferred: readonly string[];
  /** Reasons why the matrix may be wrong, a sentence for each of `doubts`. */
  readonly inconclusive: readonly string[];
  /** The same as codes with typed fields. */
  readonly doubts: readonly DoubtJson[];
}

/** Returns the JSON document of a service matrix. */
export const matrixJson = ({ sources, families, inferences, doubts }: ServiceMatrix): MatrixJson => ({
  version: 1,
  sources,
  outcome: doubts.length === 0 ? "complete" : "inconclusive",
  families: families.map((family) => ({
    ...family,
    cells: family.cells.map((cell) => ({
      ...cell,
      entries: cell.entries.map((entry) => ({ ...entry, text: entryText(entry) })),
    })),
  })),
  inferred: inferences.map(inferenceText),
  inferences,
  inconclusive: doubts.map(doubtText),
  doubts: doubts.map(doubtJson),
});
