// Lists the packages whose code is in the bundles: dist/LICENSES.txt contains their licences, as these require, and
// dist/sbom.cdx.json lists them for scanners (CycloneDX 1.5, https://cyclonedx.org/docs/1.5/json/).
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const json = (...path) => JSON.parse(readFileSync(join(...path), "utf8"));

/** `node_modules/a/node_modules/@b/c` of a file in it; `undefined` for our own. */
const packageOf = (file) => /^(.*node_modules\/(?:@[^/]+\/)?[^/.][^/]*)\//.exec(file)?.[1];

/** Writes both files. @param metafiles esbuild's `metafile` of each bundle */
export function listBundled(metafiles) {
  const folders = new Set(
    metafiles
      .flatMap(({ outputs }) => Object.values(outputs))
      .flatMap(({ inputs }) => Object.entries(inputs))
      .flatMap(([file, { bytesInOutput }]) => (bytesInOutput > 0 ? (packageOf(file) ?? []) : [])),
  );
  const bundled = [...folders].sort().map((folder) => {
    const { name, version, license } = json(folder, "package.json");
    const files = readdirSync(folder).filter((file) => /^(licen[cs]e|notice|copying)/i.test(file));
    if (files.length === 0) throw new Error(`${name} has no licence file`);
    return {
      name,
      version,
      license,
      texts: files.map((file) => readFileSync(join(folder, file), "utf8").trim()),
    };
  });

  const sections = bundled.map(({ name, version, license, texts }) =>
    [`${name} ${version} (${license})`, ...texts].join("\n\n"),
  );
  writeFileSync(
    "dist/LICENSES.txt",
    `fwcheck is under the licence in LICENSE. Its bundles contain code of these packages:\n\n${sections.join(`\n\n${"-".repeat(80)}\n\n`)}\n`,
  );

  const component = (type, { name, version, license }) => {
    const purl = `pkg:npm/${name.replace("@", "%40")}@${version}`;
    return { type, "bom-ref": purl, name, version, licenses: [{ expression: license }], purl };
  };
  const sbom = {
    $schema: "http://cyclonedx.org/schema/bom-1.5.schema.json",
    bomFormat: "CycloneDX",
    specVersion: "1.5",
    version: 1,
    metadata: { component: component("application", json("package.json")) },
    components: bundled.map((each) => component("library", each)),
  };
  writeFileSync("dist/sbom.cdx.json", `${JSON.stringify(sbom, null, 2)}\n`);
}
