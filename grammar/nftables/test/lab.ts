/**
 * The real nft as the judge: the lines of corpus.txt go into a network namespace of their own and come back as a listing.
 * Nothing here touches the namespace it is started in.
 */
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";

/** Versions of nft with recorded listings, from old to new. */
export const VERSIONS: readonly string[] = ["1.0.6", "1.1.3", "1.1.7"];

/** Flags of `nft list ruleset` with a recorded listing, and the ending of the file's name. */
export const LISTINGS: ReadonlyMap<string, string> = new Map([
  ["", ""],
  ["-a", "-handles"],
]);

/** File of the recorded listing. */
export const recordOf = (version: string, ending: string): URL =>
  new URL(`recorded-${version}${ending}.txt`, import.meta.url);

/** The commands of corpus.txt, one a line. */
export function corpus(): string[] {
  const commands: string[] = [];
  let prefix = "";
  for (const line of readFileSync(new URL("corpus.txt", import.meta.url), "utf8").split("\n")) {
    if (line === "" || line.startsWith("#")) continue;
    if (line.startsWith("=")) prefix = line.slice(2);
    else commands.push(prefix === "" ? line : `${prefix} ${line}`);
  }
  return commands;
}

/** Runs a script of sh in a fresh network namespace. */
export function inNamespace(script: string, input: string): { status: number; out: string; err: string } {
  const run = spawnSync("unshare", ["-n", "sh", "-c", script], {
    input,
    encoding: "utf8",
    maxBuffer: 1 << 28,
    env: { ...process.env, LC_ALL: "C" },
  });
  return { status: run.status ?? 1, out: run.stdout, err: run.stderr };
}

/**
 * Gives nft each line on its own.
 * @param nft the program, and `chroot FOLDER` before it for another version
 * @param flags of each listing
 * @returns the lines that were refused, and the listings
 */
export function loadCorpus(
  nft: string,
  lines: readonly string[],
  flags: readonly string[],
): { refused: string[]; listings: string[] } {
  const script = `ip link set lo up; ip link add dummy0 type dummy 2>/dev/null
while IFS= read -r line; do printf '%s\\n' "$line" | ${nft} -f - 2>/dev/null || printf '%s\\n' "$line"; done
${flags.map((flag) => `printf '\\001'; ${nft} ${flag} list ruleset`).join("\n")}`;
  const { out } = inNamespace(script, `${lines.join("\n")}\n`);
  const [refused, ...listings] = out.split("\u0001");
  return { refused: refused!.split("\n").filter((line) => line !== ""), listings };
}

/** Version of an nft, `""` if it does not run. */
export function versionOf(nft: string): string {
  const { out } = inNamespace(`${nft} --version`, "");
  return /v(\d+\.\d+\.\d+)/.exec(out)?.[1] ?? "";
}

/** Replaces the times that a listing counts down. */
export const withoutTimes = (listing: string): string => listing.replace(/expires \w+/g, "expires 1s");
