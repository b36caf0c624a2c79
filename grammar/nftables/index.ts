/**
 * Parser and printer for the text of `nft list ruleset`: lossless, syntax only. fwcheck exports it as `fwcheck/grammar/nftables`.
 *
 * It uses no API of Node and reads no files.
 */
export type * from "./ast.ts";
