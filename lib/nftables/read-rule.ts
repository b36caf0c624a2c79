/** Reads the statements of a rule. */
import { printStatement, type Statement } from "nftables-parser-ts";
import { readMatch } from "./condition.ts";
import { withHiddenConditions } from "./hidden-conditions.ts";
import type { RuleScope } from "./rule-scope.ts";
import { readAssignment, unknownStatement } from "./statements/assignment.ts";
import { readNat } from "./statements/nat.ts";
import { readLimit, readOther, readSetStatement, readTproxy, readXt } from "./statements/other.ts";
import { readReject, readVerdict, readVerdictMap } from "./statements/verdict.ts";
import type { Step } from "./step.ts";

/** Returns the steps of a rule; faults are reported, and what cannot be read is unknown. */
export const readSteps = (statements: readonly Statement[], scope: RuleScope): Step[] =>
  withHiddenConditions(
    statements,
    statements.map((each) => readStatement(each, scope)),
    scope,
  );

function readStatement(given: Statement, scope: RuleScope): Step {
  switch (given.kind) {
    case "match":
      return { kind: "condition", condition: readMatch(given, scope) };
    case "verdict":
      return readVerdict(given, scope);
    case "vmap":
      return readVerdictMap(given, scope);
    case "assignment":
      return readAssignment(given, scope);
    case "nat":
      return readNat(given, scope);
    case "reject":
      return readReject(given);
    case "set":
      return readSetStatement(given, scope);
    case "limit":
      return readLimit(given, scope);
    case "tproxy":
      return readTproxy(given, scope);
    case "xt":
      return readXt(given);
    case "other":
      return readOther(given, scope);
    case "unknown":
      return unknownStatement(
        () => printStatement(given),
        "fwcheck does not know the syntax of this statement",
      );
  }
}
