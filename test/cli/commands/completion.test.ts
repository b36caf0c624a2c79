/** Completion by the tab key in real shells; missing shells are skipped, with the reason in the title. */
import { spawn, spawnSync } from "node:child_process";
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Program } from "../program.ts";

const program = new Program();
const { folder } = program;
const bin = join(folder, "bin");
const home = join(folder, "home");
beforeAll(() => {
  program.build();
  mkdirSync(bin);
  mkdirSync(home);
  program.file("bin/fwcheck", `#!/bin/sh\nexec '${process.execPath}' '${folder}/cli/main.js' "$@"\n`);
  chmodSync(join(bin, "fwcheck"), 0o755);
  program.file("home/rules-of-host.save", "");
  for (const shell of ["bash", "zsh", "fish"])
    program.file(`complete.${shell}`, program.spawn(["completion", shell]).out);
}, 60_000);
afterAll(() => program.remove());

const here = (name: string): boolean => spawnSync(name, ["--version"]).status === 0;
const env = { PATH: `${bin}:/usr/bin:/bin`, HOME: home, TERM: "xterm", LANG: "C.UTF-8", PS1: "$ " };

/** The line before and after the key press. */
const CASES: readonly [begun: string, completed: string][] = [
  ["fwcheck aud", "fwcheck audit "],
  ["fwcheck fix host.save --strat", "fwcheck fix host.save --strategy "],
  ["fwcheck fix host.save --strategy int", "fwcheck fix host.save --strategy internal-ip "],
  ["fwcheck explain host.save --family 6", "fwcheck explain host.save --family 6 "],
  ["fwcheck completion fi", "fwcheck completion fish "],
  ["fwcheck audit rules", "fwcheck audit rules-of-host.save "],
  [
    "fwcheck audit rules-of-host.save --addr rules",
    "fwcheck audit rules-of-host.save --addr rules-of-host.save ",
  ],
];

/** Types each line and a tab into an interactive shell on a terminal, then a key that is bound to record the line. */
async function typed(shell: string, setup: string): Promise<string[]> {
  const out = join(folder, "lines");
  writeFileSync(out, "");
  const lines = (): string[] => readFileSync(out, "utf8").split("\n").slice(0, -1);
  const child = spawn("script", ["-qec", shell, "/dev/null"], {
    cwd: home,
    env,
    stdio: ["pipe", "ignore", "ignore"],
  });
  // The terminal would edit keys that are typed while the shell does not read, so each waits for the one before.
  const type = async (keys: string): Promise<void> => {
    const before = lines().length;
    child.stdin.write(keys);
    for (let i = 0; i < 400 && lines().length === before; i++) await sleep(50);
    await sleep(150);
  };
  await sleep(500);
  await type(`${setup.replaceAll("OUT", out)}; echo ready >>${out}\n`);
  for (const [begun] of CASES) await type(`\u0015${begun}\t\u0014`);
  child.stdin.end("\u0015exit\n");
  await new Promise((ended) => child.on("close", ended));
  return lines().slice(1);
}

const wanted = CASES.map(([, completed]) => completed);

describe("completion", () => {
  test.skipIf(!here("bash") || !here("script"))(
    "bash (skipped where bash or script is missing)",
    async () => {
      const setup = `source <(fwcheck completion bash); w() { printf '%s\\n' "$READLINE_LINE" >>OUT; }; bind -x '"\\C-t":w'`;
      expect(await typed("bash --norc --noprofile -i", setup)).toEqual(wanted);
    },
    90_000,
  );

  test.skipIf(!here("zsh") || !here("script"))(
    "zsh (skipped where zsh or script is missing)",
    async () => {
      const setup = `autoload -Uz compinit; compinit -u -D; source <(fwcheck completion zsh); w() { print -r -- "$BUFFER" >>OUT }; zle -N w; bindkey '^T' w`;
      expect(await typed("zsh -f -i", setup)).toEqual(wanted);
    },
    90_000,
  );

  test.skipIf(!here("fish"))(
    "fish (skipped where fish is missing)",
    () => {
      const answers = CASES.map(([begun]) => {
        const script = `source ${folder}/complete.fish; complete -C "${begun}"`;
        const { stdout } = spawnSync("fish", ["--no-config", "-c", script], {
          cwd: home,
          encoding: "utf8",
          env,
        });
        const words = stdout
          .split("\n")
          .filter((line) => line !== "")
          .map((line) => line.split("\t")[0]!);
        expect(words, begun).toHaveLength(1);
        return `${begun.slice(0, begun.lastIndexOf(" ") + 1)}${words[0]} `;
      });
      expect(answers).toEqual(wanted);
    },
    90_000,
  );

  test("all commands; no flags where a file is possible", () => {
    const ask = (...words: string[]): string[] =>
      program
        .spawn(["--get-yargs-completions", "fwcheck", ...words], { env: { SHELL: "bash" } })
        .out.trim()
        .split("\n");
    const help = program.spawn(["--help"]).out;
    const commands = [...help.matchAll(/^ {2}fwcheck (\w+)(?: <\S+>)* {2,}/gm)].map((m) => m[1]!);
    expect(ask("")).toEqual(commands);
    expect(commands).toContain("explain");
    expect(ask("audit", "")).toEqual([""]);
    expect(ask("audit", "--")).toEqual(expect.arrayContaining(["--addr", "--sarif", "--fail-on"]));
  });
  test("an unknown shell is refused", () => {
    expect(program.spawn(["completion", "tcsh"])).toMatchObject({ code: 2, out: "" });
  });
});
