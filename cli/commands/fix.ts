import { type Family, type Fix, fix, fixText, leftOutText, PLAIN, type Strategy } from "../../lib/index.ts";
import { oneHost } from "../fleet.ts";
import { type HostArgs, inputs } from "../inputs.ts";
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
 * when it does not, when something is left open, or when the form cannot hold a part of the fix.
 */
export function run(args: FixArgs): number {
  oneHost(args.rules, "fix");
  // The first line on stderr is the result; warnings about the inputs follow.
  const { result, release } = later(() => {
    const { rulesets, host, sources } = inputs(args);
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

/** How to use what was printed. */
const USE: Readonly<Record<Exclude<Format, "save">, (family: Family) => string>> = {
  script: () =>
    "Save it as fix.sh and run it as root on the host: sh fix.sh; then sh fix.sh --check, --undo or --cut. It holds until the next boot; --format ufw and systemd hold at every boot.",
  systemd: () =>
    "Save it as /etc/systemd/system/fwcheck-fix.service, and the output of --format script as /usr/local/sbin/fwcheck-fix; then systemctl daemon-reload; systemctl enable --now fwcheck-fix.",
  ufw: (family) =>
    `Append it to /etc/ufw/after${family === 4 ? "" : "6"}.rules in place of an earlier block of fwcheck, then ufw reload.`,
  restore: (family) =>
    `Apply it as root on the host: ${family === 4 ? "iptables" : "ip6tables"}-restore --wait=30 --noflush < FILE. Its third line says where it holds.`,
};

/** Prints one form; `false`, and why on stderr, where there is none or where a part of the fix is not in it. */
function form(result: Fix, format: Exclude<Format, "save">, wanted: Family | undefined): boolean {
  const both = result.rules4.length > 0 && result.rules6.length > 0;
  const family = wanted ?? (result.rules4.length > 0 ? 4 : 6);
  if (format === "script" || format === "systemd") {
    verbatim(format === "script" ? result.script : result.unit);
    tell(`${USE[format](family)}\n`);
    return true;
  }
  let whole = true;
  const refused =
    format === "ufw"
      ? result.ufw.cannot.filter((why) => why.startsWith(`IPv${family}:`))
      : result.sets !== ""
        ? ["an iptables-restore file cannot bring ipsets with it; use --format script or systemd"]
        : [];
  if (refused.length > 0) {
    for (const why of refused) tell(`cannot: ${why}\n`);
    whole = false;
  } else {
    const texts =
      format === "ufw"
        ? { 4: result.ufw.after, 6: result.ufw.after6 }
        : { 4: result.restore, 6: result.restore6 };
    verbatim(texts[family]);
    if (texts[family] === "") {
      tell(
        `nothing is printed: IPv${family} needs no rules; run again with --family ${family === 4 ? 6 : 4}\n`,
      );
      return false;
    }
    const left = format === "ufw" ? result.ufw.leftOut.filter((each) => each.family === family) : [];
    for (const each of left) {
      tell(`left out: ${leftOutText(each)}\n`);
      // What its own program adds again is not missing for long.
      if (each.by === null) whole = false;
    }
    tell(`${USE[format](family)}\n`);
  }
  if (both && wanted === undefined) {
    tell(
      `IPv6 is not in it and stays open: run again with --family 6 for its rules, which ${format === "ufw" ? "/etc/ufw/after6.rules" : "ip6tables-restore"} takes.\n`,
    );
    whole = false;
  }
  return whole;
}

const withoutRules = (result: Fix): Fix => ({
  ...result,
  rules4: [],
  rules6: [],
  restore: "",
  restore6: "",
  sets: "",
  script: "",
  ufw: { after: "", after6: "", undo: [], cannot: [], leftOut: [] },
  unit: "",
  saved: "",
  undo: [],
});
