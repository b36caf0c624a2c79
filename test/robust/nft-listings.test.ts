/**
 * Damaged listings of nft: cut off, doubled, without elements (`nft -t`), with unknown expressions, chains and sets. An audit
 * or a verdict without a doubt has to be that of the whole listing. ROBUST=1 runs every case.
 */
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { InputError } from "../../cli/errors.ts";
import { inputs } from "../../cli/inputs.ts";
import { engineDoubts } from "../../lib/audit/engine-doubts.ts";
import { type Audit, audit, type Packet, Simulator } from "../../lib/index.ts";
import { examples, shared } from "../capture.ts";
import { Program } from "../cli/program.ts";
import { partsOf, snapshot } from "../cli/snapshot.ts";

const root = mkdtempSync(join(tmpdir(), "fwcheck-nft-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));

let stderr = "";
beforeEach(() => {
  vi.spyOn(process.stderr, "write").mockImplementation((text) => {
    stderr += String(text);
    return true;
  });
});
afterEach(() => {
  vi.restoreAllMocks();
});

interface Captured {
  readonly name: string;
  /** Copy of the host without its listing, which each case writes. */
  readonly folder: string;
  readonly listing: string;
}

function captured(name: string, from: string): Captured {
  const folder = join(root, name);
  mkdirSync(folder);
  for (const file of readdirSync(from))
    if (/\.json$|^sysctl/.test(file) && file !== "nft.json")
      copyFileSync(join(from, file), join(folder, file));
  return { name, folder, listing: readFileSync(join(from, "nft.txt"), "utf8") };
}

const docker = captured("docker", `${examples}docker-29-nftables`);
const captures = `${shared}captures-nft`;
const others = existsSync(captures) ? ["podman-netavark-nft", "firewalld"] : [];
const hosts = [docker, ...others.map((name) => captured(name, join(captures, name)))];

const PACKETS = [22, 25, 8080, 9090].map(
  (dport): Packet => ({
    family: 4,
    in: "eth0",
    src: 0xcb007102,
    dst: 0xcb007101,
    proto: 6,
    sport: 40000,
    dport,
  }),
);

const json = (value: unknown): string =>
  JSON.stringify(value, (_, v: unknown) => (typeof v === "bigint" ? `${v}n` : v));

const findingsOf = ({ findings, exposures }: Audit): unknown => [
  findings.map(({ id }) => id),
  exposures.map((e) => [e.family, e.proto, e.endpoint.ip, e.endpoint.port, e.listen, e.by]),
];

/** Inputs of a case: the host, or the listing without anything else about the host. */
type Given = "host" | "listing";

/** Returns what audit and simulator answer; `null` if the answer is in doubt or the inputs are refused. */
function answerOf({ folder }: Captured, given: Given, text: string): string | null {
  stderr = "";
  const file = join(folder, "nft.txt");
  writeFileSync(file, text);
  try {
    const rules = [given === "host" ? folder : file];
    const { rulesets, host } = inputs({ rules, assume: ["complete"] }, PACKETS);
    if (engineDoubts(rulesets, host).length > 0) return null;
    const verdicts = PACKETS.map((packet) => new Simulator(rulesets, host, {}).packet(packet).verdict);
    if (given === "listing") return json(verdicts);
    const result = audit(rulesets, host);
    return result.doubts.length > 0 ? null : json([verdicts, findingsOf(result)]);
  } catch (error) {
    if (error instanceof InputError) return null;
    throw error;
  }
}

interface Case {
  readonly what: string;
  readonly text: string;
}

/** Returns the listing with each line that matches replaced in turn. */
const changedLines = (
  listing: string,
  what: string,
  line: RegExp,
  change: (line: string) => string,
): Case[] => {
  const lines = listing.split("\n");
  return lines.flatMap((found, i) =>
    line.test(found)
      ? [{ what: `${what} in line ${i + 1}`, text: lines.with(i, change(found)).join("\n") }]
      : [],
  );
};

const BLOCK = /^\t(chain|set|map) \S+ \{$/;
const renamed = (name: string) => (line: string) => line.replace(/ \S+ \{$/, ` ${name} {`);
const terse = (listing: string): string => listing.replace(/^\t\telements = \{[^}]*\}\n/gm, "");
/** A table ends there: the text is complete as far as it goes. */
const AFTER_TABLE = /(^|\n)\}\n?$/;

function casesOf(listing: string): Case[] {
  const ends = [...listing.matchAll(/\n/g)].map(({ index }) => index + 1);
  const bytes = Array.from({ length: 120 }, (_, i) => Math.floor(((i + 0.5) * listing.length) / 120));
  return [
    ...[...ends.slice(0, -1), ...bytes].map((end) => ({
      what: `cut off after ${end} bytes`,
      text: listing.slice(0, end),
    })),
    ...ends.filter((_, i) => i % 3 === 0).map((at) => ({ what: `from byte ${at}`, text: listing.slice(at) })),
    ...changedLines(listing, "unknown expression", /^\t\t\S/, (line) => line.replace("\t\t", "\t\tfrob 5 ")),
    ...changedLines(listing, "another name", BLOCK, renamed("renamed")),
    ...changedLines(listing, "the name __proto__", BLOCK, renamed("__proto__")),
    ...changedLines(listing, "a terminal code", /\w$/, (line) => `${line}\u001b[31m`),
    { what: "doubled", text: listing + listing },
    { what: "without elements", text: terse(listing) },
  ];
}

/** Runs the cases, and returns those that are answered without a doubt, but not as the whole listing is. */
function wrongCases(host: Captured, given: Given, cases: readonly Case[]): Case[] {
  const whole = answerOf(host, given, host.listing);
  return cases.filter(({ text }) => {
    const answer = answerOf(host, given, text);
    expect(stderr).not.toContain("\u001b");
    return answer !== null && answer !== whole;
  });
}

describe.each(hosts)("damaged listings of $name", (host) => {
  const cases = casesOf(host.listing);
  const sample = (count: number): readonly Case[] => {
    const step = process.env.ROBUST === "1" ? 1 : Math.ceil(cases.length / count);
    return cases.filter((_, i) => i % step === 0);
  };

  test("the listing alone: only a cut between two tables is not noticed", () => {
    const wrong = wrongCases(host, "listing", sample(200));
    expect(wrong.filter(({ text }) => !AFTER_TABLE.test(text)).map(({ what }) => what)).toEqual([]);
  }, 600_000);

  test("a folder of the host", () => {
    expect(wrongCases(host, "host", sample(60)).map(({ what }) => what)).toEqual([]);
  }, 600_000);
});

test("what is not noticed in a listing alone is a cut between two tables", () => {
  const end = docker.listing.indexOf("\n}\n") + 3;
  const text = docker.listing.slice(0, end);
  expect(answerOf(docker, "listing", text)).not.toBe(answerOf(docker, "listing", docker.listing));
  expect(answerOf(docker, "host", text)).toBeNull();
});

test("a listing that is cut off in the header of a table", () => {
  const table = "table ip a {\n}\n";
  expect(answerOf(docker, "listing", `${table}table ip docker-`)).toBeNull();
  expect(stderr).toMatch(/nft\.txt:3:10: error: the text ends in the header of table ip docker-/);
  answerOf(docker, "listing", `${table}add table ip x`);
  expect(stderr).not.toContain("the text ends");
});

test("a snapshot that is cut off at any line is refused", () => {
  const parts = [
    ...partsOf(`${examples}docker-29-nftables`).filter(({ kind }) => kind !== "tables"),
    { kind: "rules", title: "nft list ruleset", text: docker.listing },
  ];
  const text = snapshot(parts);
  const path = join(root, "host.snap");
  const read = (part: string): unknown => {
    writeFileSync(path, part);
    return inputs({ rules: [path] });
  };
  read(text);
  const ends = [...text.matchAll(/\n/g)].map(({ index }) => index + 1).slice(0, -1);
  for (const end of ends.filter((_, i) => i % 7 === 0 || i > ends.length - 3))
    expect(() => read(text.slice(0, end)), `cut off after ${end} bytes`).toThrow(InputError);
});

describe("the commands", () => {
  const program = new Program();
  afterAll(() => program.remove());
  const frob = docker.listing.replace("\t\ttcp dport 22 accept", "\t\tfrob 5 tcp dport 22 accept");
  test.each([
    ["unknown expression", frob, /nft\.txt:7:3: error: .*frob/],
    [
      "unknown chain",
      docker.listing.replace("chain nat-prerouting-and-output", "chain x"),
      /nft\.txt:\d+:\d+: error: .*nat-prerouting-and-output/,
    ],
    [
      "unknown set",
      docker.listing.replace("map filter-forward-in-jumps", "map x"),
      /nft\.txt:\d+:\d+: error: .*filter-forward-in-jumps/,
    ],
    [
      "cut off",
      docker.listing.slice(0, docker.listing.indexOf("chain nat-OUTPUT")),
      /nft\.txt:\d+:\d+: error: the text ends inside/,
    ],
  ])("%s: the place is named, and the answer is not certain", async (_, text, diagnostic) => {
    const path = join(docker.folder, "nft.txt");
    writeFileSync(path, text);
    const audited = await program.run(["audit", docker.folder, "--assume", "complete"]);
    expect(audited.err).toMatch(diagnostic);
    expect(audited.out).toContain("inconclusive");
    expect(audited.code).not.toBe(0);
    const flags = [
      "--in",
      "eth0",
      "--src",
      "203.0.113.2",
      "--dst",
      "203.0.113.1",
      "--proto",
      "tcp",
      "--dport",
      "25",
    ];
    const simulated = await program.run(["simulate", docker.folder, ...flags, "--expect", "drop"]);
    expect(simulated.err).toMatch(diagnostic);
    expect(simulated.code).not.toBe(0);
  });

  test("without elements (nft -t): the sets are named", async () => {
    const path = program.file("terse.nft", terse(docker.listing));
    const { out, code } = await program.run(["audit", path, "--assume", "complete"]);
    expect(out).toMatch(/inconclusive/);
    expect(out.replace(/\s+/g, " ")).toContain("filter-forward-in-jumps");
    expect(code).toBe(2);
  });

  test("an unknown expression leaves the rest of the audit as it was", async () => {
    writeFileSync(
      join(docker.folder, "nft.txt"),
      docker.listing.replace('\t\tiif "lo" accept', '\t\tiif "lo" frob 5 accept'),
    );
    const { out, code } = await program.run(["audit", docker.folder, "--assume", "complete", "--json"]);
    const { findings } = JSON.parse(out) as { findings: { id: string }[] };
    expect(findings.map(({ id }) => id)).toContain("ingress-bypass/4/tcp/any/8080");
    expect(code).toBe(1);
  });
});
