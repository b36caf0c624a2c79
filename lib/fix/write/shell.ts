/** Parts that the scripts of both rule languages share. */
import type { FamilyRules } from "./family.ts";
import { familyTool, tool } from "./family.ts";
import { cutText } from "./flows.ts";

/** Ends each here-document; no line that is printed in one begins with it. */
const END = "END-OF-FWCHECK";

/** Returns a here-document of lines, in which the shell expands nothing; a command that does nothing for no lines. */
export const here = (lines: readonly string[]): string[] =>
  lines.length === 0 ? ["    :"] : [`    cat <<'${END}'`, ...lines, END];

/**
 * Returns a function of the shell whose argument is the program of a family.
 * @param key returns that program
 */
export const choose = (
  parts: readonly FamilyRules[],
  name: string,
  arm: (part: FamilyRules) => string[],
  key: (part: FamilyRules) => string = tool,
): string[] => [
  `${name}() {`,
  "  case $1 in",
  ...parts.flatMap((part) => [`  ${key(part)})`, ...arm(part), "    ;;"]),
  "  esac",
  "}",
];

/**
 * Returns the function that prints the flows that `--cut` ends.
 * @param key returns the name of a family that its caller gives
 */
export const flows = (
  parts: readonly FamilyRules[],
  key: (part: FamilyRules) => string = ({ family }) => familyTool(family),
): string[] => [
  "# Flows that the policy forbids: protocol, destination, port, the container that answers, and whose they are.",
  ...choose(parts, "flows", (part) => here(part.cuts.map(cutText)), key),
];

/** End of the branch `--check`: prints the result in `code`. */
export const CHECKED: readonly string[] = [
  "  case $code in",
  '  0) echo "in force" ;;',
  '  1) echo "not in force" ;;',
  '  *) echo "unknown" ;;',
  "  esac",
  "  exit $code",
  "  ;;",
];

/** Last branch, for other arguments. */
export const USAGE: readonly string[] = [
  "*)",
  '  echo "usage: $0 [--force | --check | --undo | --cut]" >&2',
  "  exit 2",
  "  ;;",
  "esac",
];
