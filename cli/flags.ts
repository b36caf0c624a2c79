/** Flags that several commands share, as yargs declares them. */

/** Inputs of a command: the positional `<rules..>`. */
export const rulesPositional = {
  rules: {
    describe:
      "snapshots, files of iptables-save and ip6tables-save, a folder of captured files, or - for standard input",
    type: "string",
    array: true,
    demandOption: true,
  },
} as const;

/** Files with output of other programs on the same host. */
export const hostFlags = {
  addr: {
    type: "string",
    array: true,
    describe: "interfaces and addresses: output of ip -j addr",
    requiresArg: true,
    nargs: 1,
  },
  route: {
    type: "string",
    array: true,
    describe: "routes: output of ip -j route show table all (and ip -6 ...)",
    requiresArg: true,
    nargs: 1,
  },
  rule: {
    type: "string",
    array: true,
    describe: "policy routing: output of ip -j rule",
    requiresArg: true,
    nargs: 1,
  },
  ipset: {
    type: "string",
    array: true,
    describe: "sets: output of ipset save",
    requiresArg: true,
    nargs: 1,
  },
  docker: {
    type: "string",
    array: true,
    describe: "containers and networks: output of docker inspect, docker network inspect",
    requiresArg: true,
    nargs: 1,
  },
  sysctl: {
    type: "string",
    array: true,
    describe: "kernel settings: output of sysctl -a",
    requiresArg: true,
    nargs: 1,
  },
  listening: {
    type: "string",
    array: true,
    describe: "sockets of the host itself: output of ss -H -l -n -t -u -p",
    requiresArg: true,
    nargs: 1,
  },
} as const;

export const jsonFlag = {
  json: { type: "boolean", describe: "print JSON and nothing else" },
} as const;

/** Flags that state what the inputs do not show. */
export const assumptionFlags = {
  assume: {
    type: "string",
    array: true,
    nargs: 1,
    choices: ["complete"],
    describe:
      "complete: no other rules filter on the host: no nftables tables, no rules of the other iptables backend or of a family that is not given",
    requiresArg: true,
  },
  "engine-table": {
    type: "string",
    array: true,
    nargs: 1,
    describe:
      'table of nftables that a container engine fills, by family and name ("ip myengine"), where fwcheck does not know the engine',
    requiresArg: true,
  },
} as const;

/** Flags that decide the exit code of an audit, and limit its cost. */
export const auditFlags = {
  expect: {
    type: "string",
    describe: "YAML file with the ports that may be open, and to which sources; exit 1 on any other exposure",
    requiresArg: true,
  },
  "fail-on": {
    type: "string",
    describe:
      "findings that exit with 1: any (the default), must, none, or kinds of findings (and lint), separated by commas",
    requiresArg: true,
  },
  budget: {
    type: "number",
    describe: "limit on the size of the packet sets, in intervals (50 million, about 1 GB)",
    requiresArg: true,
  },
} as const;

/** Builds the flag `--family`. Its values are strings, since yargs completes no numbers. */
export const familyFlag = <const D extends string>(describe: D) =>
  ({ family: { type: "string", choices: ["4", "6"], describe, requiresArg: true } }) as const;

/** Returns the address family that `--family` names. */
export const familyFlagValue = (args: { readonly family?: "4" | "6" | undefined }): 4 | 6 | undefined =>
  args.family === undefined ? undefined : args.family === "4" ? 4 : 6;
