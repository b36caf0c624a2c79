import { type Family, fix, fixText, PLAIN, type Strategy } from "../../lib/index.ts";
import { type HostArgs, inputs } from "../inputs.ts";
import { json, print } from "../output.ts";

interface FixArgs extends HostArgs {
  readonly strategy: Strategy | "auto";
  readonly format: "restore" | "script" | "save";
  readonly family?: Family | undefined;
  readonly json?: boolean | undefined;
}

/** `fwcheck fix`: the rules on stdout and the argument for them on stderr; 1 and no rules when the proof does not hold. */
export function run(args: FixArgs): number {
  const { rulesets, host } = inputs(args);
  const result = fix(rulesets, host, { strategy: args.strategy });
  if (args.json === true) {
    json(
      result.holds
        ? result
        : { ...result, rules4: [], rules6: [], restore: "", restore6: "", script: "", saved: "", undo: [] },
    );
    return result.holds ? 0 : 1;
  }
  process.stderr.write(fixText(result, PLAIN));
  if (!result.holds) return 1;
  if (args.format === "save") {
    print(result.saved);
    return 0;
  }
  const nothing = result.rules4.length + result.rules6.length === 0;
  if (nothing) process.stderr.write("Nothing to fix.\n");
  else if (args.format === "script") print(result.script);
  else {
    const family = args.family ?? (result.rules4.length > 0 ? 4 : 6);
    const text = family === 4 ? result.restore : result.restore6;
    const tool = family === 4 ? "iptables" : "ip6tables";
    print(`# Makes the firewall's policy hold for containers: apply with ${tool}-restore --noflush.\n`);
    print(
      `# Check: fwcheck audit on a fresh ${tool}-save. Undo: ${result.undo.filter((l) => l.startsWith(tool)).join("; ")}\n${text}`,
    );
    const other = family === 4 ? result.rules6 : result.rules4;
    if (other.length > 0 && args.family === undefined)
      process.stderr.write(`There are rules for IPv6, too: run again with --family 6.\n`);
  }
  return 0;
}
