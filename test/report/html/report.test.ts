/** The report as a file: complete, clear about unknowns, and without private data. */
import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import fc from "fast-check";
import {
  type FindingKind,
  type Host,
  type HostSources,
  pathSvg,
  type Ruleset,
  readExpectations,
  readHost,
  readRuleset,
  report,
  Simulator,
  type Source,
  serviceMatrix,
} from "fwcheck";
import { describe, expect, test } from "vitest";
import { networkPart, readDocker } from "../../../lib/host/sources/docker-inspect.ts";
import { auditOf } from "../../audit/json.ts";
import { audited, LAYOUTS, read } from "../../audit/layout.ts";
import { hostOf, packetOf } from "../../builders.ts";
import { examples, hostSources } from "../../capture.ts";
import { elements } from "../elements.ts";

interface World {
  readonly rules: readonly Source[];
  readonly given: HostSources;
  readonly rulesets: readonly Ruleset[];
  readonly host: Host;
}

function world(name: string, edit: (save: string) => string = (save) => save): World {
  const rules = ["iptables-save.txt", "ip6tables-save.txt"].map((file) => ({
    name: file,
    text: edit(readFileSync(`${examples}${name}/${file}`, "utf8")),
  }));
  const { rulesets } = readRuleset(rules);
  const given = hostSources(`${examples}${name}`);
  return { rules, given, rulesets, host: readHost(given, rulesets) };
}

const written = ({ rules, given, rulesets, host }: World): Promise<string> =>
  report(rulesets, host, { texts: { rules, host: given }, title: "web-1", version: "0" });

/** The visible text, one line per element. */
const seen = (html: string): string =>
  elements(html)
    .filter(({ tag }) => tag === "main")
    .map(({ text }) => text)
    .join("\n");

describe("of a real host", async () => {
  const here = world("ufw-docker-20.10");
  const html = await written(here);
  const all = elements(html);
  test("every finding is in it, with its witness", () => {
    const { findings, exposures } = auditOf(here.rulesets, here.host);
    const packets = all.flatMap(({ attributes }) =>
      attributes["data-packet"] === undefined ? [] : [JSON.parse(attributes["data-packet"])],
    );
    const sorted = (list: readonly object[]): string[] => list.map((p) => JSON.stringify(p)).sort();
    expect(sorted(packets)).toEqual(sorted(findings.map((f) => f.witness)));
    const rows = all.filter(({ tag, attributes }) => tag === "tr" && attributes.class !== undefined);
    expect(rows.filter(({ attributes }) => attributes.class !== "zone").length).toBe(exposures.length);
    expect(seen(html)).toContain("9 findings: the firewall does not govern these packets.");
  });
  test("the services between zones are in it, one row for each zone", () => {
    const { families } = serviceMatrix(here.rulesets, here.host);
    const rows = all.filter(({ tag, attributes }) => tag === "tr" && attributes.class === "zone");
    expect(rows.length).toBe(families.flatMap(({ zones }) => zones).length);
    const [first] = rows;
    expect(first!.text.replaceAll(/\s+/g, " ")).toContain("tcp 8080, 9080 -> 172.17.0.2:80");
  });
  test("a host with too many zones for a table names the command", async () => {
    const addr = Array.from({ length: 30 }, (_, i) => ({
      ifname: `eth${i}`,
      addr_info: [{ family: "inet", local: `10.0.${i}.1`, prefixlen: 24 }],
    }));
    const wide = await report(here.rulesets, hostOf(here.rulesets, { addr }));
    expect(seen(wide)).toContain("too many interfaces and networks for a table: fwcheck matrix");
  });
  test("each group has a picture with the intended verdict, and the result of the fix", () => {
    const articles = all.filter(({ tag }) => tag === "article");
    expect(articles.length).toBe(5);
    for (const { text } of articles) {
      expect(text).toContain("verdict of your own rules");
      expect(text).toMatch(
        /The fix closes (it|all), proven over all packets\. The example packet then ends in DROP by filter FWCHECK/,
      );
    }
  });
  test("its policy allows its own script and style sheet only", () => {
    const digest = (tag: string): string => {
      const [, text] = new RegExp(`<${tag}>([\\s\\S]*?)</${tag}>`).exec(html) ?? [];
      return `'sha256-${createHash("sha256").update(text!).digest("base64")}'`;
    };
    const policy = all.find(({ attributes }) => attributes["http-equiv"] === "Content-Security-Policy");
    expect(policy?.attributes.content).toBe(
      `default-src 'none'; script-src ${digest("script")}; style-src ${digest("style")}; base-uri 'none'; form-action 'none'`,
    );
  });
  test("it loads nothing", () => {
    const outward = all.flatMap(({ tag, attributes }) =>
      ["src", "href", "srcset", "action", "data", "style"].flatMap((name) =>
        attributes[name] === undefined || attributes[name].startsWith("#") ? [] : [`${tag} ${name}`],
      ),
    );
    expect(outward).toEqual([]);
    expect(html).not.toMatch(/@import|url\(/);
    const places = new Set(
      all.flatMap(({ attributes }) => (attributes.href === undefined ? [] : [attributes.href.slice(1)])),
    );
    expect([...places].filter((id) => !all.some(({ attributes }) => attributes.id === id))).toEqual([]);
  });
  test("ids are unique, and each label has its field", () => {
    const ids = all.flatMap(({ attributes }) => (attributes.id === undefined ? [] : [attributes.id]));
    expect(new Set(ids).size).toBe(ids.length);
    for (const { tag, attributes } of all) if (tag === "label") expect(ids).toContain(attributes.for);
  });
  test("it is below 1 MB", () => {
    expect(html.length).toBeLessThan(1_000_000);
  });
});

/** The hook that has the intended verdict. */
const HOOKS: Readonly<Record<FindingKind, readonly string[]>> = {
  "ingress-bypass": ["INPUT"],
  "loopback-bypass": ["INPUT", "FORWARD"],
  "direct-bypass": ["FORWARD"],
  "forward-bypass": ["FORWARD"],
  "egress-bypass": ["OUTPUT"],
  "ineffective-allow": ["FORWARD"],
};

describe("the picture of each finding agrees with it", () => {
  const recent = {
    input: [
      "-p tcp -m tcp --dport 8080 -m recent --name x --update --seconds 60 --hitcount 9 --rsource -j DROP",
      "-p tcp -m tcp --dport 8080 -j ACCEPT",
    ],
  };
  const layouts = { ...LAYOUTS, recent };
  test.each(Object.keys(layouts))("%s", async (name) => {
    const { rulesets, host } = read(layouts[name as keyof typeof layouts]);
    const { findings } = auditOf(rulesets, host);
    for (const f of findings) {
      const packet = packetOf(f.witness);
      const assume = new Map(
        (f.assume ?? []).map((word) => [word.replace(/=(no-)?match$/, ""), word.endsWith("=match")]),
      );
      const trace = new Simulator(rulesets, host, { assume }).trace(packet);
      expect([f.id, trace.answer.verdict]).toEqual([f.id, f.actual.verdict]);
      const all = elements(pathSvg(trace, { rulesets, host, intended: f.intended }));
      const signs = all.flatMap(({ attributes: { class: kind = "" } }) =>
        kind.startsWith("end ") ? [kind] : [],
      );
      expect(signs.sort()).toEqual([`end ${f.actual.verdict}`, `end ${f.intended.verdict} intended`].sort());
      const hooks = all.filter(({ attributes }) => attributes["data-hook"] !== undefined);
      const intendedHooks = hooks.flatMap(({ attributes, text }) =>
        text.includes("verdict of your own rules") ? [attributes["data-hook"]!] : [],
      );
      const asked = f.intended.path.findLast((step) => step.table === "filter");
      expect(HOOKS[f.kind]).toContain(intendedHooks.at(-1));
      if (asked?.step === "rule")
        expect(
          hooks.find(({ attributes }) => attributes["data-hook"] === intendedHooks.at(-1))!.text,
        ).toContain(`(line ${asked.line})`);
    }
    const text = seen(await report(rulesets, host));
    for (const f of findings) expect(text).toContain(f.kind);
    if (name === "recent") {
      expect(findings.flatMap((f) => f.assume ?? [])).not.toEqual([]);
      expect(text).toContain("--assume recent@filter/INPUT");
    }
  });
  test("all kinds of findings occur", () => {
    const kinds = Object.values(LAYOUTS).flatMap((layout) => audited(layout).findings.map((f) => f.kind));
    for (const kind of [
      "ingress-bypass",
      "direct-bypass",
      "forward-bypass",
      "egress-bypass",
      "ineffective-allow",
    ])
      expect(kinds).toContain(kind);
  });
});

describe("no all-clear if something is open", () => {
  test("open questions are in the summary", async () => {
    // Without Docker's chains, the state of published ports is unknown.
    const here = world("ufw-docker-28.5", (save) => save.replace(/^.*DOCKER.*\n/gm, ""));
    const { inconclusive, findings } = auditOf(here.rulesets, here.host);
    expect([findings.length, inconclusive.length > 0]).toEqual([0, true]);
    const text = seen(await written(here));
    expect(text).toContain("No findings, but not everything could be settled.");
    expect(text).toContain("This is no “all clear”");
    for (const sentence of inconclusive) expect(text).toContain(sentence);
  });
  test("if a rule could not be read", async () => {
    const save = "*filter\n:INPUT DROP [0:0]\n-A INPUT -p tcp --dport x -j ACCEPT\nCOMMIT\n";
    const rules = [{ name: "v4", text: save }];
    const { rulesets } = readRuleset(rules);
    const text = seen(
      await written({ rules, given: {}, rulesets, host: readHost({ complete: true }, rulesets) }),
    );
    expect(text).toContain("nothing was audited for containers");
    expect(text).not.toContain("consent");
    expect(text).toContain("v4:3: ");
  });
  test("if an open port is not expected", async () => {
    // ufw allows port 8080, so there is no finding, but the expectations do not list it.
    const { rulesets, host } = read({
      input: ["-p tcp -m tcp --dport 8080 -j ACCEPT"],
      user: ["-i eth0 -d 172.17.0.2/32 -m conntrack ! --ctstate DNAT -j DROP"],
    });
    const expected = { expect: readExpectations("open: []") };
    expect(auditOf(rulesets, host, expected).findings).toEqual([]);
    const html = await report(rulesets, host, expected);
    expect(seen(html)).toContain("1 open port of 1 is not expected.");
    expect(seen(html)).toContain("1 unexpected open port");
    expect(html).toContain('class="part summary bad"');
  });
  test("a fix that would not hold is not printed", async () => {
    const here = world("ufw-docker-20.10");
    const html = await report(here.rulesets, here.host, {
      fix: { ...(await import("fwcheck")).fix(here.rulesets, here.host), holds: false },
    });
    expect(seen(html)).toContain("The proof does not hold, so no rules are given.");
    expect(seen(html)).not.toContain("-A FWCHECK");
  });
});

describe("the embedded inputs", () => {
  const inspect = JSON.stringify([
    {
      Id: "c1",
      Name: "/web",
      Path: "/secret-path",
      Args: ["--secret-arg"],
      Config: {
        Env: ["PASSWORD=secret-env"],
        Cmd: ["secret-cmd"],
        Labels: { "com.docker.compose.project": "shop", token: "secret-label" },
      },
      Mounts: [{ Source: "/secret-mount" }],
      HostConfig: { NetworkMode: "bridge", Binds: ["/secret-bind:/x"] },
      NetworkSettings: {
        Ports: { "80/tcp": [{ HostIp: "0.0.0.0", HostPort: "8080" }] },
        Networks: { bridge: { IPAddress: "172.17.0.2", DriverOpts: { key: "secret-driver" } } },
      },
    },
  ]);
  test("contain the network parts of Docker's output and the network sysctls only", async () => {
    const rules = [{ name: "v4", text: "*filter\n:INPUT DROP [0:0]\nCOMMIT\n" }];
    const { rulesets } = readRuleset(rules);
    const given: HostSources = {
      docker: [{ name: "inspect", text: inspect }],
      sysctl: [{ name: "sysctl", text: "kernel.hostname = secret-name\nnet.ipv4.ip_forward = 1\n" }],
    };
    const html = await written({ rules, given, rulesets, host: readHost(given, rulesets) });
    expect(html).not.toMatch(/secret-/);
    expect(html).toContain("172.17.0.2");
    expect(html).toContain("net.ipv4.ip_forward");
  });
  test("random output: the network part has the same result", () => {
    const words =
      `Id Name NetworkSettings IPAddress GlobalIPv6Address Networks IPAMConfig IPv4Address Ports 80/tcp HostIp
      HostPort HostConfig NetworkMode Config Labels com.docker.compose.project Driver Internal IPAM Subnet Options
      com.docker.network.bridge.name Containers FirewallBackend iptables Env __proto__ constructor`.split(
        /\s+/,
      );
    const leaf = fc.oneof(
      fc.constantFrom("172.17.0.2", "172.17.0.0/16", "2001:db8::2", "8080", "bridge", "host", "", "/web"),
      fc.boolean(),
      fc.integer(),
      fc.constant(null),
    );
    const { value } = fc.letrec<{ value: unknown }>((tie) => ({
      value: fc.oneof(
        { maxDepth: 6 },
        leaf,
        fc.array(tie("value"), { maxLength: 3 }),
        fc.dictionary(fc.constantFrom(...words), tie("value"), { maxKeys: 8 }),
      ),
    }));
    fc.assert(
      fc.property(fc.array(value, { maxLength: 3 }), (entries) => {
        const text = JSON.stringify(entries);
        expect(readDocker(networkPart(text))).toEqual(readDocker(text));
      }),
      { numRuns: 2000 },
    );
  });
  test("recorded output: the network part has the same result", () => {
    const texts = [
      inspect,
      '{"FirewallBackend":{"Driver":"iptables+firewalld"}}\n{"userland-proxy":false}',
      "[null, 7, [[]], {}]",
    ];
    for (const name of ["ufw-docker-20.10", "ufw-docker-28.5"])
      for (const file of ["docker-inspect.json", "docker-network-inspect.json"]) {
        const path = `${examples}${name}/${file}`;
        expect(existsSync(path)).toBe(true);
        texts.push(readFileSync(path, "utf8"));
      }
    for (const text of texts) expect(readDocker(networkPart(text))).toEqual(readDocker(text));
  });
});

test("the file contains no lines of the inputs but rules", async () => {
  const save =
    "# SECRET-1\n*filter\n# SECRET-2\n:INPUT DROP [0:0]\n-A INPUT -s 192.0.2.7/32 -j ACCEPT\nCOMMIT\nSECRET-3\n";
  const rules = [{ name: "v4", text: save }];
  const { rulesets } = readRuleset(rules);
  const html = await written({ rules, given: {}, rulesets, host: readHost({}, rulesets) });
  expect(html).not.toMatch(/SECRET/);
  expect(html).toContain("-A INPUT -s 192.0.2.7/32 -j ACCEPT");
});
