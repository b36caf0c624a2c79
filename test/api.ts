/** Reference of the library, generated from its types and doc comments. */
import { join } from "node:path";
import ts from "typescript";
import { project, root } from "./project.ts";

/** Exported names by entry point. */
const ENTRIES = [
  ["fwcheck", "lib/index.ts"],
  ["fwcheck/grammar", "grammar/iptables/index.ts"],
] as const;

const HEAD = `# The library

This page lists everything that the package exports. \`test/docs.test.ts\` generates it from the types and their doc comments; do not
edit it. \`examples/library.ts\` shows the usual calls: \`readRuleset\` and \`readHost\` read the inputs, and \`audit\`, \`fix\`, \`explain\` and
\`simulate\` take their results.

All functions are pure: they take texts and data, and return data. They use no file, process or clock. Do not change the objects that they
return. The errors that a function throws are listed with it; any other error is a bug. A type that is named here without a section of its
own is internal.
`;

const FORMAT =
  ts.TypeFormatFlags.NoTruncation |
  ts.TypeFormatFlags.UseAliasDefinedOutsideCurrentScope |
  ts.TypeFormatFlags.WriteArrayAsGenericType;

class Reference {
  private readonly program = project().program;
  private readonly checker = this.program.getTypeChecker();

  text(): string {
    const out = [HEAD];
    const anchors = new Anchors();
    const links = (symbols: readonly ts.Symbol[]): string =>
      symbols.map((s) => `[${s.name}](#${anchors.of(s.name)})`).join(", ");
    for (const [name, file] of ENTRIES) {
      const module = this.checker.getSymbolAtLocation(this.program.getSourceFile(join(root, file))!)!;
      const symbols = this.checker
        .getExportsOfModule(module)
        .map((s) => (s.flags & ts.SymbolFlags.Alias ? this.checker.getAliasedSymbol(s) : s))
        .sort((a, b) => (a.name.toLowerCase() < b.name.toLowerCase() ? -1 : 1));
      const values = symbols.filter((s) => s.flags & ts.SymbolFlags.Value);
      const types = symbols.filter((s) => !(s.flags & ts.SymbolFlags.Value));
      out.push(`## \`${name}\`\n`);
      out.push(`Functions, classes and constants: ${links(values)}.\n`);
      if (types.length > 0) out.push(`Types: ${links(types)}.\n`);
      for (const symbol of [...values, ...types]) out.push(this.entry(symbol));
    }
    return `${out.join("\n").trimEnd()}\n`;
  }

  private entry(symbol: ts.Symbol): string {
    const declaration = symbol.declarations![0]!;
    const out = [`### ${symbol.name}\n`, `${this.doc(symbol)}\n`];
    if (ts.isFunctionDeclaration(declaration))
      out.push(code(`function ${symbol.name}${this.signature(declaration)}`));
    else if (ts.isTypeAliasDeclaration(declaration)) out.push(code(shape(declaration)));
    else if (ts.isInterfaceDeclaration(declaration) || ts.isClassDeclaration(declaration)) {
      const heritage = declaration.heritageClauses?.map((c) => ` ${c.getText()}`).join("") ?? "";
      const kind = ts.isClassDeclaration(declaration) ? "class" : "interface";
      const parameters = declaration.typeParameters?.map((p) => p.getText()).join(", ");
      if (kind === "class" || heritage !== "" || parameters !== undefined)
        out.push(
          code(`${kind} ${symbol.name}${parameters === undefined ? "" : `<${parameters}>`}${heritage}`),
        );
      out.push(this.members(declaration));
    } else {
      const type = this.checker.getTypeOfSymbolAtLocation(symbol, declaration);
      const [call] = type.getCallSignatures();
      const text =
        call === undefined
          ? this.checker.typeToString(type, declaration, ts.TypeFormatFlags.NoTruncation)
          : this.checker.signatureToString(call, declaration, ts.TypeFormatFlags.NoTruncation);
      out.push(code(call === undefined ? `const ${symbol.name}: ${text}` : `function ${symbol.name}${text}`));
    }
    const tags = this.tags(symbol);
    if (tags !== "") out.push(`${tags}\n`);
    return out.filter((part) => part !== "").join("\n");
  }

  private signature(declaration: ts.SignatureDeclaration): string {
    const parameters = declaration.parameters.map((p) => {
      // A destructured parameter has no name; the name of its type replaces it.
      const type = p.type?.getText() ?? "";
      const noun = /^[A-Z]\w*$/.test(type) && !type.endsWith("Options") ? type : "options";
      const name = ts.isIdentifier(p.name) ? p.name.text : `${noun[0]!.toLowerCase()}${noun.slice(1)}`;
      const optional = p.questionToken !== undefined || p.initializer !== undefined ? "?" : "";
      return `${name}${optional}: ${p.type === undefined ? this.checker.typeToString(this.checker.getTypeAtLocation(p)) : flat(p.type.getText())}`;
    });
    const type = this.checker.getReturnTypeOfSignature(
      this.checker.getSignatureFromDeclaration(declaration)!,
    );
    const result =
      declaration.type === undefined
        ? this.checker.typeToString(type, undefined, FORMAT)
        : flat(declaration.type.getText());
    return `(${parameters.join(", ")}): ${result}`;
  }

  private members(declaration: ts.InterfaceDeclaration | ts.ClassDeclaration): string {
    const rows = declaration.members.flatMap((member) => {
      if (ts.isConstructorDeclaration(member))
        return [
          [
            `new ${declaration.name!.text}${this.signature(member).replace(/\): [^)]*$/, ")")}`,
            this.docOf(member),
          ],
        ];
      if (
        member.name === undefined ||
        ts.getCombinedModifierFlags(member) & (ts.ModifierFlags.Private | ts.ModifierFlags.Protected)
      )
        return [];
      const name = member.name.getText();
      const optional = "questionToken" in member && member.questionToken !== undefined ? "?" : "";
      const symbol = this.checker.getSymbolAtLocation(member.name)!;
      const type =
        ts.isMethodSignature(member) || ts.isMethodDeclaration(member)
          ? this.signature(member)
          : `: ${
              "type" in member && member.type !== undefined
                ? flat((member.type as ts.TypeNode).getText())
                : this.checker.typeToString(
                    this.checker.getTypeOfSymbol(symbol),
                    member,
                    ts.TypeFormatFlags.NoTruncation,
                  )
            }`;
      return [
        [
          `${name}${optional}${type}`,
          [this.doc(symbol), this.tags(symbol)].filter((t) => t !== "").join(" "),
        ],
      ];
    });
    const documented = rows.filter(([, what]) => what !== "");
    if (documented.length === 0) return "";
    return `| member | description |\n|---|---|\n${documented.map(([name, what]) => `| \`${name!.replaceAll("|", "\\|")}\` | ${cell(what!)} |`).join("\n")}\n`;
  }

  private doc(symbol: ts.Symbol): string {
    return ts.displayPartsToString(symbol.getDocumentationComment(this.checker)).trim();
  }

  private docOf(node: ts.Node): string {
    return ts
      .getJSDocCommentsAndTags(node)
      .map((d) => (typeof d.comment === "string" ? d.comment : ""))
      .join(" ");
  }

  /** Documented parameters, result and errors. */
  private tags(symbol: ts.Symbol): string {
    return symbol
      .getJsDocTags(this.checker)
      .flatMap(({ name, text }) => {
        const value = ts.displayPartsToString(text).trim();
        if (name === "param") {
          const [parameter, ...rest] = value.split(" ");
          return [`- \`${parameter}\`: ${rest.join(" ").replace(/^- /, "")}`];
        }
        if (name === "returns") return [`- Returns ${value}`];
        if (name === "throws") return [`- Throws ${value}`];
        return [];
      })
      .map((line) => line.replaceAll("\n", " "))
      .join("\n");
  }
}

/** A type alias as it is written, its comments left out. */
const shape = (declaration: ts.TypeAliasDeclaration): string =>
  declaration
    .getText()
    .replace(/^export /, "")
    .replaceAll(/\/\*\*[\s\S]*?\*\/\s*/g, "");

const flat = (text: string): string => text.replaceAll(/\/\*\*[\s\S]*?\*\//g, "").replaceAll(/\s+/g, " ");
const cell = (text: string): string =>
  text.replaceAll("\n- ", " ").replaceAll("\n", " ").replaceAll("|", "\\|");
const code = (text: string): string => `\`\`\`typescript\n${text}\n\`\`\`\n`;

/** Anchors of headings as GitHub makes them: the second of one spelling is numbered. */
class Anchors {
  private readonly seen = new Map<string, number>();

  of(name: string): string {
    const slug = name.toLowerCase();
    const before = this.seen.get(slug) ?? 0;
    this.seen.set(slug, before + 1);
    return before === 0 ? slug : `${slug}-${before}`;
  }
}

/** The whole of docs/api.md. */
export const reference = (): string => new Reference().text();
