import { chainsText, type Explanation, explain, explainText, type Family, safe } from "../../lib/index.ts";
import { InputError } from "../errors.ts";
import { requireOneHost } from "../fleet.ts";
import { type HostArgs, inputs, printDoubts } from "../inputs.ts";
import { print, printJson, style, width } from "../output.ts";
import { didYouMean } from "../suggestion.ts";

/** `--rule` is the number of a rule here; policy routing does not change the meaning of a rule. */
interface ExplainArgs extends Omit<HostArgs, "rule"> {
  readonly chain?: string | undefined;
  readonly rule?: number | undefined;
  readonly family?: Family | undefined;
  readonly json?: boolean | undefined;
}

/** Runs `fwcheck explain`: describes a chain or one of its rules; without `--chain`, prints one line per chain. */
export function run({ chain, rule, family, ...args }: ExplainArgs): number {
  if (rule !== undefined && !(Number.isInteger(rule) && rule > 0))
    throw new InputError(
      "--rule takes the number of a rule, counted from 1 as iptables -L --line-numbers does",
    );
  if (rule !== undefined && chain === undefined)
    throw new InputError("--rule needs --chain, because rules are numbered per chain");
  requireOneHost(args.rules, "explain");
  const { rulesets, host } = inputs(args);
  printDoubts({ rulesets, host });
  const found = explain(rulesets, host, {
    chain,
    rule,
    family,
    map: chain === undefined && args.json !== true,
  });
  if (chain !== undefined && found.chains.length === 0)
    refuseUnknown(chain, rule, explain(rulesets, host, { family, map: true }));
  const options = { style: style(), width: width() };
  if (args.json === true) printJson(found);
  else print(chain === undefined ? chainsText(found, options) : explainText(found, options));
  return 0;
}

/** Reports that the chain or the rule does not exist, and lists what exists. @throws InputError */
function refuseUnknown(chain: string, rule: number | undefined, { chains }: Explanation): never {
  const matching = chains.filter((c) => c.chain === chain || `${c.table}/${c.chain}` === chain);
  if (matching.length === 0)
    throw new InputError(
      `there is no chain ${safe(JSON.stringify(chain))} in these rules.${didYouMean(chain, [...new Set(chains.flatMap((c) => [c.chain, `${c.table}/${c.chain}`]))])} fwcheck explain without --chain lists all chains.`,
    );
  const lengths = matching.map(
    (c) =>
      `${c.table} ${safe(c.chain)} of IPv${c.family} has ${c.length || "no"} rule${c.length === 1 ? "" : "s"}`,
  );
  throw new InputError(`there is no rule ${rule}: ${lengths.join(", ")}`);
}
