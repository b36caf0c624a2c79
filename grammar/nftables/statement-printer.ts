/** Prints expressions and statements as nft does. */

import type {
  Binary,
  Element,
  Expression,
  NatStatement,
  Rule,
  SetLiteral,
  Statement,
  Verdict,
} from "./ast.ts";

/** Precedence of operators; a higher number binds tighter. */
const PRECEDENCE: Readonly<Record<string, number>> = { "|": 1, "^": 2, "&": 3, "<<": 4, ">>": 4 };

/** Prints an expression. */
export function printExpression(expression: Expression): string {
  switch (expression.kind) {
    case "value":
      return expression.quoted ? `"${expression.text}"` : expression.text;
    case "prefix":
      return `${printExpression(expression.value)}/${expression.length}`;
    case "mask":
      return `${printExpression(expression.value)} / ${printExpression(expression.mask)}`;
    case "range":
      return `${printExpression(expression.first)}-${printExpression(expression.last)}`;
    case "concatenation":
      return expression.parts.map(printExpression).join(" . ");
    case "list":
      return expression.items.map(printExpression).join(",");
    case "catch-all":
      return "*";
    case "set":
      return printSet(expression);
    case "reference":
      return `@${expression.name}`;
    case "variable":
      return `$${expression.name}`;
    case "selector":
      return printSelector(expression.words, expression.inputs ?? []);
    case "binary":
      return printBinary(expression);
    case "map":
      return `${printExpression(expression.key)} map ${printExpression(expression.map)}`;
  }
}

function printBinary({ left, operator, word = operator, right }: Binary): string {
  return `${operand(left, operator, 0)} ${word} ${operand(right, operator, 1)}`;
}

/** Prints the operand of an operator, in parentheses if the operator binds tighter. */
function operand(expression: Expression, operator: string, least: number): string {
  const text = printExpression(expression);
  const binds = expression.kind === "binary" ? PRECEDENCE[expression.operator]! : 9;
  return binds < PRECEDENCE[operator]! + least ? `(${text})` : text;
}

function printSelector(words: readonly string[], inputs: readonly Expression[]): string {
  if (words[0] === "@") return `@${words.slice(1).join(",")}`;
  const [first, ...rest] = words;
  return [first, ...inputs.map(printExpression), ...rest].join(" ");
}

function printSet({ elements }: SetLiteral): string {
  return elements.length === 0 ? "{ }" : `{ ${elements.map(printElement).join(", ")} }`;
}

/** Prints an element of a set or a map. */
export function printElement({ key, options, data }: Element): string {
  const left = [printExpression(key), ...options].join(" ");
  return data === null ? left : `${left} : ${printData(data)}`;
}

function printData(data: Expression | Verdict): string {
  return data.kind === "verdict" ? printVerdict(data, "") : printExpression(data);
}

function printVerdict({ verdict, chain, rules }: Verdict, indent: string): string {
  if (rules === undefined) return chain === undefined ? verdict : `${verdict} ${chain}`;
  const lines = rules.map((rule) => `${indent}\t${printRule(rule, `${indent}\t`)}\n`);
  return `${verdict} {\n${lines.join("")}${indent}}`;
}

/**
 * Prints a statement.
 * @param indent indentation of the rule, for the lines of an anonymous chain
 */
export function printStatement(statement: Statement, indent = ""): string {
  switch (statement.kind) {
    case "match":
      return [
        printExpression(statement.left),
        ...(statement.operator === "" ? [] : [statement.operator]),
        printExpression(statement.right),
      ].join(" ");
    case "verdict":
      return printVerdict(statement, indent);
    case "vmap":
      return `${printExpression(statement.key)} vmap ${printExpression(statement.map)}`;
    case "assignment":
      return `${printExpression(statement.target)} set ${printExpression(statement.value)}`;
    case "nat":
      return printNat(statement);
    case "reject":
      return ["reject", ...(statement.words.length === 0 ? [] : ["with", ...statement.words])].join(" ");
    case "set": {
      const { operation, set, key, options, statements, data } = statement;
      const element = [
        printExpression(key),
        ...options,
        ...statements.map((each) => printStatement(each)),
      ].join(" ");
      return `${operation} @${set} { ${element}${data === null ? "" : ` : ${printData(data)}`} }`;
    }
    case "limit":
      return [...statement.words, ...(statement.inputs ?? []).map(printExpression)].join(" ");
    case "tproxy":
      return [
        "tproxy",
        ...(statement.family === "" ? [] : [statement.family]),
        "to",
        destination(statement),
      ].join(" ");
    case "xt":
      return `xt ${statement.type} ${statement.bare ? statement.name : `"${statement.name}"`}`;
    case "other":
      return printOther(statement);
    case "unknown":
      return statement.text;
  }
}

function printOther({ words, inputs = [], statements }: Extract<Statement, { kind: "other" }>): string {
  const texts = inputs.map(printExpression);
  if (words[0] === "meter")
    return `${words.join(" ")} { ${[...texts, ...(statements ?? []).map((each) => printStatement(each))].join(" ")} }`;
  if (texts.length > 1) texts.splice(1, 0, "device");
  return [...words, ...texts].join(" ");
}

function printNat(statement: NatStatement): string {
  const { type, family, words, flags } = statement;
  const to = destination(statement);
  return [
    type,
    ...(family === "" ? [] : [family]),
    ...words,
    ...(to === "" ? [] : ["to", to]),
    ...(flags.length === 0 ? [] : [flags.join(",")]),
  ].join(" ");
}

/** `10.0.0.1:80`; IPv6 addresses before a port are in brackets. */
function destination({ address, port }: Pick<NatStatement, "address" | "port">): string {
  if (port === null) return address === null ? "" : printExpression(address);
  return `${address === null ? "" : bracketed(address)}:${printExpression(port)}`;
}

function bracketed(address: Expression): string {
  if (address.kind === "range") return `${bracketed(address.first)}-${bracketed(address.last)}`;
  const text = printExpression(address);
  return address.kind === "value" && text.includes(":") ? `[${text}]` : text;
}

/** Prints a rule without its handle. */
export function printRule(rule: Rule, indent = ""): string {
  const { statements, comment } = rule;
  const words = statements.map((each) => printStatement(each, indent));
  if (comment !== null) words.push(`comment "${comment}"`);
  return words.join(" ");
}
