/** Jobs in processes: limits, crashes, and the order of results. */
import { afterAll, describe, expect, test } from "vitest";
import { runJobs } from "../../cli/worker-pool.ts";
import { Program } from "./program.ts";

const program = new Program();
afterAll(() => program.remove());

/** Answers `N: JOB` for the Nth job of the process; some jobs end it. */
const file = program.file(
  "worker.mjs",
  `let count = 0;
const held = [];
const jobs = {
  exit: () => process.exit(7),
  kill: () => process.kill(process.pid, "SIGKILL"),
  spin: () => { for (;;); },
  fill: () => { for (;;) held.push(new Array(1000).fill({})); },
  second: () => { if (count > 1) process.exit(8); },
};
process.on("message", (job) => {
  count++;
  jobs[job]?.();
  const wait = job === "wait" ? 300 : 0;
  setTimeout(() => process.send(count + ": " + job + process.argv[2]), wait);
});
process.send(null);
`,
);

const run = async (
  jobs: readonly string[],
  count = 1,
  limits = { seconds: 20, megabytes: 40 },
): Promise<unknown[]> => {
  const results: unknown[] = [];
  const program = { file, argument: "!" };
  for await (const { answer, failure } of runJobs<string>(jobs, program, limits, count))
    results.push(answer ?? failure);
  return results;
};

test("one process answers all jobs", async () =>
  expect(await run(["a", "b", "c"])).toEqual(["1: a!", "2: b!", "3: c!"]));

test("results are in the order of the jobs", async () =>
  expect(await run(["wait", "a", "b"], 2)).toEqual(["1: wait!", "1: a!", "2: b!"]));

test("no job", async () => expect(await run([])).toEqual([]));

describe("a job that ends its process has a reason, and the others an answer", () => {
  test.each([
    ["exit", { code: "crashed", by: "exit code 7" }],
    ["kill", { code: "crashed", by: "SIGKILL" }],
    ["fill", { code: "memory-limit", megabytes: 40 }],
  ])("%s", async (job, failure) => {
    expect(await run(["a", job, "b"])).toEqual(["1: a!", failure, "1: b!"]);
    expect(await run([job, job, "b"])).toEqual([failure, failure, "1: b!"]);
  });
  test("the time limit", async () =>
    expect(await run(["a", "spin", "b"], 1, { seconds: 0.5, megabytes: 40 })).toEqual([
      "1: a!",
      { code: "time-limit", seconds: 0.5 },
      "1: b!",
    ]));
});

test("a job is run again in a new process where earlier jobs may be the cause of a crash", async () =>
  expect(await run(["a", "second", "b"])).toEqual(["1: a!", "1: second!", "2: b!"]));

test("a program that does not start", async () => {
  const program = { file: `${file}.missing`, argument: "" };
  const results: unknown[] = [];
  for await (const { failure } of runJobs<string>(["a", "b"], program, { seconds: 9, megabytes: null }, 2))
    results.push(failure);
  expect(results).toEqual([
    { code: "crashed", by: "exit code 1" },
    { code: "crashed", by: "exit code 1" },
  ]);
});
