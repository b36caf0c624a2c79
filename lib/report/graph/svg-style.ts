/** Style sheet of the chain graph as SVG. Every rule applies to elements of class `fwg` only. */

/** Colours of a class in the light and in the dark theme. */
const COLOURS: readonly (readonly [selector: string, property: string, light: string, dark: string])[] = [
  [".page", "fill", "#f6f7f9", "#0f1318"],
  [".hook", "fill", "#ffffff", "#161b22"],
  [".hook", "stroke", "#d3d8df", "#30363d"],
  [".card", "fill", "#fbfcfd", "#1c222b"],
  [".card", "stroke", "#c3cad4", "#3a434f"],
  [".base>.card", "stroke", "#8b95a3", "#6b7684"],
  [".head", "fill", "#eef1f5", "#252d38"],
  [".pill", "fill", "#2f3a48", "#cdd6e0"],
  [".place text", "fill", "#ffffff", "#11161c"],
  ["text", "fill", "#1d242d", "#e3e8ee"],
  [".muted", "fill", "#5b6775", "#9aa6b4"],
  [".call", "stroke", "#9aa5b3", "#5d6876"],
  [".tip", "fill", "#9aa5b3", "#5d6876"],
  [".way", "stroke", "#5b6878", "#8d99a8"],
  [".wayhead", "fill", "#5b6878", "#8d99a8"],
  [".accept", "fill", "#146c3a", "#5fd08a"],
  [".drop", "fill", "#b3202c", "#ff8a8a"],
  [".reject", "fill", "#7d5700", "#e3b341"],
  [".nat", "fill", "#6f35b5", "#c9a3ff"],
  [".docker", "fill", "#155fb8", "#58a6ff"],
  [".podman", "fill", "#8a2a7d", "#e391d6"],
  [".ufw", "fill", "#a8460f", "#f0883e"],
  [".owner", "fill", "#59636f", "#a3adb9"],
  [".fwcheck", "fill", "#08695f", "#3fd0bf"],
  [".chain.passed>.card", "stroke", "#d4006a", "#ff66b3"],
  [".call.passed", "stroke", "#d4006a", "#ff66b3"],
  [".tip.passed", "fill", "#d4006a", "#ff66b3"],
  [".way.passed", "stroke", "#d4006a", "#ff66b3"],
  [".wayhead.passed", "fill", "#d4006a", "#ff66b3"],
  [".hit", "fill", "#ffe3f1", "#4a1f38"],
];

const SHAPES = `
.fwg text{font:11px ui-monospace,"DejaVu Sans Mono",Menlo,Consolas,monospace;white-space:pre}
.fwg .name{font-size:12px;font-weight:700}
.fwg .title{font:700 20px system-ui,"DejaVu Sans",sans-serif}
.fwg .hooktitle{font:700 16px system-ui,"DejaVu Sans",sans-serif;letter-spacing:.06em}
.fwg .caption{font:12px system-ui,"DejaVu Sans",sans-serif}
.fwg .place text{font:600 13px system-ui,"DejaVu Sans",sans-serif}
.fwg .table{font:600 11px system-ui,"DejaVu Sans",sans-serif;letter-spacing:.08em}
.fwg .action{font-weight:700}
.fwg .rowbox{fill:none;pointer-events:all}
.fwg .end{text-anchor:end}
.fwg .mid{text-anchor:middle}
.fwg .base>.card{stroke-width:1.6}
.fwg .call{fill:none;stroke-width:1.4}
.fwg .call.goto{stroke-dasharray:4 3}
.fwg .way{fill:none;stroke-width:3}
.fwg .call.passed,.fwg .chain.passed>.card{stroke-width:2.4}
.fwg .way.passed{stroke-width:5}
.fwg.traced .hookbox:not(.passed),.fwg.traced .call:not(.passed){opacity:.55}
`;

/** Returns the style sheet; without a theme, it follows the reader's system. */
export function graphStyle(theme: "light" | "dark" | undefined): string {
  const rules = (dark: boolean): string =>
    COLOURS.map(
      ([selector, property, ...both]) => `.fwg ${selector}{${property}:${both[dark ? 1 : 0]}}`,
    ).join("\n");
  if (theme !== undefined) return `${SHAPES}${rules(theme === "dark")}`;
  return `${SHAPES}${rules(false)}\n@media (prefers-color-scheme:dark){\n${rules(true)}\n}`;
}

/** Style sheet of the pictures; the theme follows the reader's system. */
export const GRAPH_STYLE = graphStyle(undefined);
