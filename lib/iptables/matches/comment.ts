/** A comment; it matches every packet (net/netfilter/xt_comment.c). */
import { ANY } from "../../packet/predicate.ts";
import { match, option, Unreadable } from "../extension.ts";
import { ALWAYS } from "../nft-form.ts";
import { text } from "../word-codecs.ts";

export const comment = match({
  name: "comment",
  checksPresence: true,
  options: { comment: option("--comment", text(255, "a comment of at most 255 bytes")) },
  normalize: (values) => (values.comment === undefined ? new Unreadable("--comment") : values),
  conditions: ({ comment: text }) => ({ comments: text === undefined ? undefined : [text.value] }),
  nft: () => ALWAYS,
  predicate: () => ANY,
});
