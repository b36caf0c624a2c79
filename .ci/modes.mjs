// Gives everything that is packed the modes it has for all users: a checkout or a build under a strict umask would
// otherwise publish files that only their owner can read.
import { chmodSync, readdirSync } from "node:fs";
import { join } from "node:path";

export function setModes() {
  const packed = ["package.json", "README.md", "LICENSE", "CHANGELOG.md"];
  for (const entry of readdirSync("dist", { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name);
    if (entry.isDirectory()) chmodSync(path, 0o755);
    else packed.push(path);
  }
  for (const path of packed) chmodSync(path, path === join("dist", "cli", "main.js") ? 0o755 : 0o644);
}
