/** Path of standard input, the meaning of `-`; yargs drops a lone dash among several positionals. */
export const STDIN = "/dev/stdin";
