/**
 * The package as npm would publish it, installed into an empty project: `npm run test:package`. Only the two Node
 * binaries come from the registry; what needs them skips where it cannot be reached.
 */
import { execFileSync, spawnSync } from "node:child_process";
import {
  copyFileSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { createContext, runInContext } from "node:vm";
import { build } from "esbuild";
import { publint } from "publint";
import { formatMessage } from "publint/utils";
import { afterAll, describe, expect, test } from "vitest";

const root = new URL("../..", import.meta.url).pathname;
const manifest = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
const scratch = mkdtempSync(join(tmpdir(), "fwcheck-package-"));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

const npm = (args: readonly string[], cwd: string): string =>
  execFileSync("npm", [...args, "--no-audit", "--no-fund", "--loglevel=error"], { cwd, encoding: "utf8" });

/** An empty project. */
function project(name: string): string {
  const folder = join(scratch, name);
  mkdirSync(folder);
  writeFileSync(join(folder, "package.json"), '{ "private": true, "type": "module" }');
  return folder;
}

const [{ filename }] = JSON.parse(npm(["pack", "--json", "--pack-destination", scratch], root));
const tarball = join(scratch, filename);
const home = project("project");
npm(["install", "--offline", tarball], home);
const installed = join(home, "node_modules/fwcheck");

/** A host, as files beside the project. */
const host = join(home, "host");
cpSync(join(root, "examples/ufw-docker-20.10"), host, { recursive: true });
cpSync(host, join(home, "host-b"), { recursive: true });
cpSync(join(root, "examples/policy.yaml"), join(home, "policy.yaml"));
const save = join(host, "iptables-save.txt");

const bytes = (folder: string): number =>
  readdirSync(folder, { withFileTypes: true })
    .map((entry) => join(folder, entry.name))
    .reduce((sum, path) => sum + (statSync(path).isDirectory() ? bytes(path) : statSync(path).size), 0);

describe("the tarball", () => {
  test("publint finds no fault", async () => {
    const { buffer } = new Uint8Array(readFileSync(tarball));
    const { messages } = await publint({ pack: { tarball: buffer }, strict: true });
    expect(messages.map((message) => formatMessage(message, manifest))).toEqual([]);
  });

  test("the types are right wherever ECMAScript modules are resolved", () => {
    const args = [tarball, "--profile", "esm-only", "--no-definitely-typed", "--no-emoji", "--no-color"];
    const run = spawnSync(join(root, "node_modules/.bin/attw"), args, { encoding: "utf8" });
    expect(run.status, run.stdout + run.stderr).toBe(0);
  });

  test("npm installs it offline, without a warning", () => {
    const args = ["install", "--offline", "--no-audit", "--no-fund", "--loglevel=warn", tarball];
    const run = spawnSync("npm", args, { cwd: project("quiet"), encoding: "utf8" });
    expect(run.stderr).toBe("");
    expect(run.status).toBe(0);
  });

  test("at most 4 packages at run time and 12 MB, installed", () => {
    const packages = readdirSync(join(home, "node_modules")).filter((name) => !name.startsWith("."));
    expect(packages.length - 1).toBeLessThanOrEqual(4);
    const size = bytes(join(home, "node_modules"));
    console.log(`installed: ${packages.join(", ")}; ${(size / 1e6).toFixed(2)} MB`);
    expect(size).toBeLessThanOrEqual(12e6);
  });

  test("the modes do not depend on the umask", () => {
    const modes = (umask: string): string => {
      const folder = join(scratch, umask);
      mkdirSync(folder);
      const pack = `umask ${umask} && npm pack --loglevel=error --pack-destination '${folder}' >&2 && tar tvf '${folder}'/*.tgz`;
      return execFileSync("sh", ["-c", pack], { cwd: root, encoding: "utf8" });
    };
    const listing = modes("077");
    expect([...new Set(listing.match(/^\S+/gm))].sort()).toEqual(["-rw-r--r--", "-rwxr-xr-x"]);
    expect(listing.match(/^-rwx.*$/gm)!.map((line) => line.split(" ").at(-1))).toEqual([
      "package/dist/cli/main.js",
    ]);
  });

  test("an SBOM names each package that is bundled, for scanners", () => {
    const sbom = JSON.parse(readFileSync(join(installed, "dist/sbom.cdx.json"), "utf8"));
    expect([sbom.bomFormat, sbom.specVersion]).toEqual(["CycloneDX", "1.5"]);
    const listed = sbom.components.map(({ name, version }: Record<string, string>) => `${name} ${version}`);
    const licences = readFileSync(join(installed, "dist/LICENSES.txt"), "utf8");
    const named = [...licences.matchAll(/^(\S+ [\d.]+) \(\S+\)$/gm)].map((m) => m[1]);
    expect(listed).toEqual(named);
    expect(listed.length).toBeGreaterThan(8);
    const lock = JSON.parse(readFileSync(join(root, "package-lock.json"), "utf8")).packages;
    for (const { name, version, purl } of sbom.components) {
      expect(lock[`node_modules/${name}`]?.version).toBe(version);
      expect(purl).toBe(`pkg:npm/${name.replace("@", "%40")}@${version}`);
    }
  });

  test("nothing in it that only its makers need", () => {
    const names = readdirSync(installed, { recursive: true }).map(String);
    expect(
      names.filter((name) => /\.map$|(^|\/)(test|examples)\/|\.tsbuildinfo$|(?<!\.d)\.ts$/.test(name)),
    ).toEqual([]);
  });

  test("the licences of what is bundled go with it", () => {
    const text = readFileSync(join(installed, "dist/LICENSES.txt"), "utf8");
    for (const name of ["chevrotain", "ip-num", "@dagrejs/dagre", "yaml", "yargs", "@noble/hashes"])
      expect(text).toMatch(new RegExp(`^${name} [\\d.]+ \\(`, "m"));
    expect(text.match(/Permission (is hereby granted|to use, copy)/g)!.length).toBeGreaterThan(8);
    expect(readFileSync(join(installed, "LICENSE"), "utf8")).toContain("MIT");
  });
});

describe("a bundle for the browser", () => {
  const bundled = async (contents: string): Promise<string> => {
    const { outputFiles, warnings } = await build({
      stdin: { contents, resolveDir: home },
      bundle: true,
      minify: true,
      platform: "browser",
      format: "iife",
      globalName: "made",
      write: false,
    });
    expect(warnings).toEqual([]);
    return outputFiles[0]!.text;
  };
  /** Texts that occur in the code of one room each, and not in names that a bundler shortens. */
  const ROOMS = {
    simulate: "loose pick-up|rp_filter",
    audit: "ingress-bypass",
    expectations: "yaml.org,2002",
    fix: "DOCKER-USER -j|iptables-restore --noflush",
    report: "sarif|gets through: ",
  };
  const rooms = (text: string): string[] =>
    Object.entries(ROOMS).flatMap(([room, words]) => (new RegExp(words).test(text) ? [room] : []));

  test("contains all that is imported, and the texts identify the rooms", async () => {
    const text = await bundled(`export * from "fwcheck"; export * from "fwcheck/grammar";`);
    console.log(`all: ${text.length} bytes`);
    expect(rooms(text)).toEqual(Object.keys(ROOMS));
  });
  test("of the parser holds the parser", async () => {
    const text = await bundled(`export { parse } from "fwcheck/grammar";`);
    console.log(`parse: ${text.length} bytes`);
    expect(rooms(text)).toEqual([]);
    expect(text.length).toBeLessThan(200_000);
  });
  test("of the simulator holds no audit, no fix, no report", async () => {
    const text = await bundled(`export { simulate, readRuleset, readHost } from "fwcheck";`);
    console.log(`simulate, readRuleset, readHost: ${text.length} bytes`);
    expect(rooms(text)).toEqual(["simulate"]);
    expect(text.length).toBeLessThan(600_000);
  });
  test("of a packet's reader holds no grammar and no extension", async () => {
    const text = await bundled(`export { readPacket } from "fwcheck";`);
    console.log(`readPacket: ${text.length} bytes`);
    expect(rooms(text)).toEqual([]);
    expect(text.length).toBeLessThan(100_000);
  });

  test("runs where there is ECMAScript, TextEncoder and nothing else, and says the same", async () => {
    const program = `
      import { audit, auditText, fix, readHost, readPacket, readRuleset, sarif, simulate } from "fwcheck";
      import { parse, print } from "fwcheck/grammar";
      export const all = (rules, addr) => {
        const { rulesets } = readRuleset([{ name: "host", text: rules }]);
        const host = readHost({ addr: [{ name: "addr", text: addr }] }, rulesets);
        const packet = readPacket({ in: "eth0", src: "203.0.113.2", dst: "203.0.113.1", dport: 8080, flags: "S" });
        const found = audit(rulesets, host);
        const texts = [auditText(found), fix(rulesets, host).script, print(parse(rules).document)];
        return JSON.stringify([simulate(rulesets, host, packet), found, sarif(found, new Map(), "1"), texts]);
      };`;
    const inputs = {
      rules: readFileSync(save, "utf8"),
      addr: readFileSync(join(host, "addr.json"), "utf8"),
    };
    const text = await bundled(program);
    expect(text).not.toMatch(/["']node:/);
    // No process, no Buffer, no require, not even console or URL.
    const page = createContext({ ...inputs, TextEncoder });
    runInContext(text, page);
    writeFileSync(join(home, "all.mjs"), program);
    const here = await import(join(home, "all.mjs"));
    const said = runInContext("made.all(rules, addr)", page) as string;
    expect(said).toContain("ingress-bypass");
    expect(said).toBe(here.all(inputs.rules, inputs.addr));
  });
});

describe("a program that imports it type-checks, its own types included", () => {
  for (const [module, moduleResolution] of [
    ["nodenext", "nodenext"],
    ["esnext", "bundler"],
  ] as const)
    test(moduleResolution, () => {
      copyFileSync(join(root, "test/package/consumer.ts"), join(home, "consumer.ts"));
      const compilerOptions = {
        module,
        moduleResolution,
        target: "es2022",
        lib: ["es2022"],
        types: [],
        strict: true,
        ...{
          noEmit: true,
          skipLibCheck: false,
          exactOptionalPropertyTypes: true,
          noUncheckedIndexedAccess: true,
        },
      };
      const config = join(home, `tsconfig.${moduleResolution}.json`);
      writeFileSync(config, JSON.stringify({ compilerOptions, files: ["consumer.ts"] }));
      const run = spawnSync(join(root, "node_modules/.bin/tsc"), ["--project", config], { encoding: "utf8" });
      expect(run.stdout).toBe("");
      expect(run.status).toBe(0);
    });
});

describe.each([
  ["iptables-parser-ts", "*filter\nCOMMIT\n"],
  ["nftables-parser-ts", "table inet x {\n\tchain y {\n\t\ttcp dport 22 accept\n\t}\n}\n"],
])("the workspace %s", (name, text) => {
  const parser = project(name);
  const [packed] = JSON.parse(
    npm(["pack", "--json", "--workspace", name, "--pack-destination", scratch], root),
  );
  const program = `
    import { type Diagnostic, type Document, parse, print } from "${name}";
    const { document, diagnostics }: { document: Document; diagnostics: readonly Diagnostic[] } = parse(${JSON.stringify(text)});
    console.log(print(document), diagnostics.length);
    // @ts-expect-error a document is not text
    export const wrong: Document = "*filter";`;

  test("is no dependency of fwcheck", () => {
    expect(Object.keys({ ...manifest.dependencies, ...manifest.peerDependencies })).toEqual([]);
    expect(JSON.stringify(manifest.devDependencies)).not.toContain(name);
  });

  test("publint reports nothing, and the types are right wherever ECMAScript modules are resolved", async () => {
    const file = join(scratch, packed.filename);
    const { buffer } = new Uint8Array(readFileSync(file));
    const { messages } = await publint({ pack: { tarball: buffer }, strict: true });
    expect(messages.map((message) => message.code)).toEqual([]);
    const args = [file, "--profile", "esm-only", "--no-definitely-typed", "--no-emoji", "--no-color"];
    const run = spawnSync(join(root, "node_modules/.bin/attw"), args, { encoding: "utf8" });
    expect(run.status, run.stdout + run.stderr).toBe(0);
  });

  test("runs in a project of its own, with types", ({ skip }) => {
    try {
      npm(["install", "--prefer-offline", join(scratch, packed.filename)], parser);
    } catch {
      skip("the npm registry cannot be reached for its dependency");
    }
    writeFileSync(join(parser, "main.ts"), program);
    const tsc = [
      join(root, "node_modules/.bin/tsc"),
      "--module",
      "nodenext",
      "--target",
      "es2022",
      "--strict",
    ];
    const compiled = spawnSync(process.execPath, [...tsc, "main.ts"], {
      cwd: parser,
      encoding: "utf8",
    });
    expect(compiled.stdout).toBe("");
    const run = spawnSync(process.execPath, ["main.js"], { cwd: parser, encoding: "utf8" });
    expect(run).toMatchObject({ stdout: `${text} 0\n`, stderr: "", status: 0 });
  });
});

/** Node as npm's own packages bring it. */
function node(version: string): string | null {
  const name = `node-${process.platform}-${process.arch}`;
  try {
    const folder = project(`node-${version}`);
    npm(["install", "--ignore-scripts", `${name}@${version}`], folder);
    return join(folder, "node_modules", name, "bin/node");
  } catch {
    return null; // No registry, or no such package for this machine.
  }
}

/** Arguments for each command; a command without a line fails the test. */
const packet = ["--in", "eth0", "--src", "203.0.113.2", "--dst", "203.0.113.1", "--dport", "8080"];
const CALLS: Readonly<Record<string, { args: readonly string[]; code: number; prints: RegExp }>> = {
  audit: { args: ["host"], code: 1, prints: /9 findings: the firewall does not govern/ },
  simulate: { args: ["host", ...packet], code: 0, prints: /^ACCEPT: forwarded/m },
  explain: { args: ["host", "--chain", "DOCKER-USER"], code: 0, prints: /^This chain is yours/m },
  fix: { args: ["host"], code: 0, prints: /^-A FWCHECK /m },
  report: { args: ["host", "--fail-on", "none"], code: 0, prints: /^<!doctype html>/i },
  assert: {
    args: ["host", "policy.yaml"],
    code: 1,
    prints: /^violated: nothing else, IPv4, line 13$/m,
  },
  diff: {
    args: ["host", "host"],
    code: 0,
    prints: /^No difference: all IPv4 and IPv6 packets without a known connection fare alike$/m,
  },
  query: { args: ["host", "in eth0 tcp dport 22"], code: 0, prints: /^IPv4: accepted for the host itself/m },
  lint: { args: ["host"], code: 0, prints: /^\d+ rules: 0 dead, 0 shadowed, 0 redundant\.$/m },
  matrix: { args: ["host"], code: 0, prints: /^IPv4 from eth0, eth1$/m },
  graph: { args: ["host"], code: 0, prints: /^<svg / },
  collect: { args: [], code: 0, prints: /^#!\/bin\/sh\n/ },
  parse: { args: ["host/iptables-save.txt"], code: 0, prints: /^\*filter$/m },
  completion: { args: ["bash"], code: 0, prints: /^complete /m },
};

/** The oldest Node that `engines` allows, the later releases with long-term support, and the newest. */
const VERSIONS = [manifest.engines.node.replace(">=", ""), "22", "24", "latest"];
/** Output of each command on stderr, by the first Node that ran it. */
const messages = new Map<string, string>();

for (const version of VERSIONS) {
  const binary = node(version);
  const running = binary === null ? "" : execFileSync(binary, ["--version"], { encoding: "utf8" }).trim();
  const title = binary === null ? `${version} (skipped: the npm registry does not give it)` : running;
  describe.skipIf(binary === null)(`Node ${title}`, () => {
    const env = {
      ...process.env,
      NO_COLOR: "1",
      PATH: `${dirname(binary ?? "")}${delimiter}${process.env.PATH}`,
    };
    const run = (program: string, args: readonly string[]) => {
      const ran = spawnSync(program, args, { cwd: home, encoding: "utf8", env });
      return { code: ran.status, out: ran.stdout, err: ran.stderr };
    };
    const fwcheck = (...args: string[]) => run(join(home, "node_modules/.bin/fwcheck"), args);

    test("is what it should be", () => {
      if (version === "latest") expect(Number(/\d+/.exec(running))).toBeGreaterThanOrEqual(25);
      else expect(`${running}.`.startsWith(`v${version}.`)).toBe(true);
    });
    test("fwcheck --version", () => {
      expect(fwcheck("--version")).toEqual({ code: 0, out: `${manifest.version}\n`, err: "" });
    });
    test("the commands are those that --help lists", () => {
      const listed = [...fwcheck("--help").out.matchAll(/^ {2}fwcheck (\w+)/gm)].map((m) => m[1]);
      expect([...new Set(listed)].sort()).toEqual(Object.keys(CALLS).sort());
    });
    test.each(Object.entries(CALLS))("fwcheck %s", (name, { args, code, prints }) => {
      const ran = fwcheck(name, ...args);
      expect(ran.err).not.toMatch(/Warning|^Error|^\s+at /m);
      if (!messages.has(name)) messages.set(name, ran.err);
      expect(ran.err).toBe(messages.get(name));
      expect(ran.out).toMatch(prints);
      expect(ran.code).toBe(code);
    });
    test("fwcheck audit of several hosts, in processes of their own", () => {
      const ran = fwcheck("audit", "host", "host-b");
      expect(ran.err).toBe("");
      expect(ran.out).toMatch(/^host {4}9 findings .*\nhost-b {2}9 findings .*\n$/);
      expect(ran.code).toBe(1);
    });
    test("import and require", () => {
      const program = `const said = ({ readRuleset }, { parse }) =>
        console.log(readRuleset([{ name: "x", text: "*filter\\nCOMMIT\\n" }]).rulesets.length, parse("").diagnostics.length > 0);`;
      const esm = `${program} said(await import("fwcheck"), await import("fwcheck/grammar"));`;
      const cjs = `${program} said(require("fwcheck"), require("fwcheck/grammar"));`;
      const made = (name: string, text: string) => {
        writeFileSync(join(home, name), text);
        return run(binary!, [name]);
      };
      expect(made("a.mjs", esm)).toEqual({ code: 0, out: "1 true\n", err: "" });
      expect(made("a.cjs", cjs)).toMatchObject({ code: 0, out: "1 true\n" });
    });
  });
}
