/**
 * Compares the audit with every probe in the records of the captures, before and after each fix that was tried there. `npm run truth` prints the table, truth.test.ts requires it to hold.
 */
import { existsSync, readFileSync } from "node:fs";
import type { AuditJson } from "fwcheck";
import { capture, examples, shared } from "../capture.ts";
import { auditOf } from "./json.ts";

/** A connection that a client tried, with the result. */
interface Probe {
  readonly label: string;
  readonly family: 4 | 6;
  readonly in: string;
  readonly dst: string;
  readonly dport: number;
  readonly proto: string;
  readonly reached: boolean;
}

/** Comparison of one record with the audit of the rules that were in force. */
export interface Row {
  readonly name: string;
  readonly probes: number;
  readonly reached: number;
  /** Number of those that ufw blocks; without ufw, of those that are published. */
  readonly wanted: number;
  readonly found: number;
  /** Reached although ufw blocks them, without a finding. */
  readonly missed: readonly string[];
  /** Findings that were not reached. */
  readonly wrong: readonly string[];
  /** Findings that no client tried; the kernel judges their witnesses (`npm run test:kernel`). */
  readonly untried: readonly string[];
}

/** Rules that shared/lab/e2e.sh inserted into DOCKER-USER before the next probes, by the start of the section's title. */
const FIXES: readonly (readonly [string, readonly string[]])[] = [
  ["no fix", []],
  [
    "fix (i)",
    [
      "-i eth0 -m conntrack --ctstate RELATED,ESTABLISHED -j RETURN",
      "-i eth0 -d 172.17.0.2/32 -p tcp -m tcp --dport 80 -j DROP",
      "-i eth0 -d 172.17.0.5/32 -p tcp -m tcp --dport 7 -j DROP",
    ],
  ],
  [
    "fix (ii)",
    [
      "-i eth0 -m conntrack --ctstate RELATED,ESTABLISHED -j RETURN",
      "-i eth0 -p tcp -m conntrack --ctorigdstport 8080 --ctdir ORIGINAL -j DROP",
      "-i eth0 -p tcp -m conntrack --ctorigdstport 8444 --ctdir ORIGINAL -j DROP",
    ],
  ],
  ["variant (iii)", ["-p tcp -m conntrack --ctorigdstport 8080 --ctdir ORIGINAL -j DROP"]],
  [
    "variant (iv)",
    [
      "-i eth0 -p tcp -m conntrack --ctstate DNAT --ctorigdst 203.0.113.1 --ctorigdstport 8080 --ctdir ORIGINAL -j DROP",
    ],
  ],
];

const WEB = "172.17.0.2";
const LOOPBACK = "172.17.0.4";
const OWN = ["203.0.113.1", "10.99.0.1", "2001:db8:1::1"];
const HERE = { 4: "203.0.113.1", 6: "2001:db8:1::1" } as const;

// Connections by label of results.txt. Connections of the host itself and between containers are not audited.
const LABELS: readonly (readonly [RegExp, (port: string) => Omit<Probe, "label" | "reached" | "proto">])[] = [
  [/^outside -> host:(\d+)/, (port) => ({ family: 4, in: "eth0", dst: HERE[4], dport: Number(port) })],
  [/^outside -> \[v6 host\]:(\d+)/, (port) => ({ family: 6, in: "eth0", dst: HERE[6], dport: Number(port) })],
  [
    /^outside -> web container IP:(\d+)/,
    (port) => ({ family: 4, in: "eth0", dst: WEB, dport: Number(port) }),
  ],
  [
    /^outside -> lo9090 container IP:(\d+)/,
    (port) => ({ family: 4, in: "eth0", dst: LOOPBACK, dport: Number(port) }),
  ],
  [
    /^inside\(LAN eth1\) -> 10\.99\.0\.1:(\d+)/,
    (port) => ({ family: 4, in: "eth1", dst: "10.99.0.1", dport: Number(port) }),
  ],
  [
    /^LAN inside -> outside:(\d+)/,
    (port) => ({ family: 4, in: "eth1", dst: "203.0.113.2", dport: Number(port) }),
  ],
  [
    /^established flow to (\d+) opened before/,
    (port) => ({ family: 4, in: "eth0", dst: HERE[4], dport: Number(port) }),
  ],
  [/^NEW connection to (\d+)/, (port) => ({ family: 4, in: "eth0", dst: HERE[4], dport: Number(port) })],
];

/** Returns the probes of one section of results.txt. */
function probesOf(text: string, section: string): Probe[] {
  const part = text.split(/^== /m).find((s) => s.startsWith(section)) ?? "";
  return part.split("\n").flatMap((line): Probe[] => {
    const m = /^ {2}(.*\S)\s+(\d+)$/.exec(line);
    if (m === null) return [];
    // After the first section, the flow existed before the rules.
    if (m[1]!.startsWith("established") && section !== "no fix") return [];
    for (const [label, read] of LABELS) {
      const port = label.exec(m[1]!)?.[1];
      if (port !== undefined)
        return [{ label: m[1]!, proto: "tcp", ...read(port), reached: Number(m[2]) !== 0 }];
    }
    return [];
  });
}

/** Returns the findings that a probe belongs to. */
const about = ({ findings }: AuditJson, p: Probe): string[] =>
  findings
    .filter(
      (f) =>
        f.family === p.family &&
        f.proto === p.proto &&
        f.by.some(
          (group) => group.in.includes(p.in) && (group.destinations?.parts.includes(p.dst) ?? true),
        ) &&
        (f.kind === "ingress-bypass"
          ? f.listen?.port === p.dport && [null, p.dst].includes(f.listen.address) && OWN.includes(p.dst)
          : f.witness.dst === p.dst && f.witness.dport === p.dport),
    )
    .map((f) => f.id);

/** In these captures ufw denies all incoming packets but port 22, and all routed ones. */
const denied = (p: Probe): boolean => p.dport !== 22;

function* withUfw(): Generator<Row> {
  for (const version of ["20.10", "28.5"]) {
    const record = `${shared}captures/ufw-docker-${version}/results.txt`;
    if (!existsSync(record)) continue;
    const text = readFileSync(record, "utf8");
    for (const [section, rules] of FIXES) {
      const probes = probesOf(text, section);
      // The rules were inserted before Docker's own RETURN.
      const { rulesets, host } = capture(`${examples}ufw-docker-${version}`, (save) =>
        save.replace(
          /^(\[0:0\] -A FORWARD )/m,
          `${rules.map((r) => `[0:0] -A DOCKER-USER ${r}\n`).join("")}$1`,
        ),
      );
      const result = auditOf(rulesets, host);
      const against = probes.filter((p) => p.reached && denied(p));
      const tried = new Set(probes.flatMap((p) => about(result, p)));
      yield {
        name: `ufw, Docker ${version}, ${section}`,
        probes: probes.length,
        reached: probes.filter((p) => p.reached).length,
        wanted: against.length,
        found: against.filter((p) => about(result, p).length > 0).length,
        missed: against.filter((p) => about(result, p).length === 0).map((p) => p.label),
        wrong: probes.filter((p) => !p.reached && about(result, p).length > 0).map((p) => p.label),
        untried: result.findings.map((f) => f.id).filter((id) => !tried.has(id)),
      };
    }
  }
}

/** Without ufw no published port is blocked: every reached port must be an exposure. */
function* withoutUfw(): Generator<Row> {
  for (const version of ["20.10", "28.5"]) {
    const folder = `${shared}captures/docker-${version}/`;
    if (!existsSync(folder)) continue;
    const { rulesets, host } = capture(`${folder}08-macvlan`);
    const result = auditOf(rulesets, host);
    const probes = readFileSync(`${folder}reachability.txt`, "utf8")
      .split("\n")
      .flatMap((line): Probe[] => {
        const web = /^outside->(\[?)([^\]]*?)\]?:(\d+) (\d+)$/.exec(line);
        const udp = /^udp (\d+) echo: (.*)$/.exec(line);
        if (udp !== null)
          return [
            {
              label: line,
              family: 4,
              in: "eth0",
              dst: HERE[4],
              dport: Number(udp[1]),
              proto: "udp",
              reached: udp[2] !== "",
            },
          ];
        if (web === null) return [];
        const family = web[1] === "[" ? 6 : 4;
        return [
          {
            label: line,
            family,
            in: "eth0",
            dst: web[2]!,
            dport: Number(web[3]),
            proto: "tcp",
            reached: web[4] !== "000",
          },
        ];
      });
    const listed = (p: Probe): boolean =>
      result.exposures.some(
        (e) =>
          e.family === p.family &&
          e.proto === p.proto &&
          e.listen.port === p.dport &&
          [null, p.dst].includes(e.listen.address) &&
          e.in.includes(p.in),
      );
    // hostnet listens on 8085 in the network namespace of the host.
    const governed = (p: Probe): boolean =>
      p.dport === 8085 && result.remarks.some((r) => r.includes("hostnet"));
    const published = probes.filter((p) => p.reached && !governed(p));
    // Port 443 of a container is published, but no process listens there.
    const silent = (p: Probe): boolean => p.dport === 8443;
    yield {
      name: `no firewall, Docker ${version}`,
      probes: probes.length,
      reached: probes.filter((p) => p.reached).length,
      wanted: published.length,
      found: published.filter(listed).length,
      missed: published.filter((p) => !listed(p)).map((p) => p.label),
      wrong: [
        ...probes.filter((p) => !p.reached && listed(p) && !silent(p)).map((p) => p.label),
        ...probes.flatMap((p) => about(result, p)),
      ],
      untried: result.findings.map((f) => f.id),
    };
  }
}

export const truth = (): Row[] => [...withUfw(), ...withoutUfw()];

/** Returns the table as text. */
export function tableOf(rows: readonly Row[]): string {
  const head = ["record", "probes", "reached", "forbidden*", "found", "missed", "wrong", "untried"];
  const cells = rows.map((r) =>
    [r.name, r.probes, r.reached, r.wanted, r.found, r.missed.length, r.wrong.length, r.untried.length].map(
      String,
    ),
  );
  const widths = head.map((h, i) => Math.max(h.length, ...cells.map((c) => c[i]!.length)));
  const line = (row: readonly string[]): string =>
    row.map((cell, i) => (i === 0 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!))).join("  ");
  return [
    line(head),
    ...cells.map(line),
    "* reached although ufw forbids it; without a firewall: published. untried: findings that no client tried.",
  ].join("\n");
}
