import { stripVTControlCharacters } from "node:util";

/**
 * Returns the number of terminal columns of a text; correct for yargs' help, which is ASCII. The build replaces the
 * package string-width by it, whose emoji tables take longer to initialize than the rest of the command line.
 */
export default function width(text: string): number {
  return stripVTControlCharacters(text).length;
}
