/** The change that lets stopped packets through, in words. */
import type { QueryChange } from "../../compare/query-change.ts";
import { indented, type Style, safe } from "../text/terminal.ts";

/** Returns a change in one sentence, without its commands. */
export function changeSentence(change: QueryChange): string {
  switch (change.code) {
    case "proved":
      return `this change lets the stopped packets through${change.exceptRefused ? ", except those that the kernel itself refuses" : ""}; of all first packets of connections, none outside of the expression is treated differently:`;
    case "nothing-stopped":
      return "no rule or policy stops a packet of the expression for certain";
    case "engine-chain":
      return `chain ${change.chain} of table ${change.table} stops packets. A container engine writes it, and no rule in another chain lets them through: publish the port, or change the engine's configuration`;
    case "none-proved":
      return "no change of few rules was proved to let exactly these packets through; a narrower expression may have one";
  }
}

/** Returns a change as lines: the sentence, then a command for each rule. */
export function changeText(change: QueryChange, family: string, style: Style): string[] {
  const lines = indented(style.bold(`${family} to allow:`), safe(changeSentence(change)));
  if (change.code !== "proved") return lines;
  return [
    ...lines,
    ...change.rules.flatMap(({ command, bothFamilies }) => [
      // A command stays one line, so that it can be copied.
      `  ${safe(command)}`,
      ...(bothFamilies ? ["    (ufw adds it to the other family, too; the proof is about this one)"] : []),
    ]),
  ];
}
