import { spawn } from "node:child_process";
import { safeLines } from "../../lib/index.ts";
import script from "../collect.sh";
import { print } from "../output.ts";

/** Runs `fwcheck collect`: prints the script, or with `--live` the snapshot of this host. @returns the exit code */
export function run({ live }: { readonly live?: boolean | undefined }): number | Promise<number> {
  if (live !== true) {
    print(script);
    return 0;
  }
  return new Promise((resolve, reject) => {
    const shell = spawn("sh", ["-s"], {
      stdio: ["pipe", process.stdout.isTTY ? "pipe" : "inherit", "inherit"],
    });
    shell.stdout?.setEncoding("utf8").on("data", (text: string) => print(safeLines(text)));
    shell.on("error", reject);
    shell.on("close", (code) => resolve(code ?? 2));
    shell.stdin!.end(script);
  });
}
