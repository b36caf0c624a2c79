/** Checks of the laws on the structure of the code: one meaning of a rule, results as data, imports downwards, no import cycles. */
import { dirname, relative, resolve } from "node:path";
import ts from "typescript";

/** A place that breaks a law. */
export interface Violation {
  readonly file: string;
  readonly line: number;
  readonly message: string;
}

/** Rooms from the bottom to the top. A room may import from rooms before it; rooms of one entry never import each other. */
export const ROOMS: readonly (readonly string[])[] = [
  ["grammar"],
  ["lib/packet"],
  ["lib/query-language"],
  ["lib/rules"],
  ["lib/iptables", "lib/nftables"],
  ["lib/host"],
  ["lib/path"],
  ["lib/reach", "lib/simulate"],
  ["lib/audit"],
  ["lib/fix"],
  ["lib/compare"],
  ["lib/predict"],
  ["lib/report"],
  ["lib/index.ts"],
  ["cli", "lib/report/html/page"],
];

/** Rooms of the rule languages, which may read extensions and their options. */
const LANGUAGES = ["lib/iptables", "lib/nftables", "grammar"];
/** Members of a rule, match or target that only the rooms of its language may read. */
const LANGUAGE_MEMBERS = ["extension", "values", "matches", "unknown", "target", "syntax"];
/** Names for messages; the kind of a match or target is in the reading of its rule. */
const NAME_MEMBERS = ["name", "targetName"];

const isBelow = (file: string, room: string): boolean => file === room || file.startsWith(`${room}/`);

/** Returns the most specific room that contains a file. */
export function roomOf(file: string): string | undefined {
  return ROOMS.flat()
    .filter((room) => isBelow(file, room))
    .sort((a, b) => b.length - a.length)[0];
}

/** A program and the folder that its file names are relative to. */
export interface Sources {
  readonly program: ts.Program;
  readonly root: string;
}

const nameOf = ({ root }: Sources, file: ts.SourceFile): string => relative(root, file.fileName);

/** Returns the source files in rooms. */
const filesOf = (sources: Sources): ts.SourceFile[] =>
  sources.program
    .getSourceFiles()
    .filter((file) => !file.isDeclarationFile && roomOf(nameOf(sources, file)) !== undefined);

const lineOf = (node: ts.Node): number =>
  node.getSourceFile().getLineAndCharacterOfPosition(node.getStart()).line + 1;

/** Finds code outside the rooms of a language that reads members of its rules, matches and targets, or compares their names. */
export function findLanguageAccess(sources: Sources, extensionNames: ReadonlySet<string>): Violation[] {
  const checker = sources.program.getTypeChecker();
  const out: Violation[] = [];

  const isLanguageMember = (symbol: ts.Symbol | undefined): boolean =>
    symbol !== undefined &&
    LANGUAGE_MEMBERS.includes(symbol.name) &&
    (symbol.declarations ?? []).some((each) => {
      const file = nameOf(sources, each.getSourceFile());
      return LANGUAGES.some((room) => isBelow(file, room));
    });

  /** Returns true for an expression whose value is the name of a match or target. */
  const isName = (node: ts.Expression): boolean => {
    if (ts.isCallExpression(node))
      return ts.isIdentifier(node.expression) && node.expression.text === "targetName";
    if (ts.isPropertyAccessExpression(node))
      return NAME_MEMBERS.includes(node.name.text) && isOfRule(checker.getSymbolAtLocation(node.name));
    if (!ts.isIdentifier(node)) return false;
    const declaration = checker.getSymbolAtLocation(node)?.valueDeclaration;
    if (declaration === undefined) return false;
    if (ts.isVariableDeclaration(declaration))
      return declaration.initializer !== undefined && isName(declaration.initializer);
    return ts.isBindingElement(declaration) && isOfRule(boundMember(declaration));
  };

  /** Returns true for `name` of an extension or a condition, and `targetName` of a rule. */
  const isOfRule = (symbol: ts.Symbol | undefined): boolean =>
    symbol !== undefined &&
    NAME_MEMBERS.includes(symbol.name) &&
    (symbol.declarations ?? []).some(
      ({ parent }) =>
        (ts.isInterfaceDeclaration(parent) || ts.isClassDeclaration(parent)) &&
        ["Extension", "MatchExtension", "TargetExtension", "Condition", "Rule"].includes(
          parent.name?.text ?? "",
        ),
    );

  /** Returns the member that an element of an object pattern binds. */
  const boundMember = (element: ts.BindingElement): ts.Symbol | undefined => {
    const key = element.propertyName ?? element.name;
    return ts.isIdentifier(key) && ts.isObjectBindingPattern(element.parent)
      ? checker.getTypeAtLocation(element.parent).getProperty(key.text)
      : undefined;
  };

  /** Collects the strings of a literal, or of the literal that a constant is initialized with. */
  const stringsIn = (node: ts.Expression): string[] => {
    const found: string[] = [];
    const visit = (each: ts.Node): void => {
      if (ts.isStringLiteral(each)) found.push(each.text);
      ts.forEachChild(each, visit);
    };
    if (ts.isIdentifier(node)) {
      const declaration = checker.getSymbolAtLocation(node)?.valueDeclaration;
      if (declaration !== undefined && ts.isVariableDeclaration(declaration) && declaration.initializer)
        visit(declaration.initializer);
    } else visit(node);
    return found;
  };

  const hasExtension = (node: ts.Expression): boolean =>
    stringsIn(node).some((text) => extensionNames.has(text));

  const comparesName = (node: ts.Node): boolean => {
    if (ts.isBinaryExpression(node)) {
      const { kind } = node.operatorToken;
      if (
        kind !== ts.SyntaxKind.EqualsEqualsEqualsToken &&
        kind !== ts.SyntaxKind.ExclamationEqualsEqualsToken
      )
        return false;
      return (
        (isName(node.left) && hasExtension(node.right)) || (isName(node.right) && hasExtension(node.left))
      );
    }
    if (ts.isSwitchStatement(node))
      return (
        isName(node.expression) &&
        node.caseBlock.clauses.some((clause) => ts.isCaseClause(clause) && hasExtension(clause.expression))
      );
    if (ts.isCallExpression(node) && ts.isPropertyAccessExpression(node.expression)) {
      const [argument] = node.arguments;
      return (
        ["has", "includes", "indexOf"].includes(node.expression.name.text) &&
        argument !== undefined &&
        isName(argument) &&
        hasExtension(node.expression.expression)
      );
    }
    return false;
  };

  for (const source of filesOf(sources)) {
    const file = nameOf(sources, source);
    if (LANGUAGES.some((room) => isBelow(file, room))) continue;
    const visit = (node: ts.Node): void => {
      const member =
        ts.isPropertyAccessExpression(node) && LANGUAGE_MEMBERS.includes(node.name.text)
          ? checker.getSymbolAtLocation(node.name)
          : ts.isBindingElement(node)
            ? boundMember(node)
            : undefined;
      if (isLanguageMember(member))
        out.push({ file, line: lineOf(node), message: `reads ${member!.name} of a rule, match or target` });
      if (comparesName(node))
        out.push({ file, line: lineOf(node), message: "compares the name of an extension" });
      ts.forEachChild(node, visit);
    };
    visit(source);
  }
  return out;
}

/** An import, export or dynamic import of a file in a room, types included. */
interface Import {
  readonly from: string;
  readonly to: string;
  readonly line: number;
}

function importsOf(sources: Sources): Import[] {
  const out: Import[] = [];
  const options = sources.program.getCompilerOptions();
  const host = {
    fileExists: (name: string) => sources.program.getSourceFile(name) !== undefined,
    readFile: () => "",
  };
  for (const source of filesOf(sources)) {
    const from = nameOf(sources, source);
    const visit = (node: ts.Node): void => {
      if (ts.isStringLiteral(node) && isSpecifier(node)) {
        const found = node.text.startsWith(".")
          ? resolve(dirname(source.fileName), node.text)
          : ts.resolveModuleName(node.text, source.fileName, options, host).resolvedModule?.resolvedFileName;
        const to = found === undefined ? undefined : relative(sources.root, found);
        if (to !== undefined && roomOf(to) !== undefined) out.push({ from, to, line: lineOf(node) });
      }
      ts.forEachChild(node, visit);
    };
    visit(source);
  }
  return out;
}

/** Returns true for the text that names the module of an import, an export or an import type. */
const isSpecifier = ({ parent }: ts.StringLiteral): boolean =>
  ts.isImportDeclaration(parent) ||
  ts.isExportDeclaration(parent) ||
  (ts.isLiteralTypeNode(parent) && ts.isImportTypeNode(parent.parent)) ||
  (ts.isCallExpression(parent) && parent.expression.kind === ts.SyntaxKind.ImportKeyword);

/** Finds names of known chains in literals outside the registry, which exports them. */
export function findChainNames(sources: Sources, isKnown: (text: string) => boolean): Violation[] {
  const violations: Violation[] = [];
  for (const source of filesOf(sources)) {
    const file = nameOf(sources, source);
    if (!file.startsWith("lib/") || file.startsWith("lib/host/known/")) continue;
    const visit = (node: ts.Node): void => {
      if (ts.isStringLiteralLike(node) && !isKeyOrType(node) && isKnown(node.text))
        violations.push({ file, line: lineOf(node), message: `names chain ${node.text}` });
      ts.forEachChild(node, visit);
    };
    visit(source);
  }
  return violations;
}

/** Returns true for a key of a table or a type, which may be the code of a purpose. */
const isKeyOrType = (node: ts.Node): boolean =>
  (ts.isPropertyAssignment(node.parent) && node.parent.name === node) || ts.isLiteralTypeNode(node.parent);

/** Rooms that return data: codes with typed fields, of which `lib/report` makes sentences. */
const DATA_ROOMS = ["lib/query-language", "lib/rules", "lib/path", "lib/reach", "lib/simulate"];

/** Finds texts that read like a sentence in rooms that return data. Messages of errors and names of types are left out. */
export function findSentences(sources: Sources): Violation[] {
  const violations: Violation[] = [];
  for (const source of filesOf(sources)) {
    const file = nameOf(sources, source);
    if (!DATA_ROOMS.some((room) => isBelow(file, room))) continue;
    const visit = (node: ts.Node): void => {
      if (ts.isNewExpression(node) && isErrorName(node.expression.getText())) return;
      if (ts.isClassDeclaration(node) && isErrorName(node.name?.text ?? "")) return;
      const text = literalText(node);
      if (text !== null && !ts.isLiteralTypeNode(node.parent) && isSentence(text))
        violations.push({ file, line: lineOf(node), message: `makes a sentence: ${text}` });
      ts.forEachChild(node, visit);
    };
    visit(source);
  }
  return violations;
}

const isErrorName = (name: string): boolean => /(?:Error|Exceeded)$/.test(name);

/** Returns the text of a string or template, with `...` in place of expressions; `null` for any other node. */
function literalText(node: ts.Node): string | null {
  if (ts.isStringLiteralLike(node)) return node.text;
  if (!ts.isTemplateExpression(node)) return null;
  return node.head.text + node.templateSpans.map(({ literal }) => `...${literal.text}`).join("");
}

/** Returns true for three words and more, at least two of them plain lower case words. */
function isSentence(text: string): boolean {
  const words = text.split(/\s+/).filter((word) => word !== "");
  return words.length >= 3 && words.filter((word) => /^\(?[a-z][a-z'-]+[,.;:)]*$/.test(word)).length >= 2;
}

/** Finds imports of a room above, or of another room at the same level. */
export function findUpwardImports(sources: Sources): Violation[] {
  const levelOf = (room: string): number => ROOMS.findIndex((level) => level.includes(room));
  return importsOf(sources).flatMap(({ from, to, line }) => {
    const [own, other] = [roomOf(from)!, roomOf(to)!];
    if (own === other || levelOf(other) < levelOf(own)) return [];
    return [{ file: from, line, message: `imports ${to}, which is not below ${own}` }];
  });
}

/** Finds groups of files that import each other, directly or through others (Tarjan's strongly connected components). */
export function findCycles(sources: Sources): string[][] {
  const graph = new Map<string, string[]>();
  for (const { from, to } of importsOf(sources)) graph.set(from, [...(graph.get(from) ?? []), to]);
  const order = new Map<string, number>();
  const low = new Map<string, number>();
  const stack: string[] = [];
  const cycles: string[][] = [];
  const enter = (file: string): void => {
    order.set(file, order.size);
    low.set(file, order.get(file)!);
    stack.push(file);
    for (const to of graph.get(file) ?? []) {
      if (!order.has(to)) {
        enter(to);
        low.set(file, Math.min(low.get(file)!, low.get(to)!));
      } else if (stack.includes(to)) low.set(file, Math.min(low.get(file)!, order.get(to)!));
    }
    if (low.get(file) !== order.get(file)) return;
    const group = stack.splice(stack.indexOf(file));
    if (group.length > 1 || graph.get(file)?.includes(file)) cycles.push(group.sort());
  };
  for (const file of graph.keys()) if (!order.has(file)) enter(file);
  return cycles;
}
