/**
 * Inputs with one part removed, empty, cut off or replaced by another part: an answer with exit code 0 has to be that
 * of the whole host. A sample of 150 runs in `npm test`; ROBUST=1 runs every case, ROBUST=4 every fourth.
 */
import {
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
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import { InputError } from "../../cli/errors.ts";
import { auditExitCode } from "../../cli/exit-code.ts";
import { inputs } from "../../cli/inputs.ts";
import { engineDoubts } from "../../lib/audit/engine-doubts.ts";
import { type Audit, audit, safe } from "../../lib/index.ts";
import { examples, shared } from "../capture.ts";
import { Program } from "../cli/program.ts";

/** One part of a host's inputs: a file of a folder, or a program's output in a snapshot. */
interface Part {
  readonly name: string;
  readonly text: string;
}

/** Inputs of a host, part by part. */
interface Inputs {
  readonly name: string;
  readonly parts: readonly Part[];
  /** Returns true for a required part: rules, other firewalls, addresses and routes. */
  readonly isRead: (part: Part) => boolean;
  /** Writes the parts into a folder and returns what the command line names. */
  readonly write: (folder: string, parts: readonly Part[]) => string[];
}

const folders = (root: string): string[] =>
  existsSync(root)
    ? readdirSync(root, { withFileTypes: true })
        .filter((e) => e.isDirectory())
        .map((e) => join(root, e.name))
    : [];

/** Reads a folder of files with `--assume complete`, the strongest claim of a user. */
const captured = (folder: string): Inputs => ({
  name: folder.split("/").slice(-2).join("/"),
  parts: readdirSync(folder)
    .filter((name) => /\.(txt|json|rules|save)$/.test(name))
    .map((name) => ({ name, text: readFileSync(join(folder, name), "utf8") })),
  isRead: ({ name }) => /save|addr|route|docker|sysctl|tables/.test(name),
  write(into, parts) {
    for (const { name, text } of parts) writeFileSync(join(into, name), text);
    return [into];
  },
});

/** A snapshot, part by part. */
function snapped(path: string): Inputs {
  const text = readFileSync(path, "utf8");
  const boundary = text.split("\n", 1)[0]!.split(" ")[2]!;
  const pieces = text.split(new RegExp(`^(?=${boundary} (?:begin|missing|done))`, "m"));
  const [head, ...rest] = pieces;
  const parts = rest
    .filter((piece) => piece.startsWith(`${boundary} begin`))
    .map((piece) => ({
      name: piece.split("\n", 1)[0]!.slice(boundary.length + 7),
      text: piece.slice(piece.indexOf("\n") + 1, piece.lastIndexOf(`\n${boundary} end`)),
    }));
  // Snapshots of an older collector lack this part, and that doubt would hide the effect of every case.
  if (!parts.some(({ name }) => name.startsWith("expressions ")))
    parts.push({ name: "expressions expressions of nft in tables of iptables", text: "" });
  return {
    name: path.split("/").at(-2)!,
    parts,
    isRead: ({ name }) => !/^(text|ufw|errors|native|nft) /.test(name),
    write(into, parts) {
      const file = join(into, "host.snap");
      const body = parts.map((p) => `${boundary} begin ${p.name}\n${p.text}\n${boundary} end 0\n`).join("");
      writeFileSync(file, `${head}${body}${boundary} done\n`);
      return [file];
    },
  };
}

const hosts: readonly Inputs[] = [
  ...[...folders(examples), ...folders(`${shared}captures`)]
    .filter((folder) => readdirSync(folder).some((name) => name.includes("iptables-save")))
    .map(captured),
  ...folders(`${shared}hosts`)
    .map((folder) => join(folder, "host.snap"))
    .filter(existsSync)
    .map(snapped),
];

interface Case {
  readonly host: Inputs;
  readonly what: string;
  readonly parts: readonly Part[];
}

/** Returns half of a text, cut inside a line: a text of whole lines looks complete. */
function half(text: string): string {
  let at = Math.floor(text.length / 2);
  while (at > 0 && (text[at - 1] === "\n" || text[at] === "\n" || text[at] === undefined)) at--;
  return text.slice(0, at);
}

function casesOf(host: Inputs): Case[] {
  const { parts } = host;
  const out: Case[] = [];
  for (const [i, part] of parts.entries()) {
    if (!host.isRead(part)) continue;
    const by = (what: string, ...text: string[]): void => {
      const changed = [...parts];
      changed.splice(i, 1, ...text.map((t) => ({ name: part.name, text: t })));
      out.push({ host, what: `${host.name}: ${part.name}: ${what}`, parts: changed });
    };
    by("removed");
    if (part.text.trim() === "") continue;
    by("empty", "");
    by("cut off", half(part.text));
    for (const other of parts)
      if (other.name !== part.name && other.text !== part.text && host.isRead(other))
        by(`replaced by ${other.name}`, other.text);
  }
  return out;
}

/** Returns the result of an audit without names and witnesses. */
const answer = ({ findings, exposures }: Audit): unknown => [
  findings.map((f) => f.id),
  exposures.map((e) => [e.family, e.proto, e.endpoint.ip, e.endpoint.port, e.listen, e.by]),
];

const root = mkdtempSync(join(tmpdir(), "fwcheck-robust-"));
let number = 0;
afterAll(() => rmSync(root, { recursive: true, force: true }));

function written(host: Inputs, parts = host.parts): string[] {
  const into = join(root, String(number++));
  mkdirSync(into);
  return host.write(into, parts);
}

/** Returns the exit code of the audit, and the result if that is 0. */
function audited(rules: readonly string[]): { readonly code: number; readonly answer?: unknown } {
  try {
    const { rulesets, host } = inputs({ rules, assume: ["complete"] });
    // A doubt excludes exit code 0; the rest of the audit only decides between 1 and 2.
    if (engineDoubts(rulesets, host).length > 0) return { code: 2 };
    const result = audit(rulesets, host);
    return { code: auditExitCode(result, undefined, undefined), answer: answer(result) };
  } catch (error) {
    if (error instanceof InputError) return { code: 2 };
    throw error;
  }
}

const all = hosts.flatMap(casesOf);
const step = Number(process.env.ROBUST ?? Math.max(1, Math.ceil(all.length / 150)));
const chosen = all.filter((_, i) => i % step === 0);

describe("one part of the inputs is missing or damaged", () => {
  const whole = new Map<Inputs, unknown>();
  beforeEach(() => {
    vi.spyOn(process.stderr, "write").mockImplementation(() => true);
  });
  afterEach(() => {
    vi.restoreAllMocks();
  });
  test(`${chosen.length} of ${all.length} cases: exit code 0 only with the whole host's answer`, () => {
    expect(all.length).toBeGreaterThan(50);
    const codes = new Map<number, number>();
    const wrong: string[] = [];
    for (const each of chosen) {
      const { code, answer: result } = audited(written(each.host, each.parts));
      codes.set(code, (codes.get(code) ?? 0) + 1);
      if (code !== 0) continue;
      if (!whole.has(each.host)) {
        const { rulesets, host } = inputs({ rules: written(each.host), assume: ["complete"] });
        whole.set(each.host, answer(audit(rulesets, host)));
      }
      if (JSON.stringify(result, big) !== JSON.stringify(whole.get(each.host), big)) wrong.push(each.what);
    }
    console.log(
      `${all.length} cases, ${chosen.length} run: ${[...codes]
        .sort()
        .map(([code, n]) => `${n} end with ${code}`)
        .join(", ")}; ${wrong.length} wrong`,
    );
    expect(wrong).toEqual([]);
  }, 3_600_000);
});

const big = (_: string, value: unknown): unknown => (typeof value === "bigint" ? `${value}n` : value);

describe("the same through the command", () => {
  const program = new Program();
  beforeAll(() => program.build(), 120_000);
  afterAll(() => program.remove());
  const few = all.filter((_, i) => i % Math.ceil(all.length / 20) === 7 % Math.ceil(all.length / 20));
  test(`${few.length} cases`, () => {
    for (const each of few) {
      const { code, err } = program.spawn([
        "audit",
        ...written(each.host, each.parts),
        "--assume",
        "complete",
        "--json",
      ]);
      expect([1, 2], `${each.what}: ${safe(err)}`).toContain(code);
      expect(err).not.toMatch(/should not have happened/);
    }
  }, 600_000);
});
