import { join } from "node:path";
import { run } from "../bundle.mjs";

const environment = ({ root, folder }) => ({
  E2E_FOLDER: join(root, "test/e2e/"),
  E2E_ROOT: root,
  E2E: folder,
});

// E2E_ONLY selects a part of one program. Without it both run at once: they mostly wait for connections that stay closed.
const only = process.env.E2E_ONLY ?? "";
const programs = only === "" ? ["e2e", "e2e/nft"] : [only.startsWith("nft") ? "e2e/nft" : "e2e"];
const codes = await Promise.all(programs.map((name, i) => run(name, environment, i === 0 ? "show" : "hold")));
process.exit(Math.max(...codes));
