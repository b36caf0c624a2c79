/** Translations to containers by tables of nftables that no known engine wrote. */
import { audit, readHost, readRuleset } from "fwcheck";
import { expect, test } from "vitest";
import { capture, examples, hostSources } from "../capture.ts";

const folder = `${examples}ufw-docker-28.5`;

/** Doubts of the example host with one more table. */
function doubts(rule: string): unknown[] {
  const { rulesets: saved } = capture(folder);
  const listing = `table ip mynat {\n\tchain pre {\n\t\ttype nat hook prerouting priority -110;\n\t\t${rule}\n\t}\n}\n`;
  const { rulesets } = readRuleset([{ name: "nft.txt", text: listing, complete: true }]);
  const own = rulesets.find(({ family }) => family === 4)!;
  const both = saved.map((each) =>
    each.family === 4 ? { ...each, tables: new Map([...each.tables, ...own.tables]) } : each,
  );
  return audit(both, readHost(hostSources(folder), both)).doubts.filter(
    ({ code }) => code === "translates-to-containers",
  );
}

test("a translation to a container is a doubt: whether its port should be open is unknown", () => {
  const doubt = { code: "translates-to-containers", family: 4, table: "ip mynat" };
  expect(doubts("tcp dport 9999 dnat to 172.17.0.2:80")).toEqual([doubt]);
  expect(doubts("dnat to tcp dport map { 9999 : 172.17.0.2 . 80 }")).toEqual([doubt]);
});

test("a translation to another host is none", () => {
  expect(doubts("tcp dport 9999 dnat to 10.99.0.9:80")).toEqual([]);
  expect(doubts("tcp dport 9999 counter")).toEqual([]);
});
