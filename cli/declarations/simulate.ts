import { defineCommand } from "../command.ts";
import { hostFlags, jsonFlag, rulesPositional } from "../flags.ts";

export const command = defineCommand({
  positionals: rulesPositional,
  flags: {
    in: { type: "string", describe: "interface on which the packet arrives", requiresArg: true },
    local: { type: "boolean", describe: "the host itself sends the packet" },
    src: { type: "string", describe: "source address", requiresArg: true },
    dst: { type: "string", describe: "destination address", requiresArg: true },
    proto: {
      type: "string",
      default: "tcp",
      describe: "protocol: tcp, udp, icmp, icmpv6 or a number",
      requiresArg: true,
    },
    sport: { type: "number", describe: "source port (40000)", requiresArg: true },
    dport: { type: "number", describe: "destination port (80)", requiresArg: true },
    "tcp-flags": {
      type: "string",
      describe: "TCP flags by letter: S, SA, A, F, R (S)",
      requiresArg: true,
    },
    "icmp-type": { type: "number", describe: "ICMP type (echo request)", requiresArg: true },
    mark: { type: "number", describe: "mark of a packet that the host sends", requiresArg: true },
    state: {
      choices: ["NEW", "ESTABLISHED", "RELATED", "INVALID", "UNTRACKED"],
      describe: "conntrack state of the packet (computed)",
      requiresArg: true,
    },
    packets: {
      type: "string",
      describe: "file with one packet per line, as JSON (- for standard input)",
      requiresArg: true,
    },
    assume: {
      type: "string",
      array: true,
      nargs: 1,
      describe: "value of an unknown match, such as recent=match or limit=no-match",
      requiresArg: true,
    },
    expect: {
      choices: ["accept", "drop", "reject"],
      describe: "exit 1 if the verdict is a different one",
      requiresArg: true,
    },
    flow: { type: "boolean", describe: "simulate the whole connection: handshake, data and replies" },
    short: { type: "boolean", describe: "print only the verdict" },
    verbose: { type: "boolean", alias: "v", describe: "print every step, including rules that do not match" },
    svg: { type: "boolean", describe: "print a drawing of the path" },
    ...hostFlags,
    ...jsonFlag,
  },
  examples: [
    [
      "A packet from outside to a published port",
      "fwcheck simulate host/ --in eth0 --src 203.0.113.2 --dst 203.0.113.1 --dport 8080",
    ],
    [
      "The whole connection with its replies, one line per packet",
      "fwcheck simulate host/ --in eth0 --src 203.0.113.2 --dst 203.0.113.1 --dport 22 --flow --short",
    ],
    [
      "A packet that a container sends, in a script that fails unless it is accepted",
      "fwcheck simulate host/ --in docker0 --src 172.17.0.2 --dst 203.0.113.2 --expect accept",
    ],
    [
      "A query of the host itself to a name server, with every step",
      "fwcheck simulate host/ --local --src 203.0.113.1 --dst 203.0.113.2 --proto udp --dport 53 -v",
    ],
    [
      "A drawing of the path, for a ticket or a wiki",
      "fwcheck simulate host/ --in eth0 --src 203.0.113.2 --dst 203.0.113.1 --dport 8080 --svg > path.svg",
    ],
    [
      "IPv6, as JSON",
      "fwcheck simulate host/ --in eth0 --src 2001:db8:1::2 --dst 2001:db8:1::1 --dport 22 --json",
    ],
    [
      "Many packets, one line of input and output for each",
      "fwcheck simulate host/ --packets packets.ndjson",
    ],
  ],
  notes: `--packets prints one JSON answer per line, in the form of --json; the packets share one connection table, in order.
--flow --json prints {version, verdict, broken, notes, packets}: each packet is such an answer with its step and from (client or server); verdict is accept if all packets arrive.
Exit code: 0; 1 if --expect is not met; 2 if the call or the input is wrong, or if --expect is met but rules or files are in doubt.`,
  run: async (args) => (await import("../commands/simulate.js")).run(args),
});
