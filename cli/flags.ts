/** What the command line knows by itself, before anything of the library is loaded. */

/** What `-` stands for; yargs loses a lone dash among several positionals, so it is spelled out before. */
export const STDIN = "/dev/stdin";

/** Flags that say what is known of the host, for every command. */
export const hostFlags = {
  addr: {
    type: "string",
    array: true,
    describe: "interfaces and addresses: ip -j addr",
    requiresArg: true,
    nargs: 1,
  },
  route: {
    type: "string",
    array: true,
    describe: "routes: ip -j route show table all (and ip -6 ...)",
    requiresArg: true,
    nargs: 1,
  },
  rule: { type: "string", array: true, describe: "policy routing: ip -j rule", requiresArg: true, nargs: 1 },
  ipset: { type: "string", array: true, describe: "sets: ipset save", requiresArg: true, nargs: 1 },
  docker: {
    type: "string",
    array: true,
    describe: "docker inspect, docker network inspect",
    requiresArg: true,
    nargs: 1,
  },
  sysctl: {
    type: "string",
    array: true,
    describe: "kernel settings: sysctl -a",
    requiresArg: true,
    nargs: 1,
  },
  listening: {
    type: "string",
    array: true,
    describe: "sockets of the host itself: ss -H -l -n -t -u -p",
    requiresArg: true,
    nargs: 1,
  },
} as const;
