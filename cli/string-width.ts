import { stripVTControlCharacters } from "node:util";

/**
 * How many columns a text takes in a terminal, for yargs' help, which is ASCII. The build puts it in the place of the
 * package string-width, whose tables of emoji take longer to make than the whole rest of the command line.
 */
export default function width(text: string): number {
  return stripVTControlCharacters(text).length;
}
