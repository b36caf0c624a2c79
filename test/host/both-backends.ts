/** Runs commands in a network namespace with rules of both backends of iptables. */
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** Sends a packet to the host itself. */
const SEND =
  "python3 -c \"import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', 53))\"";

/**
 * Returns what commands print in a namespace of their own.
 * @param prepare commands before a packet is sent over loopback
 * @param then commands after it, whose output is returned
 */
export function namespaceRun(prepare: string, then: string): string {
  const folder = mkdtempSync(join(tmpdir(), "fwcheck-both-"));
  try {
    const text = `ip link set lo up\n{\n${prepare}\n${SEND}\n} >/dev/null 2>&1\n${then} 2>&1`;
    return spawnSync("unshare", ["-n", "sh", "-c", text], { cwd: folder, encoding: "utf8", timeout: 60_000 })
      .stdout;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** True if a namespace can have rules of both backends. */
export const canRun: boolean =
  namespaceRun(
    "",
    "iptables-nft -A INPUT -j ACCEPT && iptables-legacy -A INPUT -j ACCEPT && command -v python3 >/dev/null && echo yes",
  ) === "yes\n";
