import { join } from "node:path";
import { run } from "../../bundle.mjs";

process.exit(
  await run("e2e/hosts", ({ here, root, folder }) => ({
    ...{ E2E_FOLDER: join(here, "..", "/"), E2E_HOSTS: here, E2E_ROOT: root, E2E: folder },
  })),
);
