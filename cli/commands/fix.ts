import {
  type Family,
  type Fix,
  type FixLanguage,
  fix,
  fixJson,
  fixLanguage,
  fixText,
  leftOutRuleText,
  migrate,
  migrationJson,
  migrationText,
  PLAIN,
  type Strategy,
  ufwRefusalText,
} from "../../lib/index.ts";
import { requireOneHost } from "../fleet.ts";
import { type HostArgs, inputs } from "../inputs.ts";
import { holdStderr, printJson, printVerbatim, writeStderr } from "../output.ts";

type Format = "nft" | "restore" | "script" | "ufw" | "systemd" | "save";

interface FixArgs extends HostArgs {
  readonly strategy: Strategy | "auto";
  readonly format: Format;
  readonly family?: Family | undefined;
  readonly migrate?: boolean | undefined;
  readonly json?: boolean | undefined;
}

/**
 * Runs `fwcheck fix`: writes the rules to stdout, and the reasons and the proof to stderr. Without a proof that holds it
 * prints no rules.
 * @returns 1 if the proof does not hold, something stays open, or the form cannot contain a part of the fix; else 0
 */
export function run(args: FixArgs): number {
  requireOneHost(args.rules, "fix");
  if (args.migrate === true) return runMigration(args);
  // The first line of stderr is the result; warnings about the inputs follow.
  const { result, release } = holdStderr(() => {
    const { rulesets, host, sources } = inputs(args);
    const language = LANGUAGES[args.format] ?? fixLanguage(rulesets);
    // Tables of nftables have sets of their own; iptables-restore cannot create an ipset.
    const sets = language === "nftables" || args.format === "script" || args.format === "systemd";
    return fix(rulesets, host, { strategy: args.strategy, sets, language, inputs: sources });
  });
  const code = result.holds && result.left.length === 0 ? 0 : 1;
  if (args.json === true) {
    release();
    printJson(fixJson(result.holds ? result : withoutRules(result)));
    return code;
  }
  writeStderr(fixText(result, PLAIN));
  release();
  if (!result.holds) return 1;
  if (args.format === "save") printVerbatim(result.saved);
  else if (result.rules4.length + result.rules6.length > 0)
    return printForm(result, args.format, args.family) ? code : 1;
  return code;
}

/**
 * Prints the rules of DOCKER-USER as tables of nftables.
 * @returns 1 if a rule cannot be translated or a proof does not hold; else 0
 */
function runMigration(args: FixArgs): number {
  const { result, release } = holdStderr(() => {
    const { rulesets, host } = inputs(args);
    return migrate(rulesets, host);
  });
  const holds = result.every(({ text, difference }) => text !== "" && difference === null);
  if (args.json === true) {
    release();
    printJson(migrationJson(result));
    return holds ? 0 : 1;
  }
  writeStderr(migrationText(result));
  release();
  if (holds) for (const { text } of result) printVerbatim(text);
  return holds ? 0 : 1;
}

/** Language of the forms that have only one. */
const LANGUAGES: Readonly<Partial<Record<Format, FixLanguage>>> = {
  nft: "nftables",
  ufw: "iptables",
  restore: "iptables",
  save: "iptables",
};

/** Prints one form with its instructions; returns whether it contains the whole fix. */
function printForm(result: Fix, format: Exclude<Format, "save">, requested: Family | undefined): boolean {
  if (format === "script" || format === "systemd" || format === "nft") {
    printVerbatim({ script: result.script, systemd: result.unit, nft: result.nft }[format]);
    writeStderr(`${instructionsOf(format, result.language)}\n`);
    return true;
  }
  const both = result.rules4.length > 0 && result.rules6.length > 0;
  const family = requested ?? (result.rules4.length > 0 ? 4 : 6);
  const printed = format === "ufw" ? printUfw(result, family) : printRestore(result, family);
  if (printed === "nothing") return false;
  if (!both || requested !== undefined) return printed === "whole";
  const reader = format === "ufw" ? "/etc/ufw/after6.rules" : `${result.programs.ipv6}-restore`;
  writeStderr(
    `This form contains no IPv6 rules; run again with --family 6 for those, which are for ${reader}.\n`,
  );
  return false;
}

/** Result of printing a form: with all rules, with a part, or with none because the family needs none. */
type Printed = "whole" | "part" | "nothing";

function printUfw({ ufw }: Fix, family: Family): Printed {
  const refusals = ufw.refusals.filter((each) => each.family === family);
  for (const each of refusals) writeStderr(`cannot: ${ufwRefusalText(each)}\n`);
  if (refusals.length > 0) return "part";
  const text = family === 4 ? ufw.after : ufw.after6;
  printVerbatim(text);
  if (text === "") return needsNothing(family);
  const leftOut = ufw.leftOut.filter((each) => each.family === family);
  for (const each of leftOut) writeStderr(`left out: ${leftOutRuleText(each)}\n`);
  writeStderr(
    `Append it to /etc/ufw/after${family === 4 ? "" : "6"}.rules in place of an earlier block of fwcheck, then ufw reload.\n`,
  );
  // A program that adds its own rule again closes the gap as soon as it starts.
  return leftOut.some((each) => each.by === null) ? "part" : "whole";
}

function printRestore(result: Fix, family: Family): Printed {
  if (result.sets !== "") {
    writeStderr("cannot: an iptables-restore file cannot create ipsets; use --format script or systemd\n");
    return "part";
  }
  const text = family === 4 ? result.restore : result.restore6;
  printVerbatim(text);
  if (text === "") return needsNothing(family);
  writeStderr(
    `Apply it as root on the host: ${family === 4 ? result.programs.ipv4 : result.programs.ipv6}-restore --wait=30 --noflush < FILE. Its third line states when it applies.\n`,
  );
  return "whole";
}

function needsNothing(family: Family): "nothing" {
  writeStderr(
    `nothing is printed: IPv${family} needs no rules; run again with --family ${family === 4 ? 6 : 4}\n`,
  );
  return "nothing";
}

/** Returns the instructions for a form that contains both families. */
const instructionsOf = (format: keyof typeof INSTRUCTIONS, language: FixLanguage): string =>
  format === "script" && language === "nftables" ? NFT_SCRIPT : INSTRUCTIONS[format];

const NFT_SCRIPT =
  "Save it as fix.sh and run it as root on the host: sh fix.sh; then sh fix.sh --check, --undo or --cut. It holds until the next boot, or until flush ruleset; --format systemd holds at every boot.";

const INSTRUCTIONS = {
  nft: 'Save it as fwcheck.nft and load it as root on the host: nft -f fwcheck.nft. It holds until the next boot, or until flush ruleset; at the end of nftables.conf, include it: include "/etc/fwcheck.nft".',
  script:
    "Save it as fix.sh and run it as root on the host: sh fix.sh; then sh fix.sh --check, --undo or --cut. It holds until the next boot; --format ufw and systemd hold at every boot.",
  systemd:
    "Save it as /etc/systemd/system/fwcheck-fix.service, and the output of --format script as /usr/local/sbin/fwcheck-fix; then systemctl daemon-reload; systemctl enable --now fwcheck-fix.",
} as const;

const withoutRules = (result: Fix): Fix => ({
  ...result,
  rules4: [],
  rules6: [],
  nft: "",
  restore: "",
  restore6: "",
  sets: "",
  script: "",
  ufw: { after: "", after6: "", undo: [], refusals: [], leftOut: [] },
  unit: "",
  saved: "",
  undo: [],
});
