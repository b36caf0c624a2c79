import { run } from "../bundle.mjs";

process.exit(await run("kernel", ({ here, root }) => ({ KERNEL_FOLDER: here, KERNEL_ROOT: root })));
