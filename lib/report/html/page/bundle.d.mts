import type { Plugin } from "esbuild";

/** The script and the style sheet, as text. */
export function page(): { readonly script: string; readonly style: string };
/** An esbuild plugin that resolves the import `#page` to the script and the style sheet. */
export const pagePlugin: Plugin;
