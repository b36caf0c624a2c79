import { run } from "../bundle.mjs";

process.exit(run("e2e", ({ here, root, folder }) => ({ E2E_FOLDER: here, E2E_ROOT: root, E2E: folder })));
