/** Sentences about a migration of DOCKER-USER to nftables, and its JSON document. */
import type { Migration } from "../../fix/migrate.ts";
import { counted } from "./list.ts";
import { safe } from "./terminal.ts";

/** A migration as JSON. Sentences may change between releases; codes and fields change only with `version`. */
export interface MigrationJson {
  /** Version of this format. */
  readonly version: 1;
  /** The tables of all families can be used: each rule is translated, and the proofs hold. */
  readonly holds: boolean;
  /** One entry for each family with rules in DOCKER-USER. */
  readonly families: readonly (Migration & {
    /** The result in sentences. */
    readonly summary: readonly string[];
  })[];
}

/** Returns the JSON document of a migration. */
export const migrationJson = (migrations: readonly Migration[]): MigrationJson => ({
  version: 1,
  holds: migrations.every(({ text, difference }) => text !== "" && difference === null),
  families: migrations.map((each) => ({
    ...each,
    text: each.difference === null ? each.text : "",
    summary: sentences(each),
  })),
});

/** Returns the summary that `fwcheck fix --migrate` writes to stderr. */
export function migrationText(migrations: readonly Migration[]): string {
  if (migrations.length === 0)
    return "DOCKER-USER has no rules of its owner in the given rules: there is nothing to migrate.\n";
  return migrations
    .flatMap(sentences)
    .map((line) => `${safe(line)}\n`)
    .join("");
}

function sentences({ family, untranslated, accepts, difference }: Migration): string[] {
  const prefix = `IPv${family}: `;
  if (untranslated.length > 0)
    return [
      `${prefix}no rules are printed: nft has no exact form for ${counted(untranslated.length, "rule")} of DOCKER-USER.`,
      ...untranslated.map(
        ({ rule, part, line }) => `${prefix}${line > 0 ? `line ${line}: ` : ""}${rule}: no form for ${part}`,
      ),
    ];
  if (difference !== null)
    return [
      `${prefix}no rules are printed: the proof fails for the packet ${JSON.stringify(difference)}; please report this.`,
    ];
  return [
    `${prefix}The proof holds: at the forward hook both stop the same packets and write the same marks, for all packets in every state.`,
    ...accepts.map(
      (rule) =>
        `${prefix}${rule}: in nftables an accept does not override a drop of another table. If Docker drops these packets, they stay dropped.`,
    ),
    `${prefix}Load it after the switch of backends: nft -f FILE. Undo: nft delete table ${family === 4 ? "ip" : "ip6"} docker-user`,
  ];
}
