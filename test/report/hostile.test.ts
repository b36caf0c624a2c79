/** Hostile names stay text in the report and in the pictures. */
import fc from "fast-check";
import {
  type HostSources,
  pathSvg,
  readHost,
  readPacket,
  readRuleset,
  report,
  Simulator,
  safe,
} from "fwcheck";
import { expect, test } from "vitest";
import { elements } from "./elements.ts";

const PAYLOADS = [
  "<script>alert(1)</script>",
  "</script><script>alert(1)</script>",
  "</title><img src=x onerror=alert(1)>",
  "'\"><svg onload=alert(1)>",
  '" onmouseover="alert(1)',
  "]]><!--<!DOCTYPE",
  "&lt;b&gt;&#60;",
  "{{alert(1)}}",
  "javascript:alert(1)",
  "</style><style>*{display:none}",
  "\u202e\u0000\u0007\u001b[31m",
  "\ud800\ufffe",
  "<!--<script>",
];
/** A name without blanks and quotation marks, as a ruleset can contain it. */
const name = (most: number): fc.Arbitrary<string> =>
  fc
    .oneof(
      { weight: 3, arbitrary: fc.constantFrom(...PAYLOADS) },
      { weight: 1, arbitrary: fc.string({ unit: "binary", minLength: 1, maxLength: most }) },
    )
    .map((text) => text.replace(/[\s"'\\]/g, "").slice(0, most) || "x");

const hostile = fc.record({
  chain: name(28),
  link: name(15),
  comment: fc.constantFrom(...PAYLOADS).map((text) => text.replace(/["\\\n\0]/g, "")),
  container: fc.oneof(fc.constantFrom(...PAYLOADS), fc.string({ unit: "binary" })),
  source: fc.constantFrom(...PAYLOADS),
});

const TAGS = new Set(
  "html head meta title style body a header div p h1 nav ul li main section h2 h3 strong table caption thead tbody tr th td code span article dl dt dd figure svg desc rect g path circle text figcaption details summary pre q form label select option input textarea button script footer br".split(
    " ",
  ),
);

/** Elements and attributes of a page that a name has added. */
function escapes(html: string): string[] {
  return elements(html).flatMap(({ tag, attributes }) => [
    ...(TAGS.has(tag) ? [] : [`<${tag}>`]),
    ...Object.keys(attributes).filter(
      (key) => !/^[a-z-]+$/i.test(key) || key.startsWith("on") || key === "style",
    ),
    ...["href", "src", "xlink:href"].filter((key) => attributes[key]?.startsWith("#") === false),
  ]);
}

/** The printable ASCII characters of a text. */
const shown = (text: string): string => [...text].filter((c) => /[ -~]/.test(c)).join("");

test("names stay text", async () => {
  let drawn = 0;
  await fc.assert(
    fc.asyncProperty(hostile, async ({ chain, link, comment, container, source }) => {
      const save = `*nat
:PREROUTING ACCEPT [0:0]
:DOCKER - [0:0]
-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
-A DOCKER ! -i docker0 -p tcp -m tcp --dport 8080 -m comment --comment "${comment}" -j DNAT --to-destination 172.17.0.2:80
COMMIT
*filter
:INPUT DROP [0:0]
:FORWARD ACCEPT [0:0]
:${chain} - [0:0]
:DOCKER - [0:0]
:DOCKER-USER - [0:0]
-A INPUT -m comment --comment "${comment}" -j ${chain}
-A ${chain} -i ${link} -p tcp -m tcp --dport 22 -j ACCEPT
-A ${chain} -p tcp -m tcp --dport 8080 -m comment --comment "${comment}" -j LOG --log-prefix "${comment.slice(0, 20)}"
-A FORWARD -j DOCKER-USER
-A FORWARD -o docker0 -j DOCKER
-A DOCKER -d 172.17.0.2/32 ! -i docker0 -o docker0 -p tcp -m tcp --dport 80 -j ACCEPT
COMMIT
`;
      const rules = [{ name: source, text: save }];
      const { rulesets } = readRuleset(rules);
      const given: HostSources = {
        addr: [
          {
            name: source,
            text: JSON.stringify(
              [
                [link, "192.0.2.1"],
                ["docker0", "172.17.0.1"],
              ].map(([ifname, local]) => ({ ifname, addr_info: [{ family: "inet", local, prefixlen: 24 }] })),
            ),
          },
        ],
        docker: [
          {
            name: source,
            text: JSON.stringify([
              {
                Name: container,
                Config: {
                  Labels: { "com.docker.compose.project": comment, "com.docker.compose.service": container },
                },
                NetworkSettings: {
                  Ports: { "80/tcp": [{ HostIp: "0.0.0.0", HostPort: "8080" }] },
                  Networks: { [comment]: { IPAddress: "172.17.0.2" } },
                },
              },
            ]),
          },
        ],
      };
      const host = readHost(given, rulesets);
      const html = await report(rulesets, host, { texts: { rules, host: given }, title: source });
      expect(escapes(html)).toEqual([]);
      const all = elements(html);
      const scripts = all.filter(({ tag }) => tag === "script");
      expect(scripts.map(({ attributes }) => attributes.type)).toEqual(["application/json", undefined]);
      expect(all.filter(({ tag }) => tag === "style").length).toBe(1);
      // The page simulates on the same rules.
      expect(JSON.parse(scripts[0]!.text).rules).toEqual(rules);
      const main = all.find(({ tag }) => tag === "main")!.text;
      expect(shown(main)).toContain(shown(safe(container.replace(/^\//, ""))));
      const packet = readPacket({
        in: link,
        src: "192.0.2.7",
        dst: "192.0.2.1",
        dport: 8080,
        sport: 1,
        proto: "tcp",
      });
      if (typeof packet === "string") return;
      const svg = pathSvg(new Simulator(rulesets, host).trace(packet), { rulesets, host });
      expect(escapes(svg)).toEqual([]);
      drawn++;
    }),
    { numRuns: 60 },
  );
  expect(drawn).toBeGreaterThan(20);
}, 240_000);
