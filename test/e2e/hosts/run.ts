/**
 * Hosts for real: each record of records.ts is built with the real ufw, dockerd and kernel, clients connect, and all
 * answers of fwcheck are compared with what they reached. The fix is then applied, every connection is tried again, and
 * after the undo the rules are what they were.
 *
 * HOSTS_ONLY=NAME (a regular expression) for some, HOSTS_BACKEND=nft or legacy for one, HOSTS_WORKERS=1 for one at a time (4, since
 * most of the time is spent on waiting for connections that time out),
 * HOSTS_KEEP=FOLDER for snapshots and truths, E2E_ROOTFS=FOLDER for the Docker of another Debian (../root.sh).
 */
import { type ChildProcess, fork, spawnSync } from "node:child_process";
import { copyFileSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { compared, HEAD, judge, nameOf, row } from "../../hosts/judge.ts";
import { closed, FOLDER, fwcheck, piped } from "../lab.ts";
import { attempt, type HostRecord, LabHost, lab } from "./host.ts";
import { RECORDS } from "./records.ts";

type Backend = "nft" | "legacy";

interface Job {
  readonly name: string;
  readonly backend: Backend;
  readonly dockerd: string;
}

interface Done {
  readonly name: string;
  readonly backend: Backend;
  readonly row: string;
  readonly wrong: readonly string[];
  readonly seconds: number;
}

/** Major version of Docker on the hosts. */
function version(): number {
  const root = process.env.E2E_ROOTFS ?? "/";
  const run = spawnSync("chroot", [root, "dockerd", "--version"], { encoding: "utf8" });
  return Number(/version (\d+)/.exec(run.stdout ?? "")?.[1] ?? 0);
}

/** Returns true if the kernel can create links of a type; tried in a namespace that ends with the command. */
const hasLink = (type: string): boolean =>
  spawnSync("unshare", [
    "-n",
    "sh",
    "-c",
    `ip link add d0 type dummy || ip link add d0 type veth peer name d1; ip link add link d0 name x0 type ${type}`,
  ]).status === 0;

const flagsOf = (record: HostRecord, docker: number): string =>
  [record.plain === true || docker >= 28 ? "" : "--experimental --ip6tables", record.dockerd ?? ""]
    .join(" ")
    .trim();

/** Rules of both families without counters and comments. */
const rules = (): string =>
  lab("h iptables-save; h ip6tables-save")
    .replace(/^#.*\n/gm, "")
    .replace(/\[\d+:\d+\]/g, "");

let script: string | undefined;

/** The script that `fwcheck collect` prints. */
const collector = (): string => {
  script ??= fwcheck("collect").out;
  return script;
};

/** Builds one host and judges every answer and the fix. */
function work(record: HostRecord, { name, backend }: Job): Omit<Done, "seconds"> {
  const path = join(FOLDER, `${name}.snap`);
  const host = new LabHost(record);
  const lines = host.build();
  const collected = attempt('h env DOCKER_HOST="unix://$SOCK" sh', collector());
  writeFileSync(path, collected.out);
  if (process.env.HOSTS_KEEP !== undefined) keep(process.env.HOSTS_KEEP, `${name}-${backend}`, path, lines);
  const judgement = judge(path, lines, (args, input = "") => piped(args, input));
  const wrong = [...judgement.wrong];
  const { rules: fix, fixed, closes } = judgement;
  if (fix !== null && fix.script !== "" && judgement.fix.holds) {
    const before = rules();
    writeFileSync(join(FOLDER, "fix.sh"), fix.script);
    const applied = attempt('h timeout 60 sh "$E2E/fix.sh"');
    if (applied.code !== 0) wrong.push(`fix.sh: exit ${applied.code}: ${applied.err.trim().slice(-300)}`);
    const real = host.open(lines);
    for (const [i, line] of lines.entries())
      if (closes.has(line) && real[i] === "open")
        wrong.push(`${nameOf(line)}: open with the fix, which does not name it`);
      else if (fixed[i] !== undefined && compared(fixed[i]!, real[i]!) === "wrong" && line.real !== real[i])
        wrong.push(
          `${nameOf(line)}: ${line.real} before, ${real[i]} with the fix, simulate ${fixed[i]!.verdict}`,
        );
    const undone = attempt('h sh "$E2E/fix.sh" --undo');
    const after = rules();
    if (undone.code !== 0) wrong.push(`fix.sh --undo: exit ${undone.code}: ${undone.err.trim().slice(-300)}`);
    if (after !== before)
      wrong.push(`the undo does not leave the rules that were there: ${differences(before, after)}`);
  }
  return { name, backend, row: row(`${name}, ${backend}`, judgement), wrong };
}

function keep(folder: string, name: string, snapshot: string, lines: readonly unknown[]): void {
  mkdirSync(join(folder, name), { recursive: true });
  copyFileSync(snapshot, join(folder, name, "host.snap"));
  writeFileSync(
    join(folder, name, "truth.ndjson"),
    lines.map((line) => `${JSON.stringify(line)}\n`).join(""),
  );
}

function differences(a: string, b: string): string {
  const [x, y] = [a.split("\n"), b.split("\n")];
  const [gone, come] = [x.filter((l) => !y.includes(l)), y.filter((l) => !x.includes(l))];
  return (
    [...gone.map((l) => `- ${l}`), ...come.map((l) => `+ ${l}`)].join(", ").slice(0, 400) || "another order"
  );
}

/** A worker: hosts one after the other, with a new lab only for another backend or other flags of dockerd. */
function worker(): void {
  let running = "";
  const end = (code: number): void => {
    attempt("stop");
    process.exit(code);
  };
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => end(1));
  process.on("disconnect", () => end(0));
  process.on("message", (job: Job | "end") => {
    if (job === "end") return end(0);
    const from = Date.now();
    const wanted = `${job.backend} ${job.dockerd}`;
    let done: Omit<Done, "seconds">;
    try {
      if (running !== wanted) {
        attempt('stop; rm -rf "$E2E"/*');
        running = "";
        lab(`start ${job.backend} ${job.dockerd}`);
        running = wanted;
      } else lab("settle");
      const record = RECORDS.find((r) => r.name === job.name)!;
      done = work(record, job);
      if (record.fresh === true) running = "";
    } catch (error) {
      running = "";
      const why = error instanceof Error ? error.message : String(error);
      const { name, backend } = job;
      done = {
        name,
        backend,
        row: `| ${name}, ${backend} | not built |  |  |  |  |  |`,
        wrong: [why.slice(-1500)],
      };
    }
    process.send!({ ...done, seconds: (Date.now() - from) / 1000 } satisfies Done);
  });
}

/** Gives hosts to workers, those with the same flags to the same one. */
async function main(): Promise<void> {
  const why = closed();
  if (why !== undefined) return void process.stdout.write(`skipped: ${why}\n`);
  const docker = version();
  const only = new RegExp(process.env.HOSTS_ONLY ?? "");
  const backends = (process.env.HOSTS_BACKEND ?? "nft legacy").split(" ") as Backend[];
  const chosen = RECORDS.filter((r) => only.test(r.name));
  const lacking = [...new Set(chosen.flatMap(({ link }) => link ?? []))].filter((link) => !hasLink(link));
  for (const { name, link = "" } of chosen)
    if (lacking.includes(link))
      process.stdout.write(`left out: ${name}: this kernel makes no link of type ${link}\n`);
  const jobs = chosen
    .filter(
      (r) =>
        !lacking.includes(r.link ?? "") &&
        docker >= (r.since ?? 0) &&
        docker <= (r.until ?? Number.POSITIVE_INFINITY),
    )
    .flatMap((record) =>
      backends
        .filter((backend) => (record.backend ?? backend) === backend)
        .map((backend): Job => ({ name: record.name, backend, dockerd: flagsOf(record, docker) })),
    );
  const started = Date.now();
  const done: Done[] = [];
  const image = join(FOLDER, "image.tar");
  lab(`files "${image}"`);
  const children: ChildProcess[] = [];
  for (const signal of ["SIGINT", "SIGTERM"] as const)
    process.on(signal, () => {
      // A worker is busy until its host is done; then it gets no other.
      jobs.length = 0;
      for (const child of children) child.kill("SIGTERM");
    });
  const total = jobs.length;
  /** Hosts that failed once: a client of a busy machine may time out. What fails twice has failed. */
  const again = new Set<string>();
  await Promise.all(
    Array.from({ length: Math.min(Number(process.env.HOSTS_WORKERS ?? 4), total) }, (_, n) => {
      const folder = join(FOLDER, `w${n}`);
      mkdirSync(folder);
      return new Promise<void>((resolve) => {
        const child = fork(process.argv[1]!, {
          env: { ...process.env, E2E: folder, HOSTS_IMAGE: image, HOSTS_WORKER: "1" },
        });
        children.push(child);
        let last = "";
        let current: Job;
        const next = (): void => {
          const key = (job: Job): string => `${job.backend} ${job.dockerd}`;
          const [first] = jobs;
          const same = jobs.findIndex((job) => key(job) === last);
          // Workers start at opposite ends, so that each keeps one backend.
          const at = same >= 0 ? same : n % 2 === 0 ? 0 : jobs.length - 1;
          if (first === undefined) return void child.send("end");
          const [job] = jobs.splice(at, 1);
          last = key(job!);
          current = job!;
          child.send(current);
        };
        child.on("message", (answer: Done) => {
          const host = `${answer.name}, ${answer.backend}`;
          const fine = answer.wrong.length === 0;
          const final = fine || again.has(host);
          const how = fine
            ? ""
            : `: FAILED${final ? "" : ", built again"}\n${answer.wrong.map((w) => `  ${w}`).join("\n")}`;
          process.stdout.write(`${host} (${answer.seconds.toFixed(1)} s)${how}\n`);
          if (final) done.push(answer);
          else {
            again.add(host);
            jobs.push(current);
          }
          next();
        });
        child.on("exit", () => resolve());
        next();
      });
    }),
  );
  const failed = total - done.filter(({ wrong }) => wrong.length === 0).length;
  const order = done.sort((a, b) => (a.row < b.row ? -1 : 1));
  process.stdout.write(
    `\n${HEAD}\n${order.map((d) => d.row).join("\n")}\n\nDocker ${docker}, ${((Date.now() - started) / 1000).toFixed(0)} s: ${total - failed} passed, ${failed} failed\n`,
  );
  process.exitCode = failed === 0 ? 0 : 1;
}

if (process.env.HOSTS_WORKER === undefined) await main();
else worker();
