/** Marks of the packet and of its connection (net/netfilter/xt_mark.c, xt_connmark.c). */
import { tracked } from "../../packet/connection.ts";
import { and, bits, negate } from "../../packet/predicate.ts";
import { match, negatable, Unreadable } from "../extension.ts";
import { ALWAYS, maskedIs, TRACKED } from "../nft-form.ts";
import { masked } from "../number-codecs.ts";

const MAX = 0xffff_ffff;
const mark32 = masked(MAX);

export const mark = match({
  name: "mark",
  checksPresence: true,
  options: { mark: negatable("--mark", mark32) },
  normalize: (values) => (values.mark === undefined ? new Unreadable("--mark") : values),
  copy: () => "unchanged",
  nft: ({ mark }) => (mark === undefined ? ALWAYS : maskedIs("meta mark", mark.not, mark.value, MAX)),
  predicate: ({ mark }) =>
    mark === undefined ? and() : negate(mark.not, bits("mark", mark.value.mask, mark.value.value)),
});

export const connmark = match({
  name: "connmark",
  traits: { needsConntrack: true },
  options: { mark: negatable("--mark", mark32) },
  normalize: (values) => (values.mark === undefined ? new Unreadable("--mark") : values),
  // Without a connection there is no mark to compare, and the match fails, negated or not.
  copy: () => "unchanged",
  nft({ mark }) {
    if (mark === undefined) return ALWAYS;
    const form = maskedIs("ct mark", mark.not, mark.value, MAX);
    return form === ALWAYS ? TRACKED : form;
  },
  predicate: ({ mark }) =>
    mark === undefined
      ? and()
      : and(tracked, negate(mark.not, bits("ctmark", mark.value.mask, mark.value.value))),
});
