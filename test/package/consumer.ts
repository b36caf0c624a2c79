/** A program of a user who has installed fwcheck. It is compiled, not run. */
import * as everything from "fwcheck";
import {
  type Answer,
  type Audit,
  audit,
  type Fix,
  fix,
  type Host,
  type Packet,
  type Ruleset,
  readHost,
  readPacket,
  readRuleset,
  simulate,
} from "fwcheck";
import { type Document, type Parsed, parse, print } from "fwcheck/grammar";

const parsed: Parsed = parse("*filter\nCOMMIT\n");
const document: Document = parsed.document;
export const text: string = print(document);

const rulesets: readonly Ruleset[] = readRuleset([{ name: "host.save", text }]).rulesets;
const host: Host = readHost({}, rulesets);
const packet: Packet | string = readPacket({ in: "eth0", src: "192.0.2.1", dst: "192.0.2.2" });
export const answer: Answer | null =
  typeof packet === "string" ? null : simulate(rulesets, host, packet, { assume: new Map() });
export const found: Audit = audit(rulesets, host);
export const repair: Fix = fix(rulesets, host);
export const names: readonly string[] = Object.keys(everything);

// Types that let anything through would make the lines above worth nothing.
// @ts-expect-error a ruleset is no text
audit("*filter", host);
// @ts-expect-error a verdict has names
export const verdict: number = (answer as Answer).verdict;
