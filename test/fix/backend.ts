/** Runs scripts with one backend of iptables in namespaces of its own. */
import { spawnSync } from "node:child_process";

/** Returns what runs a script in a folder and in fresh namespaces, in which `iptables` is that of a backend. */
export const backends = (folder: string) => (backend: string, text: string) => {
  const links = ["iptables", "ip6tables"].flatMap((tool) =>
    ["", "-save", "-restore"].map(
      (end) => `ln -s "$(command -v ${tool}-${backend}${end})" /run/x/${tool}${end}`,
    ),
  );
  const prepared = `mount --make-rprivate /; mount -t tmpfs tmpfs /run; mkdir /run/x; ${links.join("; ")}; PATH=/run/x:$PATH`;
  const run = spawnSync("unshare", ["-n", "-m", "sh", "-uc", `${prepared}\n${text}`], {
    cwd: folder,
    encoding: "utf8",
    timeout: 60_000,
  });
  return { code: run.status, out: run.stdout ?? "", err: run.stderr ?? "" };
};
