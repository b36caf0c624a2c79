/**
 * Time of `readRuleset` on texts made to be slow, of 1, 2, 4 and 8 MB: it should grow as they do. `NAME="..."`
 * runs one of the texts alone.
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { bundle, cost, inFolder, loadText } from "./measure.ts";

/** Lines of one kind, in a table, until there is enough. */
const lines = (line: (i: number) => string) => (size: number) => {
  const all = ["*filter"];
  for (let i = 0, length = 0; length < size; i++) {
    const next = line(i);
    all.push(next);
    length += next.length + 1;
  }
  return `${all.join("\n")}\nCOMMIT\n`;
};

/** Digits of a number in base 7 as options: as many shapes as numbers. */
const shape = (i: number): string => [...i.toString(7)].map((d) => `--o${d} x`).join(" ");

const texts: Readonly<Record<string, (size: number) => string>> = {
  "one line": (size) => `*filter\n-A INPUT --comment ${"x".repeat(size)}\nCOMMIT\n`,
  "one line of quotes": (size) => `*filter\n-A INPUT --comment ${'"'.repeat(size)}\nCOMMIT\n`,
  "one line of escapes": (size) => `*filter\n-A INPUT --comment "${"\\".repeat(size)}\nCOMMIT\n`,
  "long lines of quotes": lines(() => `-A INPUT --comment ${'"" '.repeat(20_000)}`),
  "long lines of escapes": lines(() => `-A INPUT --comment "${'\\"'.repeat(30_000)}"`),
  "long lines of matches": lines((i) => `-A INPUT ${"-m tcp --x ".repeat(5000)}--y${i} 1`),
  "rules of many matches": lines((i) => `-A INPUT ${"-m tcp --x ".repeat(120)}--y${i} 1`),
  "long lines of options": lines((i) => `-A INPUT ${"--dport 1 ".repeat(6000)}--y${i} 1`),
  chains: lines((i) => `:c${i} - [0:0]`),
  "rules of chains that are not declared": lines((i) => `-A c${i} -j c${i + 1}`),
  "chains in a row": (size) => {
    const n = Math.floor(size / 50);
    const names = Array.from({ length: n }, (_, i) => `chain${i}`);
    return `*filter\n${names.map((c) => `:${c} - [0:0]\n`).join("")}${names.map((c, i) => `-A ${c} -j ${names[(i + 1) % n]}\n`).join("")}COMMIT\n`;
  },
  "chains, flushed again and again": (size) =>
    `*filter\n${Array.from({ length: size / 32 }, (_, i) => `:c${i} - [0:0]\n`).join("")}${"-F\n-F c1\n-A c1\n-X c2\n".repeat(size / 40)}COMMIT\n`,
  inserts: lines((i) => `-I INPUT ${i % 999} -j ACCEPT`),
  shapes: lines((i) => `-A INPUT ${shape(i)}`),
  "names of options": lines((i) => `-A INPUT --option${i} x`),
  "matches that nobody knows": lines((i) => `-A INPUT -m match${i} --x ${i}`),
  "protocols that nobody knows": lines((i) => `-A INPUT -p proto${i} --dport ${i}`),
  "values that are wrong": lines((i) => `-A INPUT -s 10.0.0.${i + 256} -j DROP`),
  "lists of addresses": lines((i) => `-A INPUT -s ${`10.0.0.${i % 250},`.repeat(20)}10.0.0.1 -j DROP`),
  "commands cut off": lines(() => "-A"),
  "rules cut off": lines((i) => `-A INPUT -s 10.0.0.${i % 250} --dport ${i} -j`),
  "quotes left open": lines((i) => `-A INPUT --comment "${i}`),
  junk: lines((i) => `junk ${i}`),
  tables: lines((i) => `*t${i}`),
  "line feeds": (size) => `*filter\n${"\n".repeat(size)}COMMIT\n`,
};

export const bench = (): Promise<void> =>
  inFolder(async (folder) => {
    const program = await bundle("load", folder);
    const file = join(folder, "rules");
    const only = process.env.NAME;
    for (const [name, make] of Object.entries(texts)) {
      if (only !== undefined && only !== name) continue;
      const times: string[] = [];
      let output = "";
      for (const size of [1, 2, 4, 8]) {
        writeFileSync(file, make(size << 20));
        const run = cost(["timeout", "120", process.execPath, program, file]);
        times.push(run === null ? "FAILED" : run.cpu.toFixed(2));
        output = run === null ? "" : loadText(run.output);
        if (run === null) break;
      }
      console.log(`${name}: ${times.join(", ")} s CPU for 1, 2, 4, 8 MB (${output})`);
    }
  });
