/**
 * A place where the commands of the manual and of --help can be run as they are printed: with a host to speak of under
 * the names that the manual uses, and with stand-ins for programs that need root or another machine.
 */
import { spawnSync } from "node:child_process";
import { chmodSync, copyFileSync, mkdirSync, readFileSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { examples } from "../capture.ts";
import { Program, type Run } from "./program.ts";
import { partsOf, snapshot } from "./snapshot.ts";

const root = new URL("../..", import.meta.url).pathname;

/** Snapshots that the manual speaks of. */
const SNAPSHOTS = ["host.snap", "web1.snap", "web2.snap", "db.snap", "hosts/web1.snap", "hosts/web2.snap"];

/** What stands for a program: it says nothing, and ends well. */
const QUIET = "exec cat >/dev/null </dev/null";

export class Shell {
  readonly program = new Program();
  private readonly home = join(this.program.folder, "home");

  /** Builds the CLI and lays out what the manual's commands name. */
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
    this.program.file("home/exposure.yaml", "open:\n  - port: 8000-9443\n");
    this.program.file(
      "home/packets.ndjson",
      `{"in":"eth0","src":"203.0.113.2","dst":"203.0.113.1","proto":"tcp","sport":40000,"dport":22}\n`,
    );
    const save = `cat '${host}/iptables-save.txt'`;
    // Policy routing as every host has it: the sample's captures have no listing of their own.
    const rules = `echo '[{"priority":0,"src":"all","table":"local"},{"priority":32766,"src":"all","table":"main"}]'`;
    const stands: Readonly<Record<string, string>> = {
      fwcheck: `exec '${process.execPath}' '${folder}/cli/main.js' "$@"`,
      // ssh HOST COMMAND: that host is the sample's.
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
      npm: QUIET,
    };
    for (const [name, script] of Object.entries(stands)) {
      this.program.file(`bin/${name}`, `#!/bin/sh\n${script}\n`);
      chmodSync(join(folder, "bin", name), 0o755);
    }
  }

  /** Runs a command line. Files of the system that it writes are those of the place. */
  run(line: string): Run {
    // Commands write files that the next one reads: each begins with the sample's.
    for (const name of SNAPSHOTS)
      copyFileSync(join(this.program.folder, "sample.snap"), join(this.home, name));
    const { status, stdout, stderr } = spawnSync(
      "bash",
      ["-c", line.replaceAll(/(?<![\w.])\/(etc|usr\/local\/sbin)\//g, `${this.home}/$1/`)],
      {
        cwd: this.home,
        encoding: "utf8",
        input: "",
        env: {
          PATH: `${join(this.program.folder, "bin")}:/usr/sbin:/usr/bin:/sbin:/bin`,
          HOME: this.home,
          NO_COLOR: "1",
          LANG: "C.UTF-8",
        },
      },
    );
    return { code: status, out: stdout, err: stderr };
  }

  remove(): void {
    this.program.remove();
  }
}
