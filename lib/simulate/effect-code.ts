/** Numbers of verdicts and effects, for evaluation over typed arrays. */
import type { Decision } from "../path/walk.ts";
import type { Effect } from "../rules/effect.ts";

/** Verdicts by the codes that `verdicts` returns: `VERDICTS[code]`. */
export const VERDICTS = ["accept", "drop", "reject", "undecided"] as const satisfies readonly Decision[];

/** Code of a result that a batch cannot find: the packet has to be simulated separately. */
export const UNKNOWN_RESULT = -1;

/** Codes of effects: an index into VERDICTS, or one of these. `PACKET_CODE` depends on the packet. */
export const NAT_CODE = VERDICTS.length;
export const NOTE_CODE = NAT_CODE + 1;
export const ASSIGN_CODE = NAT_CODE + 2;
export const JUMP_CODE = NAT_CODE + 3;
export const GOTO_CODE = NAT_CODE + 4;
export const RETURN_CODE = NAT_CODE + 5;
export const PACKET_CODE = NAT_CODE + 6;

/** Returns the code of an effect. */
export function effectCode(effect: Effect): number {
  switch (effect.kind) {
    case "verdict":
      return VERDICTS.indexOf(effect.verdict);
    case "hotdrop":
    case "stolen":
      return VERDICTS.indexOf("drop");
    case "opaque":
      return VERDICTS.indexOf("undecided");
    case "assign":
      return effect.next === undefined ? ASSIGN_CODE : PACKET_CODE;
    default:
      return {
        nat: NAT_CODE,
        note: NOTE_CODE,
        jump: JUMP_CODE,
        goto: GOTO_CODE,
        return: RETURN_CODE,
        fork: PACKET_CODE,
        choice: PACKET_CODE,
      }[effect.kind];
  }
}
