/** `ss -H -l -n -t -u -p`: the sockets that listen on the host itself, and the programs that hold them (ss(8)). */
import { familyOf, parseAddress } from "../../packet/address.ts";
import { type Address, type Family, PROTO } from "../../packet/field.ts";
import type { Process, Socket } from "../host.ts";

/** A socket's line: protocol (absent with -t or -u alone), state, both queues, local and peer address, the rest. */
const LINE = /^(?:(tcp|udp)\s+)?(LISTEN|UNCONN)\s+\d+\s+\d+\s+(\S+)\s+(\S+)(?:\s+(.*))?$/;

/** A program in `users:(("NAME",pid=1,fd=3))`. The name is what the process calls itself: it may hold any character. */
const USER = /\("(.*?)",pid=(\d+),fd=\d+\)/g;

/** A line of /proc/PID/cgroup, as grep prints it, of a process in a container: Docker's id of the outermost one. */
const CGROUP = /^\/proc\/(\d+)\/cgroup:.*?\b(?:docker|libpod)[-/]([0-9a-f]{64})/;

/** The heading that `ss` prints without -H. */
const HEADING = /^(?:Netid\s+)?State\s+Recv-Q\s+Send-Q\s/;

/** Returns true for a text that `readSockets` can parse. */
export const listsSockets = (text: string): boolean =>
  text.split(/\r?\n/).some((line) => LINE.test(line) || CGROUP.test(line) || HEADING.test(line));

/**
 * Reads the sockets that listen, one for each family that they serve. Lines of /proc/PID/cgroup beside them name the
 * containers of their processes.
 * @throws Error when a text that is not empty holds no line of a socket, or one that cannot be read
 */
export function readSockets(source: string): Socket[] {
  const lines = source.split(/\r?\n/);
  const containers = new Map<string, string>();
  for (const line of lines) {
    const [, pid, id] = CGROUP.exec(line) ?? [];
    if (pid !== undefined) containers.set(pid, id!);
  }
  const found = lines.flatMap((line) => LINE.exec(line) ?? []).length > 0;
  const isEmpty = lines.every((line) => line.trim() === "" || HEADING.test(line));
  if (!found && containers.size === 0 && !isEmpty) throw new Error("no line is a listening socket");
  // Before iproute2 4.13, `*` is every address of IPv4 and `::` every one of IPv6; since then, `*` is both.
  const old = lines.some((line) => LINE.exec(line)?.[4]?.startsWith(":::") ?? false);
  const sockets = new Map<string, { socket: Socket; processes: Map<number, Process> }>();
  for (const line of lines) {
    const match = LINE.exec(line);
    if (match === null) continue;
    const proto = (match[1] ?? (match[2] === "LISTEN" ? "tcp" : "udp")) === "tcp" ? PROTO.tcp : PROTO.udp;
    const local = localOf(match[3]!, old);
    if (local === null) throw new Error(`${match[3]} is no address with a port; was -n left out?`);
    const processes = [...(match[5] ?? "").matchAll(USER)].map(([, name, pid]): Process => {
      const container = containers.get(pid!);
      return {
        name: name!,
        pid: Number(pid),
        ...(container === undefined ? {} : { container }),
      };
    });
    for (const family of local.families) {
      const { address, port, device } = local;
      const key = `${family} ${proto} ${address} ${device} ${port}`;
      let known = sockets.get(key);
      if (known === undefined) {
        known = {
          socket: { family, proto, address, device, port, processes: [] },
          processes: new Map(),
        };
        sockets.set(key, known);
      }
      for (const process of processes) known.processes.set(process.pid, process);
    }
  }
  return [...sockets.values()].map(({ socket, processes }) => ({
    ...socket,
    processes: [...processes.values()],
  }));
}

interface Local {
  readonly families: readonly Family[];
  /** `null` for every address. */
  readonly address: Address | null;
  readonly port: number;
  readonly device: string | null;
}

/** `127.0.0.1%lo:53`, `[::]:80`, `*:22`, `[::ffff:192.0.2.1]:80`; `null` where it is none of these. */
function localOf(text: string, old: boolean): Local | null {
  const [, where, number] = /^(.*):(\d{1,5})$/.exec(text) ?? [];
  if (where === undefined || Number(number) > 0xffff) return null;
  const [bare, device = null] = where.replace(/^\[(.*)\](%.*)?$/, "$1$2").split("%") as [string, string?];
  const port = Number(number);
  if (bare === "*") return { families: old ? [4] : [4, 6], address: null, port, device };
  const family = familyOf(bare);
  const address = family === undefined ? undefined : parseAddress(bare, family);
  if (family === undefined || address === undefined) return null;
  // An IPv6 socket that is bound to an IPv4 address (ip(7), "v4-mapped") serves IPv4.
  if (typeof address === "bigint" && address >> 32n === 0xffffn)
    return {
      families: [4],
      address: wildcard(Number(address & 0xffff_ffffn)),
      port,
      device,
    };
  // Old versions do not print whether a socket of every IPv6 address accepts IPv4, too (IPV6_V6ONLY): it does by default.
  if (old && address === 0n) return { families: [4, 6], address: null, port, device };
  return { families: [family], address: wildcard(address), port, device };
}

const wildcard = (address: Address): Address | null => (address === 0 || address === 0n ? null : address);
