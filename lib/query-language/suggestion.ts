/** Suggests a word of the language for one that it does not have. */
import { closestWord } from "./closest-word.ts";
import { type Expected, QUERY_VERDICTS } from "./expression.ts";
import { TEST_WORDS } from "./tokens.ts";

/** Words of iptables, nft and tcpdump, with those of this language. */
const TRANSLATIONS: ReadonlyMap<string, string> = new Map([
  ["src", "from"],
  ["saddr", "from"],
  ["source", "from"],
  ["dst", "to"],
  ["daddr", "to"],
  ["destination", "to"],
  ["iif", "in"],
  ["iifname", "in"],
  ["oif", "out"],
  ["oifname", "out"],
  ["port", "dport"],
  ["ports", "dport"],
  ["accept", "verdict accept"],
  ["accepted", "verdict accept"],
  ["drop", "verdict drop"],
  ["dropped", "verdict drop"],
  ["reject", "verdict reject"],
  ["rejected", "verdict reject"],
  ["forward", "forwarded"],
  ["input", "local"],
  ["output", "sent"],
  ["ip", "ipv4"],
  ["ip4", "ipv4"],
  ["ip6", "ipv6"],
  ["icmp6", "icmpv6"],
  ["container", "to container"],
  ["network", "to network"],
]);

/** Returns words that may be meant; `null` if none is close. */
export function suggestionFor(found: string, expected: Expected): string | null {
  switch (expected) {
    case "test":
    case "operator":
      if (/^\d+(-\d+)?$/.test(found)) return `dport ${found}`;
      return TRANSLATIONS.get(found.toLowerCase()) ?? closestWord(found, TEST_WORDS) ?? null;
    case "verdict":
      return closestWord(found, QUERY_VERDICTS) ?? null;
    case "addresses":
      return closestWord(found, ["container", "network"]) ?? null;
    default:
      return null;
  }
}
