/** Reasons why a text is no input that fwcheck reads, and the outputs of other programs that users pass by mistake. */
/** Reason why a text is no input that fwcheck reads. */
export type InputFault =
  | "empty"
  /** It starts like JSON and cannot be parsed. */
  | "broken-json"
  /** It has the comment of iptables-save and no table. */
  | "no-table"
  /** Some lines are those of `ipset save`, others are not. */
  | "mixed-ipset"
  /** Output of `iptables -L`. */
  | "iptables-list"
  /** Output of `iptables -S`. */
  | "iptables-commands"
  /** Output of `ufw status`. */
  | "ufw-status"
  | "not-text"
  /** Rules without the line that names their table. */
  | "rules-without-table";

/** Outputs of other programs that users pass in place of iptables-save's. */
const FOREIGN: readonly (readonly [RegExp, InputFault])[] = [
  [/^\s*$/, "empty"],
  [/^Chain \S+ \((policy|\d+ references)/m, "iptables-list"],
  [/^-P (INPUT|FORWARD|OUTPUT|PREROUTING) (ACCEPT|DROP)/m, "iptables-commands"],
  [/^Status: (in)?active/m, "ufw-status"],
  [/^\u001f\ufffd|\u0000/, "not-text"],
  [/^(\[\d+:\d+\] )?-[AI] \S+ /m, "rules-without-table"],
];

/** Returns why a text without rulesets is no output of iptables-save; `undefined` if it looks like nothing known. */
export const rulesFault = (text: string): InputFault | undefined =>
  FOREIGN.find(([pattern]) => pattern.test(text))?.[1];
