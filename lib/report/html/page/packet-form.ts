/** The packet form: simulates the entered packet with the library, in the page. */
import { readHost } from "../../../host/read.ts";
import { readRuleset } from "../../../iptables/load.ts";
import { type PacketJson, readPacket } from "../../../packet/packet-json.ts";
import { parseAssumption } from "../../../path/unknown-key.ts";
import type { Ruleset } from "../../../rules/ruleset.ts";
import type { Trace } from "../../../simulate/answer.ts";
import { Simulator } from "../../../simulate/simulator.ts";
import { pathSvg } from "../../packet/path-svg.ts";
import { traceText, verdictText } from "../../packet/trace-text.ts";
import { PLAIN } from "../../text/terminal.ts";
import type { ReportInputs } from "../report.ts";
import { play } from "./path-player.ts";

/** Milliseconds without input after which the packet is simulated. */
const PAUSE = 250;

/** Input of the form: a packet with assumptions, or an error in a field. */
type FormInput =
  | { readonly packet: PacketJson; readonly assume: ReadonlyMap<string, boolean> }
  | { readonly error: string; readonly field: string };

/** Starts the form, if the page has one. */
export function startPacketForm(): void {
  const form = document.querySelector<HTMLFormElement>("#packet");
  const data = document.querySelector("#texts");
  if (form === null || data === null) return;
  new PacketForm(form, JSON.parse(data.textContent!) as ReportInputs).start();
}

class PacketForm {
  private rulesets: readonly Ruleset[] | undefined;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private readonly verdict = this.part("#verdict");
  private readonly way = this.part("#way");
  private readonly words = this.part("#words");
  private readonly again = this.part("#again");

  constructor(
    private readonly form: HTMLFormElement,
    private readonly texts: ReportInputs,
  ) {}

  start(): void {
    this.form.hidden = false;
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.simulate(true);
    });
    this.form.addEventListener("input", () => {
      clearTimeout(this.timer);
      this.timer = setTimeout(() => this.simulate(false), PAUSE);
    });
    this.again.addEventListener("click", () => play(this.way));
    for (const button of document.querySelectorAll<HTMLElement>(".follow")) {
      button.hidden = false;
      button.addEventListener("click", () => this.fill(button.dataset));
    }
  }

  private part(name: string): HTMLElement {
    return document.querySelector<HTMLElement>(name)!;
  }

  private control(name: string): HTMLInputElement | HTMLSelectElement | HTMLTextAreaElement {
    return this.form.elements.namedItem(name) as HTMLInputElement;
  }

  private value = (name: string): string => this.control(name).value.trim();

  /** Fills the form with a packet of the report, and simulates it. */
  private fill({ packet, assume }: DOMStringMap): void {
    const given = JSON.parse(packet!) as PacketJson;
    const set = (name: string, value: unknown): void => {
      this.control(name).value = value === undefined || value === null ? "" : String(value);
    };
    const input = this.control("in") as HTMLSelectElement;
    const name = given.in ?? "";
    if (![...input.options].some((option) => option.value === name)) input.append(new Option(name, name));
    set("in", name);
    for (const field of ["src", "dst", "sport", "dport", "state"] as const) set(field, given[field]);
    set("proto", given.proto === "icmpv6" ? "icmp" : (given.proto ?? "tcp"));
    set("flags", given.flags ?? "S");
    set("assume", assume);
    this.part("#try").scrollIntoView();
    this.simulate(true);
    this.verdict.tabIndex = -1;
    this.verdict.focus({ preventScroll: true });
  }

  private input(): FormInput {
    const { value } = this;
    const six = value("dst").includes(":");
    const proto = value("proto") === "icmp" && six ? "icmpv6" : value("proto");
    const packet: PacketJson = { in: value("in") || null, src: value("src"), dst: value("dst"), proto };
    if (proto === "icmp" || proto === "icmpv6") packet.type = six ? 128 : 8;
    else
      for (const field of ["sport", "dport"] as const) {
        const text = value(field);
        if (!/^\d+$/.test(text)) return { error: "a port is a number from 0 to 65535", field };
        packet[field] = Number(text);
      }
    if (proto === "tcp") packet.flags = value("flags");
    const state = value("state");
    if (state !== "") packet.state = state as NonNullable<PacketJson["state"]>;
    const assume = new Map<string, boolean>();
    for (const line of value("assume")
      .split("\n")
      .filter((each) => each !== "")) {
      const assumption = parseAssumption(line.trim());
      if (assumption === undefined)
        return { error: "write NAME=match or NAME=no-match, one per line", field: "assume" };
      assume.set(...assumption);
    }
    return { packet, assume };
  }

  /** @param isSubmitted true after a click or Enter, false while typing */
  private simulate(isSubmitted: boolean): void {
    clearTimeout(this.timer);
    for (const field of this.form.querySelectorAll("[aria-invalid]")) field.removeAttribute("aria-invalid");
    const input = this.input();
    if ("error" in input) {
      this.showError(input.error, input.field);
      return;
    }
    const packet = readPacket(input.packet);
    if (typeof packet === "string") {
      this.showError(packet, /"([a-z]+)"/.exec(packet)?.[1] ?? "");
      return;
    }
    this.rulesets ??= readRuleset(this.texts.rules).rulesets;
    const host = readHost(this.texts.host, this.rulesets, [packet]);
    const trace = new Simulator(this.rulesets, host, { assume: input.assume }).trace(packet);
    const options = { rulesets: this.rulesets, host, style: PLAIN };
    this.show(trace, verdictText(trace, options), traceText(trace, options));
    this.way.innerHTML = pathSvg(trace, { ...options, id: "tried", bare: true, mute: true });
    if (isSubmitted) play(this.way);
  }

  private show({ answer }: Trace, sentence: string, words: string): void {
    const [verdict, ...notes] = sentence.split("\n");
    this.verdict.className = answer.verdict;
    // A screen reader announces every change of the element, so an equal verdict is not written again.
    if (this.verdict.dataset.text !== sentence) {
      this.verdict.dataset.text = sentence;
      this.verdict.replaceChildren(verdict!, ...notes.map(noteElement));
    }
    this.words.querySelector("pre")!.textContent = words;
    for (const part of [this.way, this.words, this.again]) part.hidden = false;
  }

  private showError(error: string, field: string): void {
    const control = this.form.elements.namedItem(field);
    if (control instanceof HTMLElement) {
      control.setAttribute("aria-invalid", "true");
      control.setAttribute("aria-describedby", "verdict");
    }
    this.verdict.className = "refused";
    this.verdict.dataset.text = "";
    this.verdict.textContent = `No packet yet: ${error}.`;
    for (const part of [this.way, this.words, this.again]) part.hidden = true;
  }
}

/** A sentence after the verdict. */
function noteElement(sentence: string): HTMLElement {
  const out = document.createElement("span");
  out.className = "noted";
  out.textContent = sentence;
  return out;
}
