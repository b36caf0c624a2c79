/** The local socket: owner, socket, cgroup (net/netfilter/xt_owner.c, xt_socket.c, xt_cgroup.c). */
import { and, between, is, NEVER, negate, opaque, or, type Predicate } from "../../packet/predicate.ts";
import { siteKey } from "../../rules/facts.ts";
import { type Codec, type Given, match, negatable, option, Unreadable } from "../extension.ts";
import { number, wholeNumber } from "../number-codecs.ts";
import { flag, text, word } from "../word-codecs.ts";

const MAX = 0xffff_fffe;

/** A number, a range `first-last`, or root. Other names are defined in files of the host. */
const ids: Codec<readonly [number, number]> = word(
  "a numeric id, or two as first-last",
  (text) => {
    if (text === "root") return [0, 0] as const;
    const [a, b, more] = text.split("-");
    const first = wholeNumber(a!, MAX);
    const last = b === undefined ? first : wholeNumber(b, MAX);
    if (more !== undefined || first === undefined || last === undefined)
      return /^[a-z_]/i.test(text)
        ? new Unreadable("a numeric id; names of users and groups are not looked up")
        : undefined;
    return first <= last ? ([first, last] as const) : undefined;
  },
  ([first, last]) => (first === last ? String(first) : `${first}-${last}`),
);

const ofOwner = (field: "uid" | "gid", given: Given<readonly [number, number]> | undefined): Predicate =>
  given === undefined ? and() : negate(given.not, between(field, given.value[0], given.value[1]));

export const owner = match({
  name: "owner",
  except: "--suppl-groups: the supplementary groups of processes are not known",
  options: {
    exists: negatable("--socket-exists", flag),
    uid: negatable("--uid-owner", ids),
    gid: negatable("--gid-owner", ids),
    suppl: option("--suppl-groups", flag),
  },
  normalize(v) {
    if (v.exists === undefined && v.uid === undefined && v.gid === undefined)
      return new Unreadable("--uid-owner, --gid-owner or --socket-exists");
    return v.suppl !== undefined && v.gid === undefined
      ? new Unreadable("--gid-owner for --suppl-groups")
      : v;
  },
  predicate({ exists, uid, gid, suppl }, _facts, site) {
    const given: readonly (Given<unknown> | undefined)[] = [exists, uid, gid];
    // A packet without a socket matches if every option is negated.
    const none = given.every((g) => g === undefined || g.not) ? is("socket", 0) : NEVER;
    const groups = ofOwner("gid", gid);
    const supplementary =
      suppl === undefined
        ? groups
        : negate(
            gid!.not,
            or(
              between("gid", gid!.value[0], gid!.value[1]),
              opaque(siteKey("owner", site), "the supplementary groups of processes are not known"),
            ),
          );
    return or(none, exists?.not === true ? NEVER : and(is("socket", 1), ofOwner("uid", uid), supplementary));
  },
});

const whySocket = "the open sockets are not known";

export const socket = match({
  name: "socket",
  traits: { defragments: true },
  opaque: whySocket,
  options: {
    transparent: option("--transparent", flag),
    nowildcard: option("--nowildcard", flag),
    restore: option("--restore-skmark", flag),
  },
  predicate: (_values, _facts, site) => opaque(siteKey("socket", site), whySocket),
});

const whyCgroup = "the control group of a socket is not known";

export const cgroup = match({
  name: "cgroup",
  opaque: whyCgroup,
  options: {
    path: negatable("--path", text(511, "the path of a control group")),
    id: negatable("--cgroup", number(0xffff_ffff)),
  },
  normalize: (v) =>
    (v.path === undefined) === (v.id === undefined)
      ? new Unreadable("exactly one of --path and --cgroup")
      : v,
  requires: ({ path }) => (path === undefined ? [] : [{ kind: "cgroup", name: path.value }]),
  predicate: (v, _facts, site) => negate((v.path ?? v.id)!.not, opaque(siteKey("cgroup", site), whyCgroup)),
});
