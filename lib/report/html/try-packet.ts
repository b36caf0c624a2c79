/** Section with the form that simulates a packet. The script of the page shows the form and handles it. */
import type { PacketJson } from "../../packet/packet-json.ts";
import { Markup, markup } from "./markup.ts";
import { section } from "./page-elements.ts";
import type { ReportContents } from "./report-contents.ts";

const STATES = ["NEW", "ESTABLISHED", "RELATED", "INVALID", "UNTRACKED"];

const field = (name: string, label: string, control: Markup, kind = ""): Markup =>
  markup`<div class="field ${kind}"><label for="packet-${name}">${label}</label>${control}</div>`;

const input = (name: string, value: string, more: Markup | null = null): Markup =>
  markup`<input id="packet-${name}" name="${name}" value="${value}" autocomplete="off" autocapitalize="off" spellcheck="false"${more}>`;

const portInput = (name: string, value: string): Markup =>
  input(name, value, new Markup(' inputmode="numeric"'));

const select = (name: string, options: readonly Markup[]): Markup =>
  markup`<select id="packet-${name}" name="${name}">${options}</select>`;

const option = (value: string, label: string, isSelected: boolean): Markup =>
  markup`<option value="${value}"${isSelected ? new Markup(" selected") : null}>${label}</option>`;

const textOr = (value: PacketJson[keyof PacketJson] | undefined, otherwise: string): string =>
  typeof value === "string" || typeof value === "number" ? String(value) : otherwise;

/** The form, filled with the witness of the first finding. */
export function tryPacketSection({ host, audit }: ReportContents): Markup {
  const names = host.interfaces.filter((i) => i.name !== "lo" && i.master === null).map((i) => i.name);
  const example = audit.findings[0]?.witness ?? audit.exposures[0]?.witness ?? null;
  const from = example?.in ?? names[0] ?? "";
  const proto = String(example?.proto ?? "tcp").replace("icmpv6", "icmp");
  const inputs = [
    ...names.map((name) => option(name, name, name === from)),
    option("", "this host sends it", from === "" && names.length === 0),
  ];
  const states = [option("", "computed", true), ...STATES.map((s) => option(s, s, false))];
  return section(
    "try",
    "Simulate a packet",
    markup`<p class="no-script">With scripts enabled, you can enter a packet here and follow it through these rules.</p>
    <form id="packet" hidden autocomplete="off">
    <p>The same simulator as <code>fwcheck simulate</code>, in this page: nothing is sent.</p>
    <div class="fields">
    ${field("in", "Input interface", select("in", inputs))}
    ${field("src", "Source address", input("src", textOr(example?.src, "198.51.100.7")), "long")}
    ${field("dst", "Destination address", input("dst", textOr(example?.dst, "")), "long")}
    ${field(
      "proto",
      "Protocol",
      select(
        "proto",
        ["tcp", "udp", "icmp"].map((p) => option(p, p.toUpperCase(), p === proto)),
      ),
    )}
    ${field("dport", "Destination port", portInput("dport", textOr(example?.dport, "80")))}
    </div>
    <details class="rare"><summary>More fields</summary><div class="fields">
    ${field("sport", "Source port", portInput("sport", textOr(example?.sport, "40000")))}
    ${field("flags", "TCP flags (S, SA, A, F, R)", input("flags", textOr(example?.flags, "S")))}
    ${field("state", "conntrack state", select("state", states))}
    ${field("assume", "Assumptions, as for --assume (recent=match)", markup`<textarea id="packet-assume" name="assume" rows="2" spellcheck="false"></textarea>`, "long")}
    </div></details>
    <p class="buttons"><button type="submit">Simulate</button> <button type="button" id="again" hidden>Play the path again</button></p>
    <div class="result"><p id="verdict" role="status" aria-live="polite"></p>
    <div id="way" class="scroll" tabindex="0" role="group" aria-label="Path of the packet" hidden></div>
    <details id="words" hidden><summary>As text</summary><pre tabindex="0" role="group" aria-label="Path as text"></pre></details></div>
    </form>`,
  );
}
