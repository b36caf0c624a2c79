/**
 * `npm run bench [NAME...]`: the benches named, or all that end by themselves within minutes.
 *
 * A bench is a file beside this one with a line in `benches`; what it prints is its result. It measures processes of
 * their own, started cold, because that is how fwcheck is used.
 */

const benches: Readonly<Record<string, () => Promise<{ bench(): Promise<void> }>>> = {
  audit: () => import("./audit.ts"),
  fix: () => import("./fix.ts"),
  load: () => import("./load.ts"),
  nftables: () => import("./nftables.ts"),
  inputs: () => import("./inputs.ts"),
  hostile: () => import("./hostile.ts"),
  simulate: () => import("./simulate.ts"),
  size: () => import("./size.ts"),
  start: () => import("./start.ts"),
};

const asked = process.argv.slice(2);
const unknown = asked.filter((name) => !Object.hasOwn(benches, name));
if (unknown.length > 0) {
  console.error(`no bench ${unknown.join(", ")}; there are ${Object.keys(benches).join(", ")}`);
  process.exitCode = 2;
} else
  for (const name of asked.length > 0 ? asked : Object.keys(benches)) {
    console.log(`# ${name}`);
    await (await benches[name]!()).bench();
  }
