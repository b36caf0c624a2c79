/** The script and the style sheet, as text. */
export function page(): { readonly script: string; readonly style: string };
