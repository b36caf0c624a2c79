import { spawn } from "node:child_process";
import script from "../collect.sh";
import { print } from "../output.ts";

/** `fwcheck collect`: the collector's script, or with `--live` what it gathers here; then its exit code. */
export function run({ live }: { readonly live?: boolean | undefined }): number | Promise<number> {
  if (live !== true) {
    print(script);
    return 0;
  }
  return new Promise((resolve, reject) => {
    const shell = spawn("sh", ["-s"], { stdio: ["pipe", "inherit", "inherit"] });
    shell.on("error", reject);
    shell.on("close", (code) => resolve(code ?? 2));
    shell.stdin.end(script);
  });
}
