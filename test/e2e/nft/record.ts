/** Checks and the table of a run. */

const started = Date.now();
let passed = 0;
let failed = 0;
const rows: string[] = [];

export const since = (): string => `${((Date.now() - started) / 1000).toFixed(0)} s`;

/** Counts a check; prints it if it fails. */
export function check(what: string, fine: boolean, more = ""): void {
  if (fine) passed++;
  else {
    failed++;
    process.stdout.write(`FAILED: ${what}${more === "" ? "" : `: ${more}`}\n`);
  }
}

export const say = (text: string): void => void process.stdout.write(`${text}\n`);

/** Adds a row to the table; its last column is the number of checks that failed in `run`, which returns the number of probes. */
export async function row(cells: readonly string[], run: () => number | Promise<number>): Promise<void> {
  const bad = failed;
  const number = await run();
  rows.push(
    `| ${[...cells, number, failed === bad ? "all as expected" : `${failed - bad} FAILED`].join(" | ")} |`,
  );
}

/** Prints the table and the sum; returns the exit code. */
export function summary(): number {
  say(`\n| host | strategy | form | connections | |\n|---|---|---|---|---|\n${rows.join("\n")}`);
  say(`\nnftables: ${passed} passed, ${failed} failed, ${since()}`);
  return failed === 0 ? 0 : 1;
}
