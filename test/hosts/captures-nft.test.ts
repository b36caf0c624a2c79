/** Captures of real hosts with nftables: each line of their result files beside the answer of simulate. */
import { existsSync, readdirSync } from "node:fs";
import { Connections, flow, Simulator } from "fwcheck";
import { describe, expect, test } from "vitest";
import { TCP_FLAGS } from "../../lib/packet/field.ts";
import { packetOf } from "../builders.ts";
import { type Capture, listens, type Rules, readCapture, root, textOf } from "./nft-capture.ts";
import {
  besideDocker,
  type Connection,
  DOCKER_ALONE,
  FIREWALLD,
  type Line,
  PODMAN,
  SWARM,
} from "./nft-connections.ts";
import { answered, type ResultLine, resultLines } from "./nft-results.ts";

const here = existsSync(root);
const LISTED: Rules = { kind: "listed" };

/** Result files: the capture, its lines, and the rules of each section other than the captured ones. */
interface Results {
  readonly capture: string;
  readonly file: string;
  readonly lines: Readonly<Record<string, Line>>;
  readonly sections?: Readonly<Record<string, Rules>>;
}

const FIXES: Readonly<Record<string, Rules>> = {
  "fix by internal-ip": { kind: "with", file: "fix-internal-ip-listed.txt" },
  "fix by conntrack": { kind: "with", file: "fix-conntrack-listed.txt" },
};
const PLAIN = "plain-docker-29.7-nft";
const UFW = "ufw-routed-docker-29.7-nft";
const ALONE = "docker-29.7-nft";

const RESULTS: readonly Results[] = here
  ? [
      {
        capture: PLAIN,
        file: `${PLAIN}/results.txt`,
        lines: besideDocker({ kind: "file", text: textOf(`${PLAIN}/nftables.conf`) }),
        sections: FIXES,
      },
      // ufw's file flushes everything: its own tables are those of iptables-nft.
      {
        capture: UFW,
        file: `${UFW}/results.txt`,
        lines: besideDocker({ kind: "file", text: "flush ruleset\n" }),
        sections: FIXES,
      },
      { capture: "firewalld", file: "firewalld/results.txt", lines: FIREWALLD },
      { capture: "podman-netavark-nft", file: "podman-netavark-nft/results.txt", lines: PODMAN },
      { capture: "swarm-docker-29.7-nft", file: "swarm-docker-29.7-nft/results.txt", lines: SWARM },
      // Clients connected when all containers ran; the captures before have fewer of them, and the same rules for each.
      ...readdirSync(root + ALONE)
        .filter((each) => /^\d\d-/.test(each))
        .map((each) => ({
          capture: `${ALONE}/${each}`,
          file: `${ALONE}/reachability.txt`,
          lines: DOCKER_ALONE,
        })),
    ]
  : [];

/** Returns true if the client gets an answer, as far as rules and listeners decide. */
function isOpen(capture: Capture, { packet, listener }: Connection): boolean {
  const { rulesets, host } = capture;
  const { verdict, packets } = flow(new Simulator(rulesets, host), host, packet);
  expect(["accept", "drop", "reject"]).toContain(verdict);
  const forwarded = packets[0]!.trace.answer.delivery !== "local";
  return verdict === "accept" && (forwarded || listener === true || listens(capture, packet));
}

/** Returns true if data and its echo pass the rules of one capture on a connection that the rules of another let open. */
function echoes(before: Capture, now: Capture, { packet }: Connection): boolean {
  const connections = new Connections();
  const opening = new Simulator(before.rulesets, before.host, { connections });
  const { sent, out } = opening.packet(packet);
  const reply = { in: out!, src: sent!.dst, sport: sent!.dport, dst: sent!.src, dport: sent!.sport };
  expect(opening.packet(packetOf({ ...reply, proto: "tcp", flags: "SA" })).verdict).toBe("accept");
  const later = new Simulator(now.rulesets, now.host, { connections });
  const data = { ...packet, flags: TCP_FLAGS.PSH | TCP_FLAGS.ACK };
  return [data, packetOf({ ...reply, proto: "tcp", flags: "PA" })].every(
    (each) => later.packet(each).verdict === "accept",
  );
}

describe.skipIf(!here)(
  `captures of hosts with nftables${here ? "" : " (skipped: ../shared is missing)"}`,
  () => {
    describe.each(RESULTS)("$capture", ({ capture, file, lines, sections = {} }) => {
      const cache = new Map<Rules, Capture>();
      const read = (rules: Rules): Capture => {
        const known = cache.get(rules) ?? readCapture(capture, rules);
        cache.set(rules, known);
        return known;
      };
      const all = resultLines(textOf(file));
      const runs = (line: Line | undefined): boolean =>
        line?.kind !== "connection" || line.since === undefined || `${ALONE}/${line.since}` <= capture;

      test("every line of the results is named", () => {
        expect(all.length).toBeGreaterThan(0);
        expect(all.filter(({ label }) => !Object.hasOwn(lines, label))).toEqual([]);
      });

      const named = all.map((line): [string, ResultLine, Line | undefined] => [
        `${line.section === "" ? "" : `${line.section}: `}${line.label}`,
        line,
        lines[line.label],
      ]);
      test.each(named.filter(([, , line]) => line?.kind !== "left out" && runs(line)))(
        "%s",
        (_, { section, value }, line) => {
          const own = sections[section] ?? LISTED;
          if (line?.kind === "tables") {
            const { rulesets } = read(line.rules);
            expect(value).toBe(
              [...new Set(rulesets.flatMap(({ tables }) => [...tables.keys()]))]
                .map((id) => `table ${id}`)
                .join(" "),
            );
            return;
          }
          const connection = line as Connection;
          const { rules = own, silent, openedBefore } = connection;
          const open =
            openedBefore === true
              ? echoes(read(LISTED), read(rules), connection)
              : isOpen(read(rules), connection);
          expect(open).toBe(silent !== undefined || answered(value));
          // A reason for silence that is not needed would hide a change of the answer.
          if (silent !== undefined) expect(answered(value)).toBe(false);
        },
      );
    });
  },
);
