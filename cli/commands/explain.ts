import { chainsText, type Explanation, explain, explainText, type Family, safe } from "../../lib/index.ts";
import { Refused } from "../files.ts";
import { oneHost } from "../fleet.ts";
import { doubtful, type HostArgs, inputs } from "../inputs.ts";
import { json, print, style, width } from "../output.ts";
import { guess } from "../suggest.ts";

/** `--rule` is the number of a rule here; policy routing changes nothing in what a rule says. */
interface ExplainArgs extends Omit<HostArgs, "rule"> {
  readonly chain?: string | undefined;
  readonly rule?: number | undefined;
  readonly family?: Family | undefined;
  readonly json?: boolean | undefined;
}

/** `fwcheck explain`: what a chain or one of its rules does, in plain words; without `--chain`, a line a chain. */
export function run({ chain, rule, family, ...args }: ExplainArgs): number {
  if (rule !== undefined && !(Number.isInteger(rule) && rule > 0))
    throw new Refused("--rule takes the number of a rule, from 1, as iptables -L --line-numbers counts");
  if (rule !== undefined && chain === undefined)
    throw new Refused("--rule needs --chain: numbers count in a chain");
  oneHost(args.rules, "explain");
  const { rulesets, host } = inputs(args);
  doubtful({ rulesets, host });
  const found = explain(rulesets, host, {
    chain,
    rule,
    family,
    map: chain === undefined && args.json !== true,
  });
  if (chain !== undefined && found.chains.length === 0)
    nothing(chain, rule, explain(rulesets, host, { family, map: true }));
  const options = { style: style(), width: width() };
  if (args.json === true) json(found);
  else print(chain === undefined ? chainsText(found, options) : explainText(found, options));
  return 0;
}

/** Nothing fits: says what there is instead. @throws Refused */
function nothing(chain: string, rule: number | undefined, { chains }: Explanation): never {
  const there = chains.filter((c) => c.chain === chain || `${c.table}/${c.chain}` === chain);
  if (there.length === 0)
    throw new Refused(
      `these rules have no chain ${safe(JSON.stringify(chain))}.${guess(chain, [...new Set(chains.flatMap((c) => [c.chain, `${c.table}/${c.chain}`]))])} fwcheck explain without --chain lists them all.`,
    );
  const long = there.map(
    (c) =>
      `${c.table} ${safe(c.chain)} of IPv${c.family} has ${c.length || "no"} rule${c.length === 1 ? "" : "s"}`,
  );
  throw new Refused(`there is no rule ${rule}: ${long.join(", ")}`);
}
