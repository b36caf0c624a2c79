/** Translations to containers by tables of nftables that no known engine wrote. */
import { type Audit, audit, readHost, readRuleset } from "fwcheck";
import { expect, test } from "vitest";
import { capture, examples, hostSources } from "../capture.ts";

const folder = `${examples}ufw-docker-28.5`;

/** The audit of the example host with one more table. */
function audited(rule: string, engineTables: readonly string[] = []): Audit {
  const { rulesets: saved } = capture(folder);
  const listing = `table ip mynat {\n\tchain pre {\n\t\ttype nat hook prerouting priority -110;\n\t\t${rule}\n\t}\n}\n`;
  const { rulesets } = readRuleset([{ name: "nft.txt", text: listing, complete: true }]);
  const own = rulesets.find(({ family }) => family === 4)!;
  const both = saved.map((each) =>
    each.family === 4 ? { ...each, tables: new Map([...each.tables, ...own.tables]) } : each,
  );
  return audit(both, readHost({ ...hostSources(folder), engineTables }, both));
}

const doubts = (rule: string): unknown[] =>
  audited(rule).doubts.filter(({ code }) => code === "translates-to-containers");

test("a translation to a container is a doubt: whether its port should be open is unknown", () => {
  const doubt = { code: "translates-to-containers", family: 4, table: "ip mynat" };
  expect(doubts("tcp dport 9999 dnat to 172.17.0.2:80")).toEqual([doubt]);
  expect(doubts("dnat to tcp dport map { 9999 : 172.17.0.2 . 80 }")).toEqual([doubt]);
});

test("a translation to another host is none", () => {
  expect(doubts("tcp dport 9999 dnat to 10.99.0.9:80")).toEqual([]);
  expect(doubts("tcp dport 9999 counter")).toEqual([]);
});

test("the table of an engine that the caller names is audited as the engine's", () => {
  const rule = "tcp dport 9999 dnat to 172.17.0.2:80";
  const { findings, doubts, looked } = audited(rule, ["ip mynat"]);
  expect(doubts.map(({ code }) => code)).not.toContain("translates-to-containers");
  expect(looked.engines).toContain("the engine of table ip mynat");
  const ports = (list: Audit["findings"]): unknown[] =>
    list.filter(({ kind }) => kind === "ingress-bypass").map(({ listen }) => listen?.port);
  expect(ports(findings)).toContain(9999);
  expect(ports(audited(rule).findings)).not.toContain(9999);
});
