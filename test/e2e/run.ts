/**
 * fwcheck fix, for real: real kernel, real ufw, real dockerd, real connections. For each policy of ufw's, each strategy
 * and each form: what a person would collect is collected, what fwcheck prints is applied, every connection that the
 * policy denies has to fail and every other one to succeed, and after the undo the rules are what they were.
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { bash, closed, Flow, FOLDER, fwcheck, must, type Probe, serve, tried, watching } from "./lab.ts";

/** The part of `fwcheck fix --json` that is applied. */
interface Fix {
  readonly holds: boolean;
  readonly failed: readonly string[];
  readonly restore: string;
  readonly restore6: string;
  readonly script: string;
  readonly ufw: { readonly after: string; readonly after6: string; readonly undo: readonly string[] };
  readonly unit: string;
  readonly undo: readonly string[];
  readonly sets: string;
  readonly choices: readonly { readonly strategy: string }[];
}

type Strategy = "auto" | "internal-ip" | "conntrack" | "ipset";
type Form = "restore" | "script" | "ufw" | "systemd";
type Answer = "open" | "refused" | "closed";

/** A policy as commands of ufw's, and what differs under it from denying everything but ssh. */
interface Policy {
  readonly name: string;
  readonly commands: readonly string[];
  readonly back: readonly string[];
  readonly expect: Readonly<Record<string, Answer>>;
  /** Findings that stay open: no rule after the TTL has changed can match the same packets. */
  readonly open?: RegExp;
  /** Probes of its own. */
  readonly probes?: readonly Probe[];
  readonly tries: readonly (readonly [Strategy, Form])[];
}

const started = Date.now();
let passed = 0;
let failed = 0;
const table: string[] = [];
const since = (): string => `${((Date.now() - started) / 1000).toFixed(0)} s`;

function check(what: string, fine: boolean, more = ""): void {
  if (fine) passed++;
  else {
    failed++;
    process.stdout.write(`FAILED: ${what}${more === "" ? "" : `: ${more}`}\n`);
  }
}

/** The rules without counters and comments. */
const rules = (): string =>
  ["h iptables-save", "h ip6tables-save"]
    .map((save) => must(save))
    .join("")
    .replace(/^#.*\n/gm, "")
    .replace(/\[\d+:\d+\]/g, "");

const ip = (container: string): string =>
  must(`d inspect -f '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}' ${container}`).trim();

/** On a network of its own, with addresses that stay. */
const [WEB, LO] = ["172.30.0.10", "172.30.0.11"];

/** Connections that are tried under every policy, with their results under default deny. */
function connections(): [Probe, Answer][] {
  const out = (id: string, port: number, more: Partial<Probe> = {}): Probe => ({
    id,
    from: "outside",
    proto: "tcp",
    dst: "203.0.113.1",
    port,
    ...more,
  });
  const office = { src: "198.51.100.9" };
  return [
    [out("8080", 8080), "closed"],
    [out("8080 from the office", 8080, office), "closed"],
    [out("9080, the same container", 9080), "closed"],
    [out("8443", 8443), "closed"],
    [out("8443 from the office", 8443, office), "closed"],
    [out("5353/udp", 5353, { proto: "udp" }), "closed"],
    [out("8080 from the LAN", 8080, { from: "lan", dst: "10.99.0.1" }), "closed"],
    [out("the container by its address", 80, { dst: WEB }), "closed"],
    [out("the container by its address, from the office", 80, { dst: WEB, ...office }), "closed"],
    [out("a port on 127.0.0.1 by the container's address", 90, { dst: LO }), "closed"],
    [out("8081 on IPv6", 8081, { dst: "2001:db8:1::1" }), "closed"],
    [out("8081 on IPv6 from the office", 8081, { dst: "2001:db8:1::1", src: "2001:db8:5::9" }), "closed"],
    [out("ssh", 22), "open"],
    [out("host to container", 80, { from: "host", dst: WEB }), "open"],
    [out("host to 127.0.0.1:8080", 8080, { from: "host", dst: "127.0.0.1" }), "open"],
    [out("container to container", 80, { from: { container: "dns" }, dst: WEB }), "open"],
    [out("egress to 8000", 8000, { from: { container: "web" }, dst: "203.0.113.2" }), "open"],
    [out("egress to 8080", 8080, { from: { container: "web" }, dst: "203.0.113.2" }), "open"],
    [out("egress to 53/udp", 53, { from: { container: "web" }, dst: "203.0.113.2", proto: "udp" }), "open"],
    [out("egress on IPv6", 8000, { from: { container: "six" }, dst: "2001:db8:1::2" }), "open"],
  ];
}

/** Connections that the rules of a policy accept without a fix. */
const HOLES = [
  ...["8080", "8080 from the office", "9080, the same container", "8443", "5353/udp", "8080 from the LAN"],
  ...["the container by its address", "a port on 127.0.0.1 by the container's address", "8081 on IPv6"],
];

/** Probes by a container's own address: since 28 Docker drops them in raw, and no later rule can accept them. */
const DIRECT = new Set([
  "the container by its address",
  "the container by its address, from the office",
  "a port on 127.0.0.1 by the container's address",
]);
let drops = false;

const POLICIES: readonly Policy[] = [
  {
    name: "deny",
    commands: ["deny 8080/tcp"],
    back: ["--force delete deny 8080/tcp"],
    expect: {},
    tries: [
      ["internal-ip", "restore"],
      ["conntrack", "script"],
      ["ipset", "script"],
      ["auto", "ufw"],
      ["auto", "systemd"],
    ],
  },
  {
    name: "allow from a subnet",
    commands: ["allow from 198.51.100.0/24 to any port 8080 proto tcp"],
    back: ["--force delete allow from 198.51.100.0/24 to any port 8080 proto tcp"],
    expect: { "8080 from the office": "open" },
    tries: [
      ["auto", "restore"],
      ["conntrack", "ufw"],
    ],
  },
  {
    name: "limit",
    commands: ["limit 8443/tcp"],
    back: ["--force delete limit 8443/tcp"],
    expect: { "8443": "open", "8443 from the office": "open", "the sixth in 30 s": "refused" },
    probes: [2, 3, 4, 5, 6].map((n) => ({
      id: n === 6 ? "the sixth in 30 s" : `8443, number ${n}`,
      from: "outside",
      proto: "tcp",
      dst: "203.0.113.1",
      port: 8443,
      order: true,
    })),
    tries: [
      ["auto", "restore"],
      ["conntrack", "script"],
    ],
  },
  {
    name: "reject",
    commands: ["reject 8443/tcp"],
    back: ["--force delete reject 8443/tcp"],
    expect: { "8443": "refused", "8443 from the office": "refused" },
    tries: [
      ["auto", "restore"],
      ["conntrack", "ufw"],
    ],
  },
  {
    name: "default deny outgoing",
    commands: ["default deny outgoing", "allow out 8000/tcp", "allow out 53/udp"],
    back: ["default allow outgoing", "--force delete allow out 8000/tcp", "--force delete allow out 53/udp"],
    open: /^egress-bypass\/6\/.*--hl-eq 255/,
    // What the host sends to its containers is sent by the host, and was denied before, too.
    expect: {
      "egress to 8080": "closed",
      "host to container": "closed",
      "host to 127.0.0.1:8080": "closed",
    },
    tries: [
      ["auto", "restore"],
      ["auto", "script"],
    ],
  },
  {
    name: "route rule",
    commands: ["route allow proto tcp from 198.51.100.0/24 to WEB port 80"],
    back: ["--force route delete allow proto tcp from 198.51.100.0/24 to WEB port 80"],
    expect: { "8080 from the office": "open", "the container by its address, from the office": "open" },
    tries: [["auto", "restore"]],
  },
  {
    name: "two ports on one container",
    commands: ["allow 9080/tcp", "deny 8080/tcp"],
    back: ["--force delete allow 9080/tcp", "--force delete deny 8080/tcp"],
    expect: { "9080, the same container": "open" },
    tries: [
      ["auto", "restore"],
      ["conntrack", "script"],
      ["auto", "ufw"],
    ],
  },
  {
    name: "IPv6",
    commands: ["allow proto tcp from 2001:db8:5::/64 to any port 8081"],
    back: ["--force delete allow proto tcp from 2001:db8:5::/64 to any port 8081"],
    expect: { "8081 on IPv6 from the office": "open" },
    tries: [
      ["auto", "restore"],
      ["conntrack", "script"],
      ["ipset", "systemd"],
    ],
  },
];

const ufw = (commands: readonly string[]): void =>
  void must(commands.map((c) => `h ufw ${c.replaceAll("WEB", WEB)} >/dev/null`).join(" && "));

function solve(strategy: Strategy, folder = "host"): Fix | null {
  must(`rm -rf "$E2E/${folder}"; capture "$E2E/${folder}"`);
  // The host has no nftables tables of its own, and one backend: nothing else filters.
  const words = ["--strategy", strategy, "--assume", "complete", "--json"];
  const run = fwcheck("fix", join(FOLDER, folder), ...words);
  if (run.out === "") {
    process.stdout.write(run.err);
    return null;
  }
  return JSON.parse(run.out) as Fix;
}

/** Puts a fix into force in one form; twice, which must come to the same. */
function apply(fix: Fix, form: Form): void {
  const put = (name: string, text: string): void => writeFileSync(join(FOLDER, name), text);
  put("fix4", fix.restore);
  put("fix6", fix.restore6);
  put("fix.sh", fix.script);
  put("after", fix.ufw.after);
  put("after6", fix.ufw.after6);
  const lines: Record<Form, string> = {
    restore: `
      [ ! -s "$E2E/fix4" ] || h iptables-restore --noflush <"$E2E/fix4"
      [ ! -s "$E2E/fix6" ] || h ip6tables-restore --noflush <"$E2E/fix6"`,
    script: 'h sh "$E2E/fix.sh" >/dev/null',
    ufw: `
      grep -q 'BEGIN fwcheck' "$E2E/ufw/etc/after.rules" || cat "$E2E/after" >>"$E2E/ufw/etc/after.rules"
      grep -q 'BEGIN fwcheck' "$E2E/ufw/etc/after6.rules" || cat "$E2E/after6" >>"$E2E/ufw/etc/after6.rules"
      h ufw reload >/dev/null`,
    systemd: (/^ExecStart=(.*)$/m.exec(fix.unit)?.[1] ?? "false").replace(
      "/bin/sh /usr/local/sbin/fwcheck-fix",
      'h sh "$E2E/fix.sh"',
    ),
  };
  must(`( set -e; ${lines[form]}\n) >/dev/null`);
  const once = rules();
  const again = bash(`( set -e; ${lines[form]}\n) >/dev/null`);
  check(`${form} twice is as once`, rules() === once);
  // The restore file is refused where its chain is called already.
  check(
    `${form} twice exits as it says`,
    form === "restore" ? again.code !== 0 : again.code === 0,
    again.err,
  );
}

function undo(fix: Fix, form: Form): void {
  const lines = {
    restore: fix.undo,
    script: ['sh "$E2E/fix.sh" --undo'],
    systemd: ['sh "$E2E/fix.sh" --undo'],
    ufw: fix.ufw.undo,
  }[form];
  must(lines.map((line) => `h ${line}`).join("\n"));
  if (form === "ufw") must("h ufw reload >/dev/null");
}

/** Tries all connections and holds each against what the policy says. */
function judge(
  what: string,
  policy: Pick<Policy, "expect" | "probes">,
  besides: readonly string[] = [],
): number {
  must('h sh -c \'for f in /proc/net/xt_recent/*; do [ ! -e "$f" ] || echo / >"$f"; done\'');
  const wanted = connections().filter(([probe]) => !besides.includes(probe.id));
  const answers = tried([...wanted.map(([probe]) => probe), ...(policy.probes ?? [])]);
  for (const [probe, answer] of [
    ...wanted,
    ...(policy.probes ?? []).map((p): [Probe, Answer] => [p, "open"]),
  ]) {
    const expected = drops && DIRECT.has(probe.id) ? "closed" : (policy.expect[probe.id] ?? answer);
    const got = answers.get(probe.id) ?? "nothing";
    check(`${what}: ${probe.id}`, got === expected, `${got}, not ${expected}`);
  }
  return answers.size;
}

const run = (name: string, ...words: string[]): void =>
  void must(`d run -d --restart always --name ${name} ${words.join(" ")} >/dev/null`);

type Backend = "nft" | "legacy";

async function main(backend: Backend): Promise<void> {
  process.env.E2E_BACKEND = backend;
  must("up");
  // As on a fresh host: dockerd switches forwarding on itself, and sets FORWARD's policy.
  must('ip netns exec "$FW" sysctl -qw net.ipv4.ip_forward=0');
  ufw(["default deny incoming", "allow 22/tcp", "--force enable"]);
  // What is there before Docker starts: ufw alone.
  must('h iptables-save >"$E2E/ufw4"; h ip6tables-save >"$E2E/ufw6"');
  must("docker_up; image");
  must('ip netns exec "$FW" sysctl -qw net.ipv6.conf.all.forwarding=1');
  must("d network create --subnet 172.30.0.0/24 -o com.docker.network.bridge.name=br-app app >/dev/null");
  must(
    "d network create --ipv6 --subnet 172.29.0.0/24 --subnet 2001:db8:77::/64 -o com.docker.network.bridge.name=br-six sixnet >/dev/null",
  );
  run("web", `--network app --ip ${WEB}`, "-p 8080:80 -p 9080:80 bb:1");
  run("web2", "-p 8443:80 bb:1");
  run("lo", `--network app --ip ${LO}`, "-p 127.0.0.1:9090:90 bb:1 /bin/httpd -f -p 90 -h /www");
  run(
    "dns",
    "--network app --ip 172.30.0.12",
    "-p 5353:53/udp bb:1 /bin/socat UDP-RECVFROM:53,fork EXEC:/bin/cat",
  );
  run("echo", "-p 8444:7 bb:1 /bin/socat TCP-LISTEN:7,fork,reuseaddr EXEC:/bin/cat");
  run(
    "six",
    "--network sixnet --ip 172.29.0.10 --ip6 2001:db8:77::10 -p 8081:80 bb:1 /bin/httpd -f -p [::]:80 -h /www",
  );
  serve("outside", "8000/tcp", "8080/tcp", "53/udp");
  serve("host", "22/tcp");
  process.stdout.write(
    `the host stands after ${since()}: ${must("d version -f 'Docker {{.Server.Version}}'").trim()}, ${must("h ufw version | head -n 1").trim()}, ${must("h iptables -V").trim()}\n`,
  );

  const before = tried(connections().map(([probe]) => probe));
  drops = Number(must("d version -f '{{.Server.Version}}'").split(".")[0]) >= 28;
  for (const id of HOLES) {
    const expected = drops && DIRECT.has(id) ? "closed" : "open";
    check(`without a fix, ${expected}: ${id}`, before.get(id) === expected, before.get(id));
  }

  const only = process.env.E2E_ONLY ?? "";
  // The other backend runs each form under one policy; what a policy means is the same in both.
  const policies = backend === "nft" ? POLICIES : POLICIES.slice(0, 1);
  for (const policy of policies.filter((p) => only === "" || p.name === only)) {
    ufw(policy.commands);
    const solved = new Map<Strategy, Fix | null>();
    for (const [strategy, form] of policy.tries) {
      const what = `${backend}, ${policy.name}, ${strategy}, ${form}`;
      const bad = failed;
      const start = rules();
      if (!solved.has(strategy)) solved.set(strategy, solve(strategy));
      const fix = solved.get(strategy);
      if (fix === null || fix === undefined || !fix.holds) {
        check(`${what}: a fix whose proof holds`, false, fix?.failed.join("; ") ?? "no fix");
        continue;
      }
      const left = fix.failed.filter((sentence) => policy.open?.test(sentence) !== true);
      check(`${what}: nothing else is left open`, left.length === 0, left.join("; "));
      const flow = await Flow.open("outside", { proto: "tcp", dst: "203.0.113.1", port: 8444 });
      apply(fix, form);
      // Docker 20.10 hooks no DOCKER-USER into ip6tables, where ufw's form has to leave IPv6 to the others.
      const besides =
        form === "ufw" && fix.ufw.after6 === "" ? ["8081 on IPv6", "8081 on IPv6 from the office"] : [];
      const number = judge(what, policy, besides);
      check(`${what}: an established flow lives`, await flow.lives());
      flow.close();
      if (form === "script") check(`${what}: --check`, bash('h sh "$E2E/fix.sh" --check').code === 0);
      undo(fix, form);
      const end = rules();
      check(`${what}: the undo leaves what was there before`, end === start);
      if (end !== start) process.stdout.write(differences(start, end));
      const kinds = [...new Set(fix.choices.map((c) => c.strategy))].join(" and ");
      table.push(
        `| ${policy.name} | ${backend} | ${strategy === "auto" ? `auto (${kinds})` : strategy} | ${form} | ${number + 1} | ${failed === bad ? "all as the policy says" : `${failed - bad} FAILED`} |`,
      );
    }
    ufw(policy.back);
    process.stdout.write(`${policy.name}: done after ${since()}\n`);
  }
  if (only === "" || only === "states") states(backend);
  if (only === "" || only === "boot") boot(backend);
  if (backend === "nft" && (only === "" || only === "lifecycle")) await lifecycle();
  if (backend === "nft" && (only === "" || only === "cut")) await cutting();
}

function differences(a: string, b: string): string {
  const [x, y] = [a.split("\n"), b.split("\n")];
  return [
    ...x.filter((l) => !y.includes(l)).map((l) => `  before only: ${l}`),
    ...y.filter((l) => !x.includes(l)).map((l) => `  after only: ${l}`),
    "",
  ].join("\n");
}

/** States in which a form may be applied, each made from the host with the script's fix in force. */
const STATES = {
  "nothing there": 'h sh "$E2E/fix.sh" --undo; h ip6tables-restore <"$E2E/fixed6"',
  "our fix in force": ":",
  "our chain not called": "h iptables -D DOCKER-USER -j FWCHECK",
  "DOCKER-USER flushed": "h iptables -F DOCKER-USER",
  "an older fix of ours":
    "h iptables -N FWCHECK-99; h iptables -A FWCHECK-99 -j DROP; h iptables -A FWCHECK -s 192.0.2.9 -g FWCHECK-99; h iptables -A FWCHECK -j LOG",
  "Docker not started": 'h iptables-restore <"$E2E/ufw4"; h iptables -t nat -F; h iptables -t nat -X',
} as const;

/** The forms: as a person applies them, and their exit code. */
const APPLIED = {
  "first restore file": 'h iptables-restore --wait=30 --noflush <"$E2E/fix4"',
  "restore file made where it is in force": 'h iptables-restore --wait=30 --noflush <"$E2E/again4"',
  script: 'h sh "$E2E/fix.sh"',
  "script --force, as the unit runs it": 'h sh "$E2E/fix.sh" --force',
  "ufw reload with the block": "h ufw reload",
} as const;

/** Results by backend, state and form. */
const became = new Map<string, string>();

/** Puts each form into force in each state, and holds what it says against a real connection. */
function states(backend: Backend): void {
  const bad = failed;
  ufw(["deny 8080/tcp"]);
  const first = solve("auto")!;
  writeFileSync(join(FOLDER, "fix.sh"), first.script);
  writeFileSync(join(FOLDER, "fix4"), first.restore);
  writeFileSync(join(FOLDER, "after"), first.ufw.after);
  must('h sh "$E2E/fix.sh" >/dev/null');
  writeFileSync(join(FOLDER, "again4"), solve("auto")!.restore);
  must('h iptables-save >"$E2E/fixed4"; h ip6tables-save >"$E2E/fixed6"');
  const probe: Probe = {
    id: "8080",
    from: "outside",
    proto: "tcp",
    dst: "203.0.113.1",
    port: 8080,
    wait: 0.5,
  };
  const block = '"$E2E/ufw/etc/after.rules"';
  for (const [state, make] of Object.entries(STATES))
    for (const [form, line] of Object.entries(APPLIED)) {
      const what = `${backend}, ${state}, ${form}`;
      must(`h iptables-restore <"$E2E/fixed4"; h ip6tables-restore <"$E2E/fixed6"; ${make}`);
      const checked = (): number => bash('h sh "$E2E/fix.sh" --check').code;
      const before = rules();
      check(`${what}: --check before`, checked() === (state === "our fix in force" ? 0 : 1));
      if (form.startsWith("ufw")) must(`cat "$E2E/after" >>${block}`);
      const { code, err } = bash(`${line} >/dev/null`);
      const same = rules() === before;
      const after = checked();
      const answer = tried([probe]).get(probe.id);
      const there = state !== "Docker not started";
      let result: string;
      if (code === 0 && after === 0 && answer === "closed") result = "in force";
      else if (code === 0 && after === 1 && !there) {
        // Docker makes its call when it starts.
        must("h iptables -I FORWARD -j DOCKER-USER");
        result = checked() === 0 ? "in force when Docker starts" : "FAILED";
      } else if (code !== 0 && same && after === (state === "our fix in force" ? 0 : 1))
        result = "refused, nothing changed";
      else result = `FAILED: exit ${code}, --check ${after}, port ${answer}: ${err}`;
      check(what, !result.startsWith("FAILED"), result);
      // The script and the block hold in every state; without --force the script refuses other rules.
      const always = form.startsWith("ufw") || form.startsWith("script --force");
      check(`${what}: it holds`, !always || result.startsWith("in force"), result);
      became.set(what, result);
      if (form.startsWith("ufw")) must(`sed -i '/^# BEGIN fwcheck/,/^# END fwcheck/d' ${block}`);
    }
  must('h iptables-restore <"$E2E/fixed4"; h ip6tables-restore <"$E2E/fixed6"; h sh "$E2E/fix.sh" --undo');
  ufw(["--force delete deny 8080/tcp"]);
  process.stdout.write(`states, ${backend}: ${failed - bad} failed, done after ${since()}\n`);
}

/** The table of the states by the forms, for both backends where they agree. */
function stateTable(): string {
  if (became.size === 0) return "";
  const forms = Object.keys(APPLIED);
  const cell = (state: string, form: string): string =>
    [...new Set(["nft", "legacy"].flatMap((b) => became.get(`${b}, ${state}, ${form}`) ?? []))].join(" / ");
  return `${[
    `| state | ${forms.join(" | ")} |`,
    `|---|${forms.map(() => "---|").join("")}`,
    ...Object.keys(STATES).map(
      (state) => `| ${state} | ${forms.map((form) => cell(state, form)).join(" | ")} |`,
    ),
  ].join("\n")}\n`;
}

/**
 * A boot with rules of the owner's in DOCKER-USER that name fail2ban's chain and a set: nothing is left of any rule, ufw
 * starts as at boot, then Docker. The block must load, and the port never open.
 */
function boot(backend: Backend): void {
  const policy = POLICIES.find((p) => p.name === "allow from a subnet")!;
  const besides = ["8081 on IPv6", "8081 on IPv6 from the office"];
  const bad = failed;
  ufw(policy.commands);
  const start = rules();
  const owners = [
    "h ipset create blk hash:ip; h ipset add blk 192.0.2.7; h iptables -N f2b-web; h iptables -A f2b-web -s 192.0.2.8 -j REJECT",
    "h iptables -A f2b-web -j RETURN; h iptables -I DOCKER-USER -p tcp -m multiport --dports 80,443 -j f2b-web",
    "h iptables -I DOCKER-USER -m set --match-set blk src -j DROP",
  ];
  must(owners.join("; "));
  const fix = solve("conntrack")!;
  apply(fix, "ufw");
  check(
    `${backend}, boot: the block names what it leaves out`,
    /^# Left out: .*chain f2b-web/m.test(fix.ufw.after),
  );
  check(`${backend}, boot: the set too`, /^# Left out: .*ipset blk/m.test(fix.ufw.after));
  must("docker_down");
  must(
    "for t in filter nat mangle raw; do h iptables -t $t -F; h iptables -t $t -X; done; h iptables -P FORWARD ACCEPT; h ipset destroy",
  );
  const started = bash("h /lib/ufw/ufw-init start");
  check(`${backend}, boot: ufw-init starts`, started.code === 0, started.out + started.err);
  const seen = JSON.parse(
    must(
      `${watching({ proto: "tcp", dst: "203.0.113.1", port: 8080 }, 12)} >"$E2E/watched" & docker_up; wait %1; cat "$E2E/watched"`,
    ),
  ) as { open: number; tried: number };
  check(`${backend}, boot: a denied port never opens while Docker starts`, seen.open === 0 && seen.tried > 5);
  waitFor();
  const number = judge(`${backend}, ufw, after a boot`, policy, besides) + seen.tried;
  const reload = bash("h ufw reload");
  check(`${backend}, boot: ufw reload`, reload.code === 0, reload.out + reload.err);
  undo(fix, "ufw");
  const end = rules();
  check(`${backend}, boot: the undo leaves nothing of ours`, !/FWCHECK/.test(end));
  if (process.env.E2E_ONLY === "boot") process.stdout.write(differences(start, end));
  table.push(
    `| a boot, and all the while Docker starts | ${backend} | conntrack | ufw | ${number} | ${failed === bad ? "all as the policy says" : `${failed - bad} FAILED`} |`,
  );
  ufw(policy.back);
  process.stdout.write(`boot, ${backend}: done after ${since()}\n`);
}

/** Tests the fix after ufw's reload, Docker's restart, and a container's change of address. */
async function lifecycle(): Promise<void> {
  const policy = POLICIES.find((p) => p.name === "allow from a subnet")!;
  ufw(policy.commands);
  // IPv6 stays with the other forms where Docker hooks no DOCKER-USER into it; this one is about IPv4.
  const besides = ["8081 on IPv6", "8081 on IPv6 from the office"];
  const step = (strategy: Strategy, form: Form, what: string, run: () => number): void => {
    const bad = failed;
    const number = run();
    table.push(
      `| ${what} | nft | ${strategy} | ${form} | ${number} | ${failed === bad ? "all as the policy says" : `${failed - bad} FAILED`} |`,
    );
  };
  const user = (): string =>
    rules()
      .split("\n")
      .filter((l) => /DOCKER-USER|FWCHECK/.test(l))
      .join("\n");
  const start = user();
  for (const form of ["script", "ufw"] as const) {
    const fix = solve("conntrack")!;
    apply(fix, form);
    step("conntrack", form, "after ufw reload", () => {
      must("h ufw reload >/dev/null");
      return judge(`${form}, after ufw reload`, policy, besides);
    });
    step("conntrack", form, "after a restart of dockerd", () => {
      must("docker_down; docker_up");
      waitFor();
      return judge(`${form}, after dockerd's restart`, policy, besides);
    });
    step("conntrack", form, "after a container came back with another address", () => {
      moved();
      return judge(`${form}, after another address`, policy, besides);
    });
    undo(fix, form);
    check(`${form}: the undo leaves DOCKER-USER as it was`, user() === start, `${start}\n---\n${user()}`);
  }
  // Rules by address know a container by the address that it had.
  const stale = solve("auto")!;
  apply(stale, "script");
  moved();
  const refused = bash('h sh "$E2E/fix.sh"');
  check("the script refuses rules that it was not written for", refused.code === 3, refused.err);
  const anew = solve("auto")!;
  apply(anew, "script");
  step("auto", "script", "after another address, written anew", () => judge("written anew", policy, besides));
  undo(anew, "script");
  check("the undo leaves DOCKER-USER as it was", user() === start);
  must("d rm -f other1 other2 other3 >/dev/null 2>&1 || :");
  ufw(policy.back);
  process.stdout.write(`lifecycle: done after ${since()}\n`);
}

let others = 0;

/** Another container takes the address of web2, which comes back with a new one. */
function moved(): void {
  const old = ip("web2");
  must(
    `d stop -t 0 web2 >/dev/null; d run -d --restart always --name other${++others} bb:1 >/dev/null; d start web2 >/dev/null`,
  );
  check("the container came back with another address", ip("web2") !== old);
}

/** Until the containers are up again. */
function waitFor(): void {
  must(
    'for n in $(seq 100); do [ "$(d ps -q --filter status=running | wc -l)" -ge 6 ] && d exec web true 2>/dev/null; [ "$(d inspect -f \'{{.State.Running}}\' web web2 lo dns echo six | sort -u)" = true ] && break; sleep 0.2; done; sleep 1',
  );
}

/** Tests established flows, and the forbidden flows after `--cut`. */
async function cutting(): Promise<void> {
  const policy = POLICIES.find((p) => p.name === "allow from a subnet")!;
  ufw([...policy.commands, "allow from 198.51.100.0/24 to any port 8444 proto tcp"]);
  const bad = failed;
  const fix = solve("auto")!;
  const at = { proto: "tcp", dst: "203.0.113.1", port: 8444 } as const;
  const forbidden = await Flow.open("outside", at);
  const allowed = await Flow.open("outside", { ...at, src: "198.51.100.9" });
  const datagrams = await Flow.open("outside", { proto: "udp", dst: "203.0.113.1", port: 5353 });
  apply(fix, "script");
  check("a forbidden flow lives on", await forbidden.lives());
  check("a forbidden UDP flow lives on", await datagrams.lives());
  check("an allowed flow lives on", await allowed.lives());
  const cut = bash('h sh "$E2E/fix.sh" --cut');
  check("--cut", cut.code === 0, cut.err);
  const [first, second, third] = await Promise.all([forbidden.lives(), datagrams.lives(), allowed.lives()]);
  check("after --cut: the forbidden flow is dead", !first);
  check("after --cut: the forbidden UDP flow is dead", !second);
  check("after --cut: the allowed flow lives", third);
  for (const flow of [forbidden, allowed, datagrams]) flow.close();
  undo(fix, "script");
  ufw([...policy.back, "--force delete allow from 198.51.100.0/24 to any port 8444 proto tcp"]);
  table.push(
    `| flows that were there | nft | auto | script --cut | 6 | ${failed === bad ? "all as the policy says" : "FAILED"} |`,
  );
}

const why = closed();
if (why !== undefined) {
  process.stdout.write(`skipped: ${why}\n`);
  process.exit(0);
}
for (const signal of ["SIGINT", "SIGTERM"] as const)
  process.on(signal, () => {
    bash("down");
    process.exit(1);
  });
try {
  const wanted = process.env.E2E_BACKEND;
  for (const backend of ["nft", "legacy"] as const) {
    if (wanted !== undefined && wanted !== backend) continue;
    await main(backend);
    bash("down");
  }
} catch (error) {
  failed++;
  process.stdout.write(`FAILED: ${error instanceof Error ? error.stack : String(error)}\n`);
  process.stdout.write(bash('tail -n 5 "$E2E/dockerd.log"').out);
} finally {
  bash("down");
}
process.stdout.write(
  `\n| policy | backend | strategy | form | connections | |\n|---|---|---|---|---|---|\n${table.join("\n")}\n\n${stateTable()}\n${passed} passed, ${failed} failed, ${since()}\n`,
);
process.exit(failed === 0 ? 0 : 1);
