import { join } from "node:path";
import { run } from "../bundle.mjs";

const environment = ({ root, folder }) => ({
  E2E_FOLDER: join(root, "test/e2e/"),
  E2E_ROOT: root,
  E2E: folder,
});

// E2E_ONLY selects a part of one program; both run without it.
const only = process.env.E2E_ONLY ?? "";
const programs = only === "" ? ["e2e/nft", "e2e"] : [only.startsWith("nft") ? "e2e/nft" : "e2e"];
const codes = programs.map((name) => run(name, environment));
process.exit(Math.max(...codes));
