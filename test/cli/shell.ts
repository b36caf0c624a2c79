/**
 * Runs the commands of the manual and of `--help` as they are printed: in a folder with a sample host under the names that
 * the manual uses, and with stubs for programs that need root or another machine.
 */
import { spawnSync } from "node:child_process";
import { chmodSync, copyFileSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { examples } from "../capture.ts";
import { Program, type Run } from "./program.ts";
import { partsOf, snapshot } from "./snapshot.ts";

const root = new URL("../..", import.meta.url).pathname;

/** Names of snapshots in the manual. */
const SNAPSHOTS = [
  "host.snap",
  "before.snap",
  "after.snap",
  "web1.snap",
  "web2.snap",
  "db.snap",
  "hosts/web1.snap",
  "hosts/web2.snap",
];

/** Stub of a program: prints nothing and succeeds. */
const QUIET = "exec cat >/dev/null </dev/null";

export class Shell {
  readonly program = new Program();
  private readonly home = join(this.program.folder, "home");

  /** Builds the command line and creates the files and stubs that the commands of the manual need. */
  build(): void {
    this.program.build();
    const { folder } = this.program;
    for (const name of [
      "bin",
      "home",
      "home/etc/ufw",
      "home/etc/systemd/system",
      "home/usr/local/sbin",
      "home/.config/fish/completions",
      "home/hosts",
    ])
      mkdirSync(join(folder, name), { recursive: true });
    const host = `${examples}ufw-docker-20.10`;
    symlinkSync(host, join(this.home, "host"));
    for (const name of ["examples", "node_modules", "package.json"])
      symlinkSync(join(root, name), join(this.home, name));
    this.program.file("sample.snap", snapshot(partsOf(host)));
    for (const [name, from] of [
      ["v4.save", "iptables-save.txt"],
      ["v6.save", "ip6tables-save.txt"],
      ["addr.json", "addr.json"],
      ["docker-inspect.json", "docker-inspect.json"],
    ] as const)
      this.program.file(`home/${name}`, readFileSync(join(host, from), "utf8"));
    this.program.file("home/policy.yaml", readFileSync(join(root, "examples/policy.yaml"), "utf8"));
    this.program.file("home/exposure.yaml", "open:\n  - port: 8000-9443\n");
    this.program.file(
      "home/packets.ndjson",
      `{"in":"eth0","src":"203.0.113.2","dst":"203.0.113.1","proto":"tcp","sport":40000,"dport":22}\n`,
    );
    const save = `cat '${host}/iptables-save.txt'`;
    // The default policy routing of Linux; the sample has no listing of its own.
    const rules = `echo '[{"priority":0,"src":"all","table":"local"},{"priority":32766,"src":"all","table":"main"}]'`;
    const stubs: Readonly<Record<string, string>> = {
      fwcheck: `exec '${process.execPath}' '${folder}/cli/main.js' "$@"`,
      // ssh HOST COMMAND: the host is the sample.
      ssh: `shift; [ "$1" != sudo ] || shift; case "$1" in sh) cat >/dev/null; cat '${folder}/sample.snap';; iptables-save) ${save};; *) exit 9;; esac`,
      sudo: `exec "$@"`,
      "iptables-save": save,
      "iptables-nft-save": save,
      "ip6tables-nft-save": `cat '${host}/ip6tables-save.txt'`,
      "iptables-legacy-save": QUIET,
      "ip6tables-legacy-save": QUIET,
      "ip6tables-save": `cat '${host}/ip6tables-save.txt'`,
      "iptables-restore": `test "$1" = --noflush && cat >/dev/null`,
      "ip6tables-restore": `test "$1" = --noflush && cat >/dev/null`,
      nft: `case "$*" in *tables) cat '${host}/nft-tables.txt';; esac`,
      ipset: QUIET,
      ss: QUIET,
      ip: `case "$*" in *' rule'*) ${rules};; *-6*) cat '${host}/route6.json';; *route*) cat '${host}/route4.json';; *) cat '${host}/addr.json';; esac`,
      ufw: `test "$1" = reload || test "$1" = status`,
      systemctl: QUIET,
      docker: `case "$*" in 'ps -q'*|'network ls'*) echo 1;; *'network inspect'*) cat '${host}/docker-network-inspect.json';; inspect*) cat '${host}/docker-inspect.json';; esac`,
      podman: QUIET,
      npm: QUIET,
    };
    for (const [name, script] of Object.entries(stubs)) {
      this.program.file(`bin/${name}`, `#!/bin/sh\n${script}\n`);
      chmodSync(join(folder, "bin", name), 0o755);
    }
  }

  /** Runs a command line; paths below /etc and /usr/local/sbin are mapped into the folder. */
  async run(line: string): Promise<Run> {
    // Commands write files that later commands read: every run begins with the sample's.
    for (const name of SNAPSHOTS)
      copyFileSync(join(this.program.folder, "sample.snap"), join(this.home, name));
    const mapped = line.replaceAll(/(?<![\w.])\/(etc|usr\/local\/sbin)\//g, `${this.home}/$1/`);
    const call = simpleCall(mapped);
    if (call === null) return this.bash(mapped);
    const run = await this.program.run(call.words, { cwd: this.home });
    if (call.file === null) return run;
    writeFileSync(resolve(this.home, call.file), run.out);
    return { ...run, out: "" };
  }

  private bash(line: string): Run {
    const { status, stdout, stderr } = spawnSync("bash", ["-c", line], {
      cwd: this.home,
      encoding: "utf8",
      input: "",
      env: {
        PATH: `${join(this.program.folder, "bin")}:/usr/sbin:/usr/bin:/sbin:/bin`,
        HOME: this.home,
        NO_COLOR: "1",
        LANG: "C.UTF-8",
      },
    });
    return { code: status, out: stdout, err: stderr };
  }

  remove(): void {
    this.program.remove();
  }
}

interface SimpleCall {
  /** Arguments of fwcheck. */
  readonly words: readonly string[];
  /** File that standard output is redirected to. */
  readonly file: string | null;
}

/** Commands that need a process: they read standard input, or start processes themselves. */
const NEEDS_PROCESS = /^fwcheck collect\b| -(?: |$)|\.snap .*\.snap|\*\.snap/;

/** Parses a line that calls only fwcheck and needs no shell, `null` for any other line. */
function simpleCall(line: string): SimpleCall | null {
  const [, command = "", file = null] = /^(fwcheck .*?)(?: > (\S+))?$/.exec(line.trim()) ?? [];
  if (command === "" || NEEDS_PROCESS.test(command)) return null;
  if (/[|;&<>$`()*?~#\\"]/.test(`${command} ${file}`.replaceAll(/'[^']*'/g, ""))) return null;
  const words = [...command.matchAll(/'([^']*)'|(\S+)/g)].map((m) => m[1] ?? m[2]!);
  return { words: words.slice(1), file };
}
