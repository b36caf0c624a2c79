/** Debian's chromium, and reports opened in it from disk as a person opens them. */
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { type Browser, type BrowserContextOptions, chromium, type Page } from "playwright-core";

const path = process.env.CHROMIUM ?? "/usr/bin/chromium";
/** True if a browser is installed. If CHROMIUM names a missing one, the tests fail. */
export const there = process.env.CHROMIUM !== undefined || existsSync(path);
if (!there)
  process.stderr.write(
    `no chromium at ${path}: the browser tests are skipped (apt-get install chromium, or CHROMIUM=/path/to/it)\n`,
  );

/** A report that is open, and all that went wrong in it. */
export interface Opened {
  readonly page: Page;
  /** Errors, what its policy stopped, and requests for anything but the file itself. */
  readonly problems: string[];
}

export class Desk {
  private readonly folder = mkdtempSync(join(tmpdir(), "fwcheck-browser-"));
  private readonly browser: Promise<Browser> = chromium.launch({
    executablePath: path,
    // The page may load its own file only.
    args: "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-component-update --disable-sync".split(
      " ",
    ),
  });

  async open(html: string, options: BrowserContextOptions = {}): Promise<Opened> {
    const file = join(this.folder, `${Math.random().toString(36).slice(2)}.html`);
    writeFileSync(file, html);
    const context = await (await this.browser).newContext({
      viewport: { width: 1200, height: 900 },
      reducedMotion: "reduce",
      offline: true,
      ...options,
    });
    const page = await context.newPage();
    const problems: string[] = [];
    const url = pathToFileURL(file).href;
    page.on("console", (message) => {
      if (["error", "warning"].includes(message.type()))
        problems.push(`${message.type()}: ${message.text()}`);
    });
    page.on("pageerror", (error) => problems.push(`thrown: ${error.message}`));
    page.on("dialog", (dialog) => {
      problems.push(`dialog: ${dialog.message()}`);
      void dialog.dismiss();
    });
    page.on("request", (request) => {
      if (request.url() !== url) problems.push(`request: ${request.url().slice(0, 200)}`);
    });
    await page.goto(url);
    return { page, problems };
  }

  async end(): Promise<void> {
    await (await this.browser).close();
    rmSync(this.folder, { recursive: true, force: true });
  }
}
