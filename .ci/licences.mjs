// Writes dist/LICENSES.txt: the licences of the packages that have code in the bundles, which they ask to go with it.
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** Where each bundle's esbuild wrote what went into it (`--metafile`). */
const METAFILES = "node_modules/.cache/fwcheck-build";

/** `node_modules/a/node_modules/@b/c` of a file in it; `undefined` for our own. */
const packageOf = (file) => /^(.*node_modules\/(?:@[^/]+\/)?[^/.][^/]*)\//.exec(file)?.[1];

const folders = new Set(
  readdirSync(METAFILES)
    .map((name) => JSON.parse(readFileSync(join(METAFILES, name), "utf8")))
    .flatMap(({ outputs }) => Object.values(outputs))
    .flatMap(({ inputs }) => Object.entries(inputs))
    .flatMap(([file, { bytesInOutput }]) => (bytesInOutput > 0 ? (packageOf(file) ?? []) : [])),
);
const sections = [...folders].sort().map((folder) => {
  const { name, version, license } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
  const files = readdirSync(folder).filter((file) => /^(licen[cs]e|notice|copying)/i.test(file));
  if (files.length === 0) throw new Error(`${name} has no licence that could go with it`);
  const texts = files.map((file) => readFileSync(join(folder, file), "utf8").trim());
  return [`${name} ${version} (${license})`, ...texts].join("\n\n");
});
writeFileSync(
  "dist/LICENSES.txt",
  `fwcheck is under the licence in LICENSE. Its bundles contain code of these packages:\n\n${sections.join(`\n\n${"-".repeat(80)}\n\n`)}\n`,
);
