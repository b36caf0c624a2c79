/** Hosts with the nftables rules that real programs wrote: captures, and this machine's firewalld. */
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Family } from "fwcheck";
import { INTERFACES } from "../generate.ts";
import { ROUTER, type Scenario } from "../lab.ts";
import { older } from "./older.ts";

interface Link {
  readonly ifname: string;
  readonly master?: string;
  readonly linkinfo?: { readonly info_kind?: string };
}

interface Addresses extends Link {
  readonly addr_info: readonly { local: string; prefixlen: number; family: string; scope: string }[];
}

/** Rules whose rate is reached at once would make a difference of time, not of meaning. */
const untimed = (text: string): string =>
  text
    .replace(
      /limit rate (over )?\d+\/\w+( burst \d+ packets)?/g,
      "limit rate $1100000/second burst 100000 packets",
    )
    .replace(/--limit \S+( --limit-burst \d+)?/g, "--limit 10000/sec --limit-burst 10000");

/** The interfaces of a capture; each bridge has two ports. */
function interfacesOf(folder: string, family: Family): Scenario["interfaces"] {
  const json = (file: string): string => readFileSync(join(folder, file), "utf8");
  const links = JSON.parse(json("link.json")) as Link[];
  const addresses = JSON.parse(json("addr.json")) as Addresses[];
  return addresses
    .filter((i) => i.ifname !== "lo" && i.master === undefined)
    .map((i, n) => {
      const bridge = links.find((l) => l.ifname === i.ifname)?.linkinfo?.info_kind === "bridge";
      return {
        name: i.ifname,
        ...(bridge ? { ports: [`p${n}a`, `p${n}b`] } : { ethernet: true }),
        addresses: i.addr_info
          .filter((a) => a.family === (family === 4 ? "inet" : "inet6") && a.scope !== "link")
          .map((a) => `${a.local}/${a.prefixlen}`),
      };
    });
}

function* captured(folder: string, name: string): Generator<Scenario> {
  for (const family of [4, 6] as const) {
    const save = join(folder, family === 4 ? "iptables-save.txt" : "ip6tables-save.txt");
    yield {
      name: `nft ${name} IPv${family}`,
      family,
      interfaces: interfacesOf(folder, family),
      routes: ["default dev eth0"],
      rules: [],
      sysctls: ROUTER,
      save: existsSync(save) ? untimed(readFileSync(save, "utf8")) : "",
      backend: "nft",
      nft: untimed(older(readFileSync(join(folder, "nft.txt"), "utf8"))),
    };
  }
}

/** Captures with a listing of nft, in this folder and those below it. */
function* below(at: string, name: string): Generator<Scenario> {
  if (existsSync(join(at, "nft.txt"))) yield* captured(at, name);
  for (const each of readdirSync(at, { withFileTypes: true }))
    if (each.isDirectory()) yield* below(join(at, each.name), `${name}/${each.name}`);
}

/** The rules of this machine's firewalld; none without one. */
function firewalld(script: string): Scenario[] {
  const words = ["60", "unshare", "-n", "-m", "--propagation", "private", "sh", script];
  const { status, stdout, stderr } = spawnSync("timeout", words, { encoding: "utf8" });
  if (status !== 0) {
    // A run that must be whole fails at this word.
    console.log(`skipped: the rules of firewalld: ${stderr.trim().slice(-200)}`);
    return [];
  }
  return ([4, 6] as const).map((family) => ({
    name: `nft firewalld IPv${family}`,
    family,
    interfaces: INTERFACES[family],
    routes: [family === 4 ? "default dev eth0" : "default via 2001:db8:1::fe dev eth0"],
    rules: [],
    sysctls: ROUTER,
    save: "",
    nft: untimed(stdout),
  }));
}

/** All of them; `root` is the project's folder and `here` that of the kernel tests. */
export function nftCaptures(root: string, here: string): Scenario[] {
  const at = join(root, "../shared/captures-nft");
  return [...(existsSync(at) ? below(at, "captures") : []), ...firewalld(join(here, "nft/firewalld.sh"))];
}
