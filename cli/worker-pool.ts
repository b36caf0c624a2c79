/** Runs jobs in long-lived child processes, so that a job that crashes or exceeds a limit affects no other. */
import { type ChildProcess, fork } from "node:child_process";

/** Limits for each job. */
export interface JobLimits {
  readonly seconds: number;
  /** Limit of the heap of V8 in MB; `null` for the default of Node, which depends on the machine. */
  readonly megabytes: number | null;
}

/** Reason why a job has no answer. */
export type JobFailure =
  | { readonly code: "time-limit"; readonly seconds: number }
  | { readonly code: "memory-limit"; readonly megabytes: number | null }
  /** The process ended: `by` is the signal or the exit code. */
  | { readonly code: "crashed"; readonly by: string };

/** Answer of a job, or the reason why there is none. */
export type JobResult<A> =
  | { readonly answer: A; readonly failure: null }
  | { readonly answer: null; readonly failure: JobFailure };

/** Entry point of the processes, and the argument that each gets. */
export interface WorkerProgram {
  readonly file: string;
  readonly argument: string;
}

/** Answers each job that `runJobs` of the parent process sends. Ends with the parent process. */
export function serveJobs<A>(answer: (job: string) => A): void {
  process.on("message", (job: string) => process.send?.(answer(job)));
  process.send?.(null);
}

/** Runs jobs in `count` processes; yields the result of each, in the order of the jobs. */
export async function* runJobs<A>(
  jobs: readonly string[],
  program: WorkerProgram,
  limits: JobLimits,
  count: number,
): AsyncGenerator<JobResult<A>> {
  const waiting = jobs.entries();
  const settle: ((result: JobResult<A>) => void)[] = [];
  const results = jobs.map((_, i) => new Promise<JobResult<A>>((resolve) => (settle[i] = resolve)));
  const work = async (): Promise<void> => {
    let worker: Worker<A> | null = null;
    for (const [i, job] of waiting) {
      worker ??= new Worker<A>(program, limits);
      let result: JobResult<A> = await worker.run(job);
      // Memory that an earlier job left may be the cause of a crash.
      if (isCrash(result) && !worker.isFirst) {
        worker = new Worker<A>(program, limits);
        result = await worker.run(job);
      }
      if (result.failure !== null) worker = null;
      settle[i]!(result);
    }
    worker?.end();
  };
  for (let i = 0; i < Math.min(count, jobs.length); i++) void work();
  for (const result of results) yield await result;
}

const isCrash = ({ failure }: JobResult<unknown>): boolean =>
  failure !== null && failure.code !== "time-limit";

/** Longest delay of setTimeout, in milliseconds. */
const MAX_DELAY = 2 ** 31 - 1;

/** Last characters of a process's stderr that are kept. */
const KEPT = 1 << 14;

/** V8 ends the process with such a message when its heap reaches the limit. */
const OUT_OF_MEMORY = /heap limit|out of memory/i;

/** Processes that have not ended. */
const running = new Set<ChildProcess>();

const killAll = (): void => running.forEach((child) => void child.kill("SIGKILL"));

/** A process that answers one job after the other. It is killed when this process exits. */
class Worker<A> {
  /** True until its second job. */
  isFirst = true;
  private readonly child: ChildProcess;
  private isStarted = false;
  private stderr = "";
  private timedOut = false;
  private settle: (result: JobResult<A>) => void = () => undefined;

  constructor(
    { file, argument }: WorkerProgram,
    private readonly limits: JobLimits,
  ) {
    const { megabytes } = limits;
    const child = fork(file, [argument], {
      stdio: ["ignore", "ignore", "pipe", "ipc"],
      execArgv: megabytes === null ? [] : [`--max-old-space-size=${megabytes}`],
    });
    this.child = child;
    if (running.size === 0) process.on("exit", killAll);
    running.add(child);
    child.stderr!.setEncoding("utf8").on("data", (part: string) => {
      this.stderr = (this.stderr + part).slice(-KEPT);
    });
    child.on("message", (answer) => this.settle({ answer: answer as A, failure: null }));
    // A job is not sent to a process that ended; "close" follows.
    child.on("error", (error) => (this.stderr += error.message));
    child.on("close", (code, signal) => {
      running.delete(child);
      if (running.size === 0) process.off("exit", killAll);
      this.settle({ answer: null, failure: this.failure(code, signal) });
    });
  }

  /** Runs a job; after a failure the process has ended. */
  async run(job: string): Promise<JobResult<A>> {
    // The time limit is that of the job, without the start of the process.
    if (!this.isStarted) {
      const started = await this.next(Number.POSITIVE_INFINITY);
      if (started.failure !== null) return started;
      this.isStarted = true;
    } else this.isFirst = false;
    const result = this.next(this.limits.seconds);
    this.child.send(job);
    return result;
  }

  /** Ends the process, which has no job. */
  end(): void {
    if (this.child.connected) this.child.disconnect();
  }

  /** Returns the next message of the process, or the reason why it ended. */
  private next(seconds: number): Promise<JobResult<A>> {
    return new Promise((resolve) => {
      const timer =
        seconds === Number.POSITIVE_INFINITY
          ? undefined
          : setTimeout(
              () => {
                this.timedOut = true;
                this.child.kill("SIGKILL");
              },
              Math.min(seconds * 1000, MAX_DELAY),
            );
      this.settle = (result) => {
        clearTimeout(timer);
        resolve(result);
      };
    });
  }

  private failure(code: number | null, signal: NodeJS.Signals | null): JobFailure {
    const { megabytes, seconds } = this.limits;
    if (this.timedOut) return { code: "time-limit", seconds };
    if (OUT_OF_MEMORY.test(this.stderr)) return { code: "memory-limit", megabytes };
    return { code: "crashed", by: signal ?? `exit code ${code}` };
  }
}
