import { type Family, type Fix, fix, fixText, PLAIN, type Strategy } from "../../lib/index.ts";
import { type HostArgs, inputs, missingFamily } from "../inputs.ts";
import { json, later, tell, verbatim } from "../output.ts";

type Format = "restore" | "script" | "ufw" | "systemd" | "save";

interface FixArgs extends HostArgs {
  readonly strategy: Strategy | "auto";
  readonly format: Format;
  readonly family?: Family | undefined;
  readonly json?: boolean | undefined;
}

/**
 * `fwcheck fix`: the rules on stdout and the argument for them on stderr; no rules when the proof does not hold, and 1
 * when it does not or when something is left open.
 */
export function run(args: FixArgs): number {
  // The first line on stderr is the result; warnings about the inputs follow.
  const { result, release } = later(() => {
    const { rulesets, host, sources } = inputs(args);
    missingFamily(rulesets);
    const sets = args.format === "script" || args.format === "systemd";
    return fix(rulesets, host, { strategy: args.strategy, sets, inputs: sources });
  });
  const code = result.holds && result.failed.length === 0 ? 0 : 1;
  if (args.json === true) {
    release();
    json(result.holds ? result : withoutRules(result));
    return code;
  }
  tell(fixText(result, PLAIN));
  release();
  if (!result.holds) return 1;
  if (args.format === "save") verbatim(result.saved);
  else if (result.rules4.length + result.rules6.length > 0)
    return form(result, args.format, args.family) ? code : 1;
  return code;
}

/** Prints one form; `false`, and why on stderr, where there is none. */
function form(result: Fix, format: Exclude<Format, "save">, wanted: Family | undefined): boolean {
  if (format === "script") verbatim(result.script);
  else if (format === "systemd") verbatim(result.unit);
  else {
    const family = wanted ?? (result.rules4.length > 0 ? 4 : 6);
    const refused =
      format === "ufw"
        ? result.ufw.cannot.filter((why) => why.startsWith(`IPv${family}:`))
        : result.sets !== ""
          ? ["an iptables-restore file cannot bring ipsets with it; use --format script or systemd"]
          : [];
    for (const why of refused) tell(`cannot: ${why}\n`);
    if (refused.length > 0) return false;
    const texts =
      format === "ufw"
        ? { 4: result.ufw.after, 6: result.ufw.after6 }
        : { 4: result.restore, 6: result.restore6 };
    verbatim(texts[family]);
    if (wanted === undefined && family === 4 && result.rules6.length > 0)
      tell("There are rules for IPv6, too: run again with --family 6.\n");
  }
  return true;
}

const withoutRules = (result: Fix): Fix => ({
  ...result,
  rules4: [],
  rules6: [],
  restore: "",
  restore6: "",
  sets: "",
  script: "",
  ufw: { after: "", after6: "", undo: [], cannot: [] },
  unit: "",
  saved: "",
  undo: [],
});
