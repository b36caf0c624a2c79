/** Adds addresses of the packet to a set, removes them, or maps them to marks (net/netfilter/xt_set.c). */

import { NOTE, unknownEffect } from "../../rules/effect.ts";
import { siteKey } from "../../rules/facts.ts";
import { option, target, Unreadable } from "../extension.ts";
import { setAndSides } from "../matches/ipset.ts";
import { number } from "../number-codecs.ts";
import { flag } from "../word-codecs.ts";

const why = "the mark comes from the skbinfo of a set's element, which is not looked up";

export const setTarget = target({
  name: "SET",
  sideEffect: "adds addresses to an ipset, or removes them",
  except: "--map-set --map-mark: the skbinfo of a set's elements is not looked up",
  options: {
    add: option("--add-set", setAndSides),
    exist: option("--exist", flag),
    timeout: option("--timeout", number(0xffff_ffff)),
    del: option("--del-set", setAndSides),
    map: option("--map-set", setAndSides),
    mark: option("--map-mark", flag),
    prio: option("--map-prio", flag),
    queue: option("--map-queue", flag),
  },
  normalize(v) {
    if (v.add === undefined && v.del === undefined && v.map === undefined)
      return new Unreadable("--add-set, --del-set or --map-set");
    if ((v.exist ?? v.timeout) !== undefined && v.add === undefined)
      return new Unreadable("--add-set for --exist and --timeout");
    if ((v.map === undefined) !== ((v.mark ?? v.prio ?? v.queue) === undefined))
      return new Unreadable("--map-set with --map-mark, --map-prio or --map-queue");
    return v;
  },
  traitsOf: ({ add, del }) => ({
    changesSets: [add, del].flatMap((given) => (given === undefined ? [] : [given.value.set])),
  }),
  requires: ({ add, del, map }) =>
    [add, del, map].flatMap((given) =>
      given === undefined ? [] : [{ kind: "ipset", name: given.value.set }],
    ),
  effect: ({ map, mark }, _facts, site) =>
    map !== undefined && mark !== undefined ? unknownEffect(siteKey("SET", site), why) : NOTE,
});
