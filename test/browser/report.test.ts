/** The report as a person uses it: opened from disk in a real browser, by mouse, by keyboard, and without scripts. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import {
  type HostSources,
  type PacketJson,
  type Ruleset,
  readHost,
  readPacket,
  readRuleset,
  report,
  Simulator,
  type Source,
  traceText,
  verdictText,
} from "fwcheck";
import type { Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { examples, hostSources, shared } from "../capture.ts";
import { Desk, type Opened, there } from "./browser.ts";

interface World {
  readonly rules: readonly Source[];
  readonly given: HostSources;
  readonly rulesets: readonly Ruleset[];
}

function world(folder: string): World {
  const rules = ["iptables-save.txt", "ip6tables-save.txt", "iptables-save-c.txt"]
    .filter((name) => existsSync(`${folder}/${name}`))
    .map((name) => ({ name, text: readFileSync(`${folder}/${name}`, "utf8") }));
  return { rules, given: hostSources(folder), rulesets: readRuleset(rules).rulesets };
}

const written = ({ rules, given, rulesets }: World): Promise<string> =>
  report(rulesets, readHost(given, rulesets), { texts: { rules, host: given }, title: "web-1" });

/** Verdict and text of the library for a packet, which the page must show. */
function said({ given, rulesets }: World, packet: PacketJson): { verdict: string; words: string } {
  const read = readPacket(packet);
  if (typeof read === "string") throw new Error(read);
  const host = readHost(given, rulesets, [read]);
  const trace = new Simulator(rulesets, host).trace(read);
  return { verdict: verdictText(trace, { rulesets, host }), words: traceText(trace, { rulesets, host }) };
}

/** Types a packet into the form. */
async function type(page: Page, packet: PacketJson): Promise<void> {
  await page.selectOption("#packet-in", packet.in ?? "");
  await page.fill("#packet-src", packet.src);
  await page.fill("#packet-dst", packet.dst);
  await page.selectOption("#packet-proto", String(packet.proto).replace("icmpv6", "icmp"));
  if (packet.dport !== undefined) await page.fill("#packet-dport", String(packet.dport));
}

/** The verdict on the page, one line for each sentence. */
const verdict = (page: Page): Promise<string> =>
  page.$eval("#verdict", (p) => [...p.childNodes].map((n) => n.textContent).join("\n"));

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
/** Violations of WCAG 2.2, level AA, and of good practice, by axe. */
async function faults(page: Page): Promise<string[]> {
  await page.evaluate(axe);
  return page.evaluate(async () => {
    const { violations } = await (globalThis as unknown as { axe: { run(): Promise<Axe> } }).axe.run();
    return violations.map(({ id, nodes }) => `${id}: ${nodes.map((n) => n.html.slice(0, 120)).join(" | ")}`);
  });
}
interface Axe {
  readonly violations: readonly {
    readonly id: string;
    readonly nodes: readonly { readonly html: string }[];
  }[];
}

describe.skipIf(!there)("the report", () => {
  const here = world(`${examples}ufw-docker-20.10`);
  const six = world(`${examples}ufw-docker-28.5`);
  let desk: Desk;
  let html: string;
  beforeAll(async () => {
    desk = new Desk();
    html = await written(here);
  }, 60_000);
  afterAll(() => desk.end());
  const open = (text = html, options?: Parameters<Desk["open"]>[1]): Promise<Opened> =>
    desk.open(text, options);

  const captures = [`${examples}ufw-docker-20.10`, `${examples}ufw-docker-28.5`];
  for (const name of ["docker-20.10", "docker-28.5"]) {
    const folder = `${shared}captures/${name}`;
    if (existsSync(folder))
      captures.push(
        ...readdirSync(folder, { withFileTypes: true }).flatMap((e) =>
          e.isDirectory() ? [`${folder}/${e.name}`] : [],
        ),
      );
  }
  test.each(captures.map((folder) => [folder.split("/").slice(-2).join("/"), folder]))(
    "%s opens without an error, and below 1 MB",
    async (_, folder) => {
      const text = await written(world(folder!));
      expect(text.length).toBeLessThan(1_000_000);
      const { page, problems } = await open(text);
      expect(await page.locator("main h2").count()).toBeGreaterThan(3);
      expect(await page.locator(".way, .fwg").count()).toBeGreaterThan(0);
      expect(problems).toEqual([]);
      await page.context().close();
    },
  );

  const FROM = { in: "eth0", src: "203.0.113.2", dst: "203.0.113.1", proto: "tcp", sport: 40000, flags: "S" };
  const SIX = { ...FROM, src: "2001:db8:1::2", dst: "2001:db8:1::1" };
  const PACKETS: readonly PacketJson[] = [
    { ...FROM, dport: 8080 },
    { ...FROM, dport: 22 },
    { ...FROM, dport: 23 },
    { ...FROM, dst: "172.17.0.2", dport: 80 },
    { in: "docker0", src: "172.17.0.2", dst: "203.0.113.2", proto: "udp", sport: 40000, dport: 53 },
    { in: null, src: "203.0.113.1", dst: "203.0.113.2", proto: "tcp", sport: 40000, dport: 443, flags: "S" },
    { in: "eth0", src: "203.0.113.2", dst: "203.0.113.1", proto: "icmp", type: 8 },
    { ...FROM, dst: "192.0.2.99", dport: 80 },
    { ...SIX, dport: 22 },
    { ...SIX, dport: 8080 },
    { in: "eth0", src: "2001:db8:1::2", dst: "2001:db8:1::1", proto: "icmpv6", type: 128 },
  ];
  test.each([
    ["Docker 20.10", here],
    ["Docker 28.5", six],
  ] as const)("what is typed gets the library's word: %s", async (_, of) => {
    const { page, problems } = await open(await written(of));
    const seen = new Set<string>();
    for (const packet of PACKETS) {
      const wanted = said(of, packet);
      await type(page, packet);
      await expect.poll(() => verdict(page)).toBe(wanted.verdict);
      expect(await page.locator("#words pre").textContent()).toBe(wanted.words);
      expect(await page.locator("#way svg").count()).toBe(1);
      seen.add(wanted.verdict.split(/[ :]/)[0]!);
    }
    expect(seen.size).toBeGreaterThan(1);
    expect(problems).toEqual([]);
  });

  test("each finding's packet can be followed, and what is supposed goes with it", async () => {
    const { page, problems } = await open();
    const buttons = page.locator(".follow");
    const count = await buttons.count();
    expect(count).toBe(9);
    for (let i = 0; i < count; i++) {
      const packet = JSON.parse((await buttons.nth(i).getAttribute("data-packet"))!) as PacketJson;
      await buttons.nth(i).click();
      expect(await verdict(page)).toBe(said(here, packet).verdict);
    }
    expect(problems).toEqual([]);
  });

  test("what is no packet is said, at the field", async () => {
    const { page } = await open();
    await page.fill("#packet-dst", "203.0.113.999");
    await page.keyboard.press("Enter");
    expect(await verdict(page)).toMatch(/^No packet yet: /);
    expect(await page.getAttribute("#packet-dst", "aria-invalid")).toBe("true");
    expect(await page.locator("#way").isVisible()).toBe(false);
    await page.fill("#packet-dst", "203.0.113.1");
    await page.fill("#packet-dport", "80x");
    await expect.poll(() => page.getAttribute("#packet-dport", "aria-invalid")).toBe("true");
    expect(await page.getAttribute("#packet-dst", "aria-invalid")).toBe(null);
  });

  test("by keyboard alone", async () => {
    const { page, problems } = await open();
    await page.keyboard.press("Tab");
    expect(await page.evaluate(() => document.activeElement?.textContent)).toBe("Skip to the report");
    await page.keyboard.press("Enter");
    expect(await page.evaluate(() => document.activeElement?.id)).toBe("main");
    const all = await page.$$eval(
      "a, button, input, select, textarea, summary, [tabindex='0']",
      (list) =>
        list.filter((e) => (e as HTMLElement).checkVisibility() && e.closest("nav, .skip") === null).length,
    );
    const reached: string[] = [];
    let form = 0;
    for (let i = 0; i < all + 5; i++) {
      await page.keyboard.press("Tab");
      const at = await page.evaluate(() => {
        const e = document.activeElement as HTMLElement;
        e.dataset.reached ??= String(Math.random());
        const { outlineStyle, outlineWidth } = getComputedStyle(e);
        return { tag: e.tagName, id: e.id, mark: e.dataset.reached, ring: `${outlineStyle} ${outlineWidth}` };
      });
      if (at.tag === "BODY") break;
      expect(at.ring, `${at.tag} ${at.id}`).toBe("solid 3px");
      reached.push(at.mark);
      if (at.id === "packet-dport") {
        form = i;
        await page.keyboard.press("ControlOrMeta+A");
        await page.keyboard.type("22");
        await page.keyboard.press("Enter");
        expect(await verdict(page)).toBe(said(here, { ...FROM, dport: 22 }).verdict);
      }
    }
    expect(form).toBeGreaterThan(0);
    // The result brings some more to come to.
    expect(new Set(reached).size).toBeGreaterThanOrEqual(all);
    expect(problems).toEqual([]);
  });

  test.each(["light", "dark"] as const)("axe finds nothing: %s", async (colorScheme) => {
    const { page } = await open(html, { colorScheme });
    await page.locator(".follow").first().click();
    await page.$$eval("details", (list) => {
      for (const details of list) details.open = true;
    });
    expect(await faults(page)).toEqual([]);
    await page.setViewportSize({ width: 360, height: 740 });
    expect(await faults(page)).toEqual([]);
  });

  test("axe finds nothing where not everything is settled", async () => {
    const rules = here.rules.map(({ name, text }) => ({
      name,
      text: `${text.replace(/^.*DOCKER.*\n/gm, "")}broken\n`,
    }));
    const { page } = await open(await written({ ...here, rules, rulesets: readRuleset(rules).rulesets }));
    expect(await page.locator(".summary.unsure").count()).toBe(1);
    expect(await faults(page)).toEqual([]);
  });

  test("a phone is wide enough", async () => {
    const { page } = await open(html, { viewport: { width: 360, height: 740 } });
    await page.locator(".follow").first().click();
    const wide = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
    expect(wide[0]).toBe(wide[1]);
  });

  test("without scripts it can be read, and says what is missing", async () => {
    const { page, problems } = await open(html, { javaScriptEnabled: false });
    expect(await page.locator("#packet").isVisible()).toBe(false);
    expect(await page.locator(".no-script").isVisible()).toBe(true);
    expect(await page.locator(".finding").count()).toBe(5);
    expect(problems).toEqual([]);
  });

  test("its policy holds: nothing else runs, nothing is fetched", async () => {
    const { page, problems } = await open();
    const tried = await page.evaluate(async () => {
      const stopped: string[] = [];
      addEventListener("securitypolicyviolation", (e) => stopped.push(e.effectiveDirective));
      const put = (markup: string): void => {
        const box = document.createElement("div");
        box.innerHTML = markup;
        document.body.append(box);
      };
      const script = document.createElement("script");
      script.textContent = "globalThis.ran = true";
      document.body.append(script);
      put('<img src="data:image/gif;base64,R0lGODlhAQABAAAAACw=" onerror="globalThis.ran = true">');
      put('<p style="color:red">x</p><iframe src="data:text/html,x"></iframe>');
      document.body.firstElementChild!.setAttribute("onclick", "globalThis.ran = true");
      (document.body.firstElementChild as HTMLElement).click();
      // In a turn of its own: what the test itself runs is let be.
      setTimeout(() => {
        // biome-ignore lint/security/noGlobalEval: it must not work
        globalThis.eval("globalThis.ran = true");
      });
      try {
        await fetch("https://example.invalid/");
      } catch {}
      await new Promise((resolve) => setTimeout(resolve, 200));
      return { ran: "ran" in globalThis, stopped: [...new Set(stopped)].sort() };
    });
    expect(tried.ran).toBe(false);
    expect(tried.stopped).toEqual(
      expect.arrayContaining([
        "connect-src",
        "frame-src",
        "img-src",
        "script-src",
        "script-src-attr",
        "script-src-elem",
        "style-src-attr",
      ]),
    );
    expect(problems.filter((p) => p.startsWith("request:"))).toEqual([]);
  });

  test("a dot moves along the packet's path, except with prefers-reduced-motion", async () => {
    const packet = { ...FROM, dport: 22 };
    for (const [reducedMotion, dots] of [
      ["no-preference", 1],
      ["reduce", 0],
    ] as const) {
      const { page, problems } = await open(html, { reducedMotion });
      await type(page, packet);
      await page.click("#packet [type=submit]");
      expect(await page.locator("#way .dot").count()).toBe(dots);
      await expect.poll(() => page.locator("#way .dot, #way .playing").count(), { timeout: 8000 }).toBe(0);
      if (dots > 0) expect(await page.locator("#way .station.met:not(.reached)").count()).toBe(0);
      expect(problems).toEqual([]);
    }
  });

  test("the chain graph is moved, zoomed and searched", async () => {
    const { page, problems } = await open();
    const view = (): Promise<number[]> =>
      page.$eval("#graph-4 svg", (svg) => svg.getAttribute("viewBox")!.split(" ").map(Number));
    const start = await view();
    await page.click("#graph-4 [data-do=in]");
    expect((await view())[2]).toBeLessThan(start[2]!);
    await page.click("#graph-4 [data-do=all]");
    const whole = await view();
    await page.focus("#graph-4 .canvas");
    await page.keyboard.press("ArrowRight");
    expect((await view())[0]).toBeGreaterThan(whole[0]!);
    await page.keyboard.press("+");
    expect((await view())[2]).toBeLessThan(whole[2]!);
    await page.locator("#graph-4 .canvas").scrollIntoViewIfNeeded();
    const box = (await page.locator("#graph-4 .canvas").boundingBox())!;
    const before = await view();
    await page.mouse.move(box.x + 300, box.y + 200);
    await page.mouse.down();
    await page.mouse.move(box.x + 200, box.y + 150, { steps: 4 });
    await page.mouse.up();
    expect((await view())[0]).toBeGreaterThan(before[0]!);
    expect((await view())[1]).toBeGreaterThan(before[1]!);
    await page.fill("#graph-4-find", "docker-user");
    expect(await page.locator("#graph-4 .found").textContent()).toMatch(/^1 of \d+$/);
    const found = (await page
      .locator('#graph-4 .hit-chain[data-chain="DOCKER-USER"]')
      .first()
      .boundingBox())!;
    expect(found.x).toBeGreaterThan(box.x);
    expect(found.x + found.width).toBeLessThan(box.x + box.width);
    await page.fill("#graph-4-find", "no such chain");
    expect(await page.locator("#graph-4 .found").textContent()).toBe("nothing found");
    expect(problems).toEqual([]);
  });

  test("the fix is copied exactly", async () => {
    const { page } = await open(html, { permissions: ["clipboard-read", "clipboard-write"] });
    await page.locator("#fix details[open] .copy button").click();
    const text = await page.locator("#fix details[open] .copy pre").textContent();
    expect(text).toContain("-A FWCHECK -d 172.17.0.2/32 -p tcp -m tcp --dport 80 -j DROP");
    expect(await page.evaluate(() => navigator.clipboard.readText())).toBe(text);
    expect(await page.locator("#fix details[open] .copy button").textContent()).toBe("Copied");
  });

  test("on paper there is what can be read, and nothing to press", async () => {
    const { page } = await open();
    await page.emulateMedia({ media: "print" });
    for (const name of ["nav", "#try", ".copy button", ".graph-tools"])
      expect(await page.locator(name).first().isVisible(), name).toBe(false);
    expect(await page.locator(".finding .way").first().isVisible()).toBe(true);
    expect((await page.pdf({ format: "A4" })).length).toBeGreaterThan(10_000);
  });

  test("hostile names run nothing and are shown as they are", async () => {
    const payload = "<img/src=x/onerror=alert(1)>";
    const save = readFileSync(`${examples}ufw-docker-20.10/iptables-save.txt`, "utf8")
      .replaceAll("ufw-user-input", payload)
      .replace(
        "-A FORWARD -j DOCKER-USER",
        '-A FORWARD -m comment --comment "</script><script>alert(2)</script>" -j DOCKER-USER',
      );
    const inspect = hostSources(`${examples}ufw-docker-20.10`).docker!.map(({ name, text }) => ({
      name,
      text: text.replaceAll('"/web"', JSON.stringify('/"><svg/onload=alert(3)>')),
    }));
    const addr = here.given.addr!.map(({ name, text }) => ({
      name,
      text: text.replaceAll('"eth1"', '"<b>x</b>"'),
    }));
    const rules = [{ name: "'\"><script>alert(4)</script>", text: save }];
    const hostile: World = {
      rules,
      given: { ...here.given, docker: inspect, addr },
      rulesets: readRuleset(rules).rulesets,
    };
    const { page, problems } = await open(await written(hostile));
    await page.locator(".follow").first().click();
    await type(page, { ...FROM, in: "<b>x</b>", dport: 22 });
    await expect.poll(() => page.locator("#words pre").textContent()).toContain("in <b>x</b>");
    const text = await page.locator("main").textContent();
    for (const each of [payload, '"><svg/onload=alert(3)>', "<b>x</b>"]) expect(text).toContain(each);
    expect(await page.locator("main b, main img, main script, main [onload], main [onerror]").count()).toBe(
      0,
    );
    expect(problems).toEqual([]);
  });

  test("5,000 rules open in two seconds, and stay quick", async () => {
    const text = await written(large(5000));
    await open("<!doctype html><title>the browser has started</title>");
    const file = await open(text);
    const took = await file.page.evaluate(() => {
      const [entry] = performance.getEntriesByType("navigation") as PerformanceNavigationTiming[];
      return { load: entry!.loadEventEnd, elements: document.querySelectorAll("*").length };
    });
    expect(took.load).toBeLessThan(2000);
    const busy = async (act: () => Promise<unknown>): Promise<number> => {
      const begin = performance.now();
      await act();
      return performance.now() - begin;
    };
    const packet = { ...FROM, src: "198.51.100.9", dst: "192.0.2.1", dport: 4321 };
    const first = await busy(async () => {
      await type(file.page, packet);
      await file.page.click("#packet [type=submit]");
    });
    const wanted = said(large(5000), { ...packet });
    expect(await verdict(file.page)).toBe(wanted.verdict);
    const next = await busy(async () => {
      await file.page.fill("#packet-dport", "4322");
      await file.page.click("#packet [type=submit]");
    });
    const found = await busy(() => file.page.fill("#graph-4-find", "4321"));
    process.stderr.write(
      `5,000 rules: ${Math.round(text.length / 1024)} KB, loaded in ${Math.round(took.load)} ms, ${took.elements} elements; first packet ${Math.round(first)} ms, next ${Math.round(next)} ms, search ${Math.round(found)} ms\n`,
    );
    expect(first).toBeLessThan(2000);
    expect(next).toBeLessThan(1000);
    expect(found).toBeLessThan(1000);
    expect(file.problems).toEqual([]);
  });

  const tum = `${shared}rulesets/IS__IPPartEval__TUM_Net__iptables-save-2015-09-03_15-56-50`;
  test.skipIf(!existsSync(tum))("a real firewall of 5,000 lines opens in two seconds", async () => {
    const rules = [{ name: "tum", text: readFileSync(tum, "utf8") }];
    const { rulesets } = readRuleset(rules);
    const { page, problems } = await open(await written({ rules, given: {}, rulesets }));
    const load = await page.evaluate(
      () => (performance.getEntriesByType("navigation")[0] as PerformanceNavigationTiming).loadEventEnd,
    );
    expect(load).toBeLessThan(2000);
    expect(problems).toEqual([]);
  });
});

/** A host with `size` rules in INPUT, FORWARD and user chains, and Docker with a published port. */
function large(size: number): World {
  const chains = Array.from({ length: 20 }, (_, i) => `zone-${i}`);
  const own = chains.flatMap((chain, c) =>
    Array.from({ length: Math.floor(size / 20) }, (_, i) => {
      const port = 1000 + c * 300 + i;
      return `-A ${chain} -s 10.${c}.${i % 250}.0/24 -p tcp -m tcp --dport ${port} -j ${i % 3 === 0 ? "DROP" : "ACCEPT"}`;
    }),
  );
  const save = `# Generated by iptables-save v1.8.9
*nat
:PREROUTING ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
:DOCKER - [0:0]
-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
-A DOCKER ! -i docker0 -p tcp -m tcp --dport 8080 -j DNAT --to-destination 172.17.0.2:80
COMMIT
*filter
:INPUT DROP [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
:DOCKER - [0:0]
:DOCKER-USER - [0:0]
${chains.map((chain) => `:${chain} - [0:0]`).join("\n")}
${chains.map((chain) => `-A INPUT -j ${chain}`).join("\n")}
-A FORWARD -j DOCKER-USER
-A FORWARD -o docker0 -j DOCKER
-A DOCKER -d 172.17.0.2/32 ! -i docker0 -o docker0 -p tcp -m tcp --dport 80 -j ACCEPT
${own.join("\n")}
COMMIT
`;
  const rules = [{ name: "large", text: save }];
  const addr = [
    ["eth0", "192.0.2.1"],
    ["docker0", "172.17.0.1"],
  ].map(([ifname, local]) => ({ ifname, addr_info: [{ family: "inet", local, prefixlen: 24 }] }));
  return {
    rules,
    given: { addr: [{ name: "addr", text: JSON.stringify(addr) }] },
    rulesets: readRuleset(rules).rulesets,
  };
}
