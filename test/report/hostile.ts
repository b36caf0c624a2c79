/** A host with hostile text in every name. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { quote } from "fwcheck/grammar";
import { examples } from "../capture.ts";

/** Text that a terminal, a browser, a viewer of SARIF or Markdown, a shell or a spreadsheet interprets. */
export const PAYLOADS: readonly string[] = [
  "\u001b[2J",
  "\u001b]8;;http://evil.test\u0007here\u001b]8;;\u0007",
  "\u001b]0;title\u0007",
  "\u001bP1$r\u001b\\",
  "\u009b31m",
  "\u009d52;c;cm0=\u009c",
  "\u0085INJECTED",
  "\rINJECTED",
  "\nINJECTED",
  "\b\b\b\b",
  "\u007f",
  "\u0000",
  "\u000e",
  "\u202egpj.exe",
  "\u2066x\u2069",
  "\u200f",
  "\u061c",
  "\u2028INJECTED",
  "\u2029INJECTED",
  "\u200b",
  "\u00ad",
  "\ufeff",
  "\u2060",
  "\u180e",
  "\u3164",
  "\u115f",
  "\ufff9",
  "\u206a",
  "\u{e0041}\u{e007f}",
  "\ud800",
  "<script>alert(1)</script>",
  "&lt;",
  '"><img src=x onerror=alert(1)>',
  "]]>",
  "-->",
  "[here](http://evil.test)",
  "![x](http://evil.test)",
  "](1)",
  "**x**",
  "`x`",
  "| a | b |",
  "{0}",
  "{{0}}",
  "%0a::error::x",
  "::error file=x::y",
  "$(touch pwned)",
  "`touch pwned`",
  "'; touch pwned; '",
  "=cmd|' /C calc'!A0",
  "@SUM(1)",
  "\\",
  '"',
  "__proto__",
  "constructor",
  "toString",
];

/** Payloads, and random characters. */
export const payload = fc
  .array(
    fc.oneof(
      { weight: 4, arbitrary: fc.constantFrom(...PAYLOADS) },
      fc.string({ unit: "binary", maxLength: 4 }),
    ),
    {
      minLength: 1,
      maxLength: 4,
    },
  )
  .map((parts) => parts.join("x"));

/** Characters that must be escaped: control, format, separator, default ignorable, lone surrogates (Unicode). */
const RAW = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}\p{DI}]/gu;

/** Unescaped control characters of a text, and lines that the input has injected. */
export const raw = (text: string): string[] => [
  ...(text.replaceAll("\n", "").match(RAW) ?? []).map((c) => `U+${c.codePointAt(0)!.toString(16)}`),
  ...(text.match(/^\W*INJECTED.*$/gm) ?? []),
];

/** Makes an unquoted word of a rule: it ends at a blank or a quotation mark. */
const word = (text: string): string => text.replaceAll(/[\s"!]/g, "_") || "_";

/** Makes the content of a quoted word of a rule: it ends at a line end. */
const quoted = (text: string): string => text.replaceAll(/[\r\n]/g, "_");

export interface Files {
  readonly rules: string;
  readonly addr: string;
  readonly docker: string;
  readonly networks: string;
  readonly ipset: string;
  readonly route: string;
}

/** Returns the files of a host with ufw and Docker, with this text in every name. */
export function hostile(name: string): Files {
  const folder = `${examples}ufw-docker-20.10`;
  const file = (of: string): string => readFileSync(join(folder, of), "utf8");
  const w = word(name);
  const q = quote(quoted(name), "--comment", "comment");
  const evil = [
    ...["match", "set"].map(() => `-A E${w} -m set --match-set s${w} src -j LOG --log-prefix ${q}`),
    `-A E${w} -m set ! --match-set ${w} dst -j DROP`,
    `-A E${w} -m recent --update --name ${w} --rsource -m comment --comment ${q} -j DROP`,
    `-A E${w} -m string --string ${q} --algo bm -j DROP`,
    `-A E${w} -m helper --helper ${q} -j DROP`,
    `-A E${w} -m hashlimit --hashlimit-above 1/sec --hashlimit-name ${w} -j DROP`,
    `-A E${w} -m cgroup --path ${q} -j DROP`,
    `-A E${w} -m frob${w} --frob ${q} -j DROP`,
    `-A E${w} -p tcp -m tcp --dport 8080 -j NFLOG --nflog-prefix ${q}`,
    `-A E${w} -i ${w} -o ${w} -j DROP`,
    `-A E${w} -j FROB${w} --frob ${q}`,
    `-A E${w} -p ${w} -j DROP`,
    `-A E${w} -s ${w} -j DROP`,
    `-A f2b-${w} -s 198.51.100.66/32 -j REJECT --reject-with icmp-port-unreachable`,
    `-A f2b-${w} -m set --match-set s${w} src -j DROP`,
    `${w} ${q}`,
    `-A NOWHERE${w} -j DROP`,
  ];
  const app = quote(`dapp_${quoted(name)}`, "--comment", "comment");
  const rules = file("iptables-save.txt")
    .replaceAll("br-app", `br${w}`)
    .replaceAll('"[UFW BLOCK] "', q)
    .replace(
      "[0:0] -A INPUT",
      `:E${w} - [0:0]\n:f2b-${w} - [0:0]\n[0:0] -A INPUT -j f2b-${w}\n-A INPUT -j E${w}\n[0:0] -A INPUT`,
    )
    .replace(
      "[0:0] -A DOCKER-USER -j RETURN",
      `-A DOCKER-USER -i ${w} -m comment --comment ${q} -p tcp -m tcp --dport 8080 -j DROP\n-A DOCKER-USER -j RETURN\n-A DOCKER-USER -i ${w} -m comment --comment ${q} -j DROP`,
    )
    .replace(
      "[0:0] -A ufw-user-input -p tcp -m tcp --dport 22 -j ACCEPT",
      [
        `-A ufw-user-input -p tcp -m multiport --dports 80,8080 -m comment --comment ${app} -j DROP`,
        `-A ufw-user-input -i ${w} -p tcp -m tcp --dport 9000 -m comment --comment ${q} -j ACCEPT`,
        `-A ufw-user-input -p tcp -m tcp --dport 22 -j ACCEPT`,
      ].join("\n"),
    )
    .replace("COMMIT\n", `${evil.join("\n")}\nCOMMIT\n*t${w}\nCOMMIT\n`);
  const named = (text: string): string =>
    JSON.stringify(
      JSON.parse(text).map((entry: Record<string, unknown>) => ({
        ...entry,
        Name: name,
        ...(entry.Config === undefined
          ? { Options: { "com.docker.network.bridge.name": `br${w}` }, Driver: entry.Driver }
          : {
              Config: {
                Labels: { "com.docker.compose.project": name, "com.docker.compose.service": name },
              },
            }),
      })),
    );
  const addr = JSON.parse(file("addr.json")).map((link: { ifname: string }) => ({
    ...link,
    ifname: link.ifname === "br-app" ? `br${w}` : link.ifname === "eth1" ? w : link.ifname,
  }));
  return {
    rules,
    addr: JSON.stringify(addr),
    docker: named(file("docker-inspect.json")),
    networks: named(file("docker-network-inspect.json")),
    ipset: `create s${w} hash:ip family inet\nadd s${w} 198.51.100.7\nadd s${w} ${w}\ncreate b${w} hash:${w}\n${w}\n`,
    route: file("route4.json")
      .replaceAll('"br-app"', JSON.stringify(`br${w}`))
      .replaceAll('"eth1"', JSON.stringify(w)),
  };
}
