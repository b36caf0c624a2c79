// Takes the screenshots of the report for the manual: `npm run pictures`, with chromium and pngquant from Debian.
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { chromium } from "playwright-core";

const root = fileURLToPath(new URL("../", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "fwcheck-pictures-"));
const report = join(folder, "report.html");
const run = (program, ...args) => {
  const { status, stderr } = spawnSync(program, args, { cwd: root, encoding: "utf8" });
  if (status !== 0) throw new Error(`${program}: ${stderr}`);
};

const host = ["examples/ufw-docker-20.10", "--title", "web-1", "--fail-on", "none"];
run(process.execPath, "dist/cli/main.js", "report", ...host, "-o", report);
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-component-update --disable-sync".split(
    " ",
  ),
});

/** Takes a screenshot of the report: from the top to the position that `shown` returns, or of the element that it returns. */
async function picture(name, colorScheme, shown) {
  const page = await browser.newPage({
    viewport: { width: 1060, height: 1000 },
    deviceScaleFactor: 1.5,
    colorScheme,
    reducedMotion: "reduce",
  });
  await page.goto(pathToFileURL(report).href);
  const path = join(folder, `${name}.png`);
  await shown(page, path);
  run(
    "pngquant",
    "--force",
    "--strip",
    "--quality=60-90",
    "--output",
    join(root, "docs", `${name}.png`),
    path,
  );
  await page.close();
}

/** From the top to the end of the first finding. */
async function first(page, path) {
  const { y, height } = await page.locator("#finding-1").boundingBox();
  await page.screenshot({ path, fullPage: true, clip: { x: 0, y: 0, width: 1060, height: y + height + 16 } });
}

async function tried(page, path) {
  await page.selectOption("#packet-in", "eth0");
  await page.fill("#packet-dport", "22");
  await page.click("#packet [type=submit]");
  await page.evaluate(() => document.activeElement.blur());
  await page.locator("#try").screenshot({ path });
}

await picture("report-light", "light", first);
await picture("report-dark", "dark", first);
await picture("report-try", "light", tried);
await browser.close();
rmSync(folder, { recursive: true });
