/**
 * fwcheck as a library. Everything here is a pure function of its inputs: texts in, plain data out; no file, no
 * process, no clock.
 */
export type { Diagnostic } from "iptables-parser-ts";
export { type Audit, type AuditOptions, audit } from "./audit/audit.ts";
export type { BanList } from "./audit/bans.ts";
export type { DecidedWithoutRule, Decider, DecidingRule } from "./audit/decision.ts";
export type { Doubt, PublishedEndpoint } from "./audit/doubt.ts";
export { type Expectation, ExpectationError, readExpectations } from "./audit/expectations.ts";
export type { AuditDetail } from "./audit/family-model.ts";
export type {
  BypassedBans,
  Endpoint,
  Exposure,
  Finding,
  FindingKind,
  Intended,
  ListenAddress,
  Permitted,
  PublishedBy,
  ReachedBy,
  UnexpectedPackets,
} from "./audit/finding.ts";
export type { Lint, LintDetail, LintKind, PrecedingRule } from "./audit/lint.ts";
export { type LintOptions, lintRules } from "./audit/lint-rules.ts";
export type { ListeningSocket, Reachability } from "./audit/listening.ts";
export type { AuditNote } from "./audit/notes.ts";
export type {
  AnomalyCause,
  AnomalyDetail,
  AnomalyKind,
  RuleAnomaly,
  RuleLint,
  UnsettledTable,
} from "./audit/rule-anomaly.ts";
export type { RuleNote } from "./audit/rule-note.ts";
export type { AuditScope, FamilyScope } from "./audit/scope.ts";
export type {
  Destination,
  HostDestinations,
  PartList,
  SetDescription,
  SourceGroup,
  Sources,
  Traffic,
} from "./audit/set-description.ts";
export { assertPolicy, type PolicyOptions, type PolicyResult } from "./compare/assertions.ts";
export { type ComparedHost, type DiffOptions, diff } from "./compare/diff.ts";
export type {
  ChangeCause,
  ChangeKind,
  CompareDoubt,
  Diff,
  DiffLimit,
  DiffSide,
  FieldRanges,
  NewHeader,
  PacketChange,
  PacketClass,
  PacketFate,
  SideDoubt,
} from "./compare/difference.ts";
export type { MatrixEntry } from "./compare/entry-writer.ts";
export type { Translation } from "./compare/host-paths.ts";
export type { FieldValues, PacketBox } from "./compare/packet-boxes.ts";
export type { Origin } from "./compare/packet-paths.ts";
export {
  type FlowDuty,
  type FlowZone,
  type NamedZone,
  type Policy,
  PolicyError,
  type PolicyFlow,
  type PolicyService,
  type PolicyZone,
  readPolicy,
} from "./compare/policy.ts";
export type { PolicyCheck, PolicyViolation } from "./compare/policy-checker.ts";
export {
  type DecidedShare,
  type QueryAnswer,
  type QueryCertainty,
  type QueryFamily,
  type QueryGroup,
  type QueryOptions,
  query,
} from "./compare/query.ts";
export type { ChangeRule, QueryChange } from "./compare/query-change.ts";
export {
  type FamilyMatrix,
  type MatrixCell,
  type MatrixOptions,
  type ServiceMatrix,
  serviceMatrix,
} from "./compare/service-matrix.ts";
export type { ZoneDetail, ZoneKind } from "./compare/zones.ts";
export type { Cost, PassedRules } from "./fix/cost.ts";
export type { Strategy, StrategyChoice } from "./fix/endpoint-rules.ts";
export {
  type Coverage,
  type Fix,
  type FixLanguage,
  type FixOptions,
  fix,
  fixLanguage,
  type OpenItem,
  type UfwFix,
} from "./fix/fix.ts";
export { type Migration, migrate, type UntranslatedRule } from "./fix/migrate.ts";
export type { ChangedPacket, Proof } from "./fix/prove.ts";
export type {
  CopyFailure,
  CutFailure,
  Difference,
  ExceededLimit,
  FamilyRefusal,
  FixDoubt,
  FixNote,
  OpenReason,
  StrategyReason,
} from "./fix/reasons.ts";
export { type LeftOutRule, leftOutRuleText, type UfwRefusal } from "./fix/write/after-rules.ts";
export {
  inputFault,
  isFragment,
  type SourceKind,
  sourceKind,
} from "./host/classify.ts";
export type {
  Container,
  Daemon,
  Host,
  Interface,
  InterfaceAddress,
  Network,
  Process,
  Socket,
} from "./host/host.ts";
export type { HostDoubt } from "./host/host-doubt.ts";
export type { AddressHint } from "./host/infer-interfaces.ts";
export type { HostInference } from "./host/inference.ts";
export { type InputFault, rulesFault } from "./host/input-fault.ts";
export { type HostSources, readHost, type Source, SourceError } from "./host/read.ts";
export type { NextHop, Route, RoutingRule } from "./host/routes.ts";
export {
  isNftRuleset,
  isNftScript,
  type LoadedRulesets,
  type RulesetText,
  readRuleset,
  type TableConflict,
} from "./host/rulesets.ts";
export { isSnapshot, readSnapshot, SNAPSHOT_START, type Snapshot } from "./host/snapshot.ts";
export { withTables } from "./host/unread.ts";
export type { SourceDiagnostic } from "./iptables/load.ts";
export { printRule, printRuleset } from "./iptables/print.ts";
export {
  type LoadedNftables,
  type NftDiagnostic,
  type NftSource,
  type NftTable,
  readNftables,
} from "./nftables/load.ts";
export { type CombinedRulesets, withNftables } from "./nftables/with-nftables.ts";
export type { Prefix } from "./packet/address.ts";
export {
  type Address,
  type CtState,
  type Family,
  type Field,
  hasPorts,
  protoNumber,
  type Scalar,
} from "./packet/field.ts";
export type { Packet, QuotedPacket } from "./packet/packet.ts";
export {
  type PacketJson,
  packetJson,
  parseFlags,
  type QuotedPacketJson,
  readPacket,
} from "./packet/packet-json.ts";
export type { UnknownReason } from "./packet/unknown-reason.ts";
export type {
  ConnectionReason,
  EndReason,
  HeaderReason,
  RoutingReason,
  UnfollowedReason,
} from "./path/end-reason.ts";
export type { Step } from "./path/program.ts";
export type { RouteDecision } from "./path/routing-decision.ts";
export type { Tuple } from "./path/tuple.ts";
export { closestWord } from "./query-language/closest-word.ts";
export {
  type Expected,
  isQueryError,
  type NameKind,
  type QueryError,
  type QueryFault,
  type Span,
} from "./query-language/expression.ts";
export { BudgetExceeded } from "./reach/budget.ts";
export type { Agreement } from "./reach/table-outcomes.ts";
export type { Uncertainty } from "./reach/uncertainty.ts";
export { type Unknowns, unknownsOf } from "./reach/unknown-names.ts";
export {
  type AuditJson,
  type AuditSummary,
  auditJson,
  type DeciderJson,
  type DoubtJson,
  type ExposureJson,
  type FindingJson,
  type LintJson,
  type ListeningSocketJson,
  type SourceGroupJson,
  type SourceTexts,
} from "./report/audit-json.ts";
export { type DiffJson, diffJson, type PacketChangeJson } from "./report/diff/diff-json.ts";
export { diffSarif } from "./report/diff/diff-sarif.ts";
export { diffMarkdown, diffSummary, diffText } from "./report/diff/diff-text.ts";
export type { Author } from "./report/explain/author.ts";
export type { ChainCaller, ChainEnd, ChainLocation, HookStage } from "./report/explain/chain-facts.ts";
export { chainsText, type ExplainTextOptions, explainText } from "./report/explain/chains-text.ts";
export {
  type ChainExplained,
  type ExplainOptions,
  type Explanation,
  explain,
  type RuleExplained,
} from "./report/explain/explain.ts";
export type { ChainPitfall, DeadRule, RulePitfall } from "./report/explain/pitfalls.ts";
export type { PortMappingNote } from "./report/explain/port-mappings.ts";
export type { NewAddress, ReturnPoint, RuleAction } from "./report/explain/rule-action.ts";
export { type FixJson, fixJson } from "./report/fix-json.ts";
export { graphDot } from "./report/graph/dot.ts";
export { chainGraph } from "./report/graph/graph.ts";
export type {
  ChainGraph,
  ChainName,
  GraphCall,
  GraphChain,
  GraphHook,
  GraphOmissions,
  GraphOptions,
  GraphRow,
  GraphStage,
  GraphStep,
  PathPoint,
  RowAction,
} from "./report/graph/graph-model.ts";
export { graphMermaid, MERMAID_LIMITS } from "./report/graph/mermaid.ts";
export { graphSvg, type SvgOptions } from "./report/graph/svg.ts";
export { type ReportInputs, type ReportOptions, report } from "./report/html/report.ts";
export { lintRulesJson, type RuleLintJson } from "./report/lint-rules-json.ts";
export { lintRulesSarif } from "./report/lint-rules-sarif.ts";
export { type MatrixEntryJson, type MatrixJson, matrixJson } from "./report/matrix/matrix-json.ts";
export { type MatrixSvgOptions, matrixSvg } from "./report/matrix/matrix-svg.ts";
export { matrixCsv, matrixMarkdown } from "./report/matrix/matrix-table.ts";
export { matrixText } from "./report/matrix/matrix-text.ts";
export { flowText } from "./report/packet/flow-text.ts";
export type { IntendedOutcome } from "./report/packet/hook-path.ts";
export { PATH_STYLE } from "./report/packet/path-style.ts";
export { type PathSvgOptions, pathSvg } from "./report/packet/path-svg.ts";
export type { TraceDetail, TraceOptions } from "./report/packet/text-context.ts";
export { traceText, verdictText } from "./report/packet/trace-text.ts";
export {
  type PolicyCheckJson,
  type PolicyJson,
  type PolicyViolationJson,
  policyJson,
  policyOutcome,
} from "./report/policy/policy-json.ts";
export { policyJunit } from "./report/policy/policy-junit.ts";
export { policySarif } from "./report/policy/policy-sarif.ts";
export { policyText } from "./report/policy/policy-text.ts";
export { queryErrorText } from "./report/query/error-text.ts";
export {
  isSettled,
  type QueryFamilyJson,
  type QueryGroupJson,
  type QueryJson,
  queryJson,
} from "./report/query/query-json.ts";
export { queryText } from "./report/query/query-text.ts";
export { sarif } from "./report/sarif.ts";
export {
  type AnswerJson,
  answerJson,
  type FlowJson,
  flowJson,
  type InferenceTexts,
  inferenceTexts,
  type OutcomeJson,
  type OutcomeTexts,
} from "./report/simulation-json.ts";
export { anomalyText, lintRulesText, unsettledTableText } from "./report/text/anomaly-text.ts";
export { assumptionText, flowBreakText, flowNoteText } from "./report/text/assumption-text.ts";
export { doubtText, lintText, noteText } from "./report/text/audit-sentences.ts";
export { auditText } from "./report/text/audit-text.ts";
export { hostDoubtText, rulesetDoubtText, rulesFaultText } from "./report/text/doubt-text.ts";
export {
  differenceText,
  fixDoubtText,
  fixNoteText,
  fixSummary,
  fixText,
  openItemText,
  openReasonText,
  strategyReasonText,
  ufwRefusalText,
} from "./report/text/fix-text.ts";
export { inferenceText } from "./report/text/inference-text.ts";
export { type MigrationJson, migrationJson, migrationText } from "./report/text/migration-text.ts";
export { packetFlags, packetText } from "./report/text/packet-text.ts";
export { endReasonText, uncertaintyText, unknownReasonText } from "./report/text/reason-text.ts";
export { COLOUR, PLAIN, type Style, safe, safeLines } from "./report/text/terminal.ts";
export type { Hook } from "./rules/base-chain.ts";
export type { DropReason, RulePlace } from "./rules/effect.ts";
export {
  type Chain,
  type Rule,
  type Ruleset,
  rulesetDoubts,
  TABLES,
  type Table,
  type TableId,
  type TableName,
  tablesOf,
} from "./rules/ruleset.ts";
export type { FamilyRulesetDoubt, RulesetDoubt, TablePlace } from "./rules/ruleset-doubt.ts";
export type { Answer, Outcome, SentHeader, Trace, TracedBranch } from "./simulate/answer.ts";
export type {
  Assumption,
  ChosenNumber,
  LimitExceeded,
  PortChoice,
  Supposition,
  SuppositionReason,
} from "./simulate/assumption.ts";
export { type BatchOptions, verdicts } from "./simulate/batch-verdicts.ts";
export { type Connection, type ConnectionRef, Connections } from "./simulate/connection-table.ts";
export { VERDICTS } from "./simulate/effect-code.ts";
export { type Flow, type FlowBreak, type FlowNote, type FlowPacket, flow } from "./simulate/flow.ts";
export { type FieldColumn, type PacketColumns, packetAt } from "./simulate/packet-columns.ts";
export type { FlowHeader } from "./simulate/packet-state.ts";
export { type SimulateOptions, Simulator, simulate } from "./simulate/simulator.ts";
export type { FieldChange, TraceEvent } from "./simulate/trace.ts";
