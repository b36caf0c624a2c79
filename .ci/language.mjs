// Counts the words that ../shared/style.md forbids, per 1,000 words of comments, of documentation and of messages.
//
//   node .ci/language.mjs                   prints a table: one line per room, then the total
//   node .ci/language.mjs lib/audit docs    prints file:line of every hit below these paths
//   node .ci/language.mjs --max 2           also exits with 1 if a total is above 2 per 1,000 words
//   node .ci/language.mjs --root DIR        reads another checkout
//
// Comments: all TypeScript, JavaScript, shell and Python files. Documentation: Markdown; of CHANGELOG.md the newest
// section. Messages: strings of lib, cli, grammar and build files that contain three lower-case words in a row, and
// the titles of tests. Text between backticks is code and is not counted.
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import ts from "typescript";

/** Each pattern is one entry of rule 3. "stands for" and "stand-alone" are plain English and do not count. */
const DIALECT = [
  /\b(?:tells?|told|asks?|asked|heeds?|heeded|lest|whom|nobody|somebody|behind|besides)\b/gi,
  /\b(?:whoever|whatever|whichever|spells?|spelled|spelt|fares?|fared)\b/gi,
  /\b(?:says?|said|speaks?|spoke|spoken) of\b/gi,
  /\b(?:stands?|stood)\b(?!-| for\b)/gi,
  /\bof (?:it|them)\b/gi,
  /\b(?:so many|a word)\b/gi,
];

/** Rule 2: a doc comment starts with a verb or a noun. Its other words are counted everywhere. */
const OPENING = /^\s*(?:What|Whether|Where|Who|How)\b/;
const DOC_COMMENT = /\/\*\*/y;
const WORD = /[A-Za-z][A-Za-z'’-]*/g;
const SENTENCE = /\b[a-z][a-z'’-]*,? [a-z][a-z'’-]*,? [a-z][a-z'’-]*\b/;
const TEST_TITLES = new Set(["describe", "test", "it"]);

/** Replaces matches by spaces, so that offsets in the text stay valid. */
const blank = (text, pattern) => text.replace(pattern, (match) => match.replace(/[^\n]/g, " "));
const blankCode = (text) => blank(text, /\\?`[^`\n]+`/g);

/** Blanks the characters that mark a comment as one. */
const commentText = (text) => blankCode(blank(text, /\/\*\*?|\*\/|^[ \t]*\*(?!\/)|^[ \t]*(?:\/\/|#)+/gm));

/** Sections { kind, offset, text, doc } of a TypeScript or JavaScript file, found by its syntax tree. */
function scriptSections(path, source) {
  const file = ts.createSourceFile(path, source, ts.ScriptTarget.Latest, true);
  const comments = new Map();
  const sections = [];
  const message = (node, expressions) => {
    const start = node.getStart(file) + 1;
    let text = source.slice(start, node.end - 1);
    for (const each of expressions)
      text = text.slice(0, each.pos - start) + " ".repeat(each.end - each.pos) + text.slice(each.end - start);
    text = blankCode(text);
    if (SENTENCE.test(text)) sections.push({ kind: "messages", offset: start, text });
  };
  const isTest = path.startsWith("test/") || path.includes("/test/");
  const isMessage = (node) => {
    if (!isTest) return !ts.isImportDeclaration(node.parent);
    let callee =
      ts.isCallExpression(node.parent) && node.parent.arguments[0] === node
        ? node.parent.expression
        : undefined;
    while (callee && !ts.isIdentifier(callee)) callee = callee.expression;
    return callee !== undefined && TEST_TITLES.has(callee.text);
  };
  const visit = (node) => {
    if (ts.isJSDoc(node)) return;
    const note = (pos, end) => void comments.set(pos, end);
    ts.forEachLeadingCommentRange(source, node.pos, note);
    ts.forEachTrailingCommentRange(source, node.end, note);
    if ((ts.isStringLiteral(node) || ts.isNoSubstitutionTemplateLiteral(node)) && isMessage(node))
      message(node, []);
    if (ts.isTemplateExpression(node) && isMessage(node))
      message(
        node,
        node.templateSpans.map(({ expression }) => expression),
      );
    for (const child of node.getChildren(file)) visit(child);
  };
  visit(file);
  return [...sections, ...joinLines(source, [...comments])];
}

/** Joins line comments that follow each other into one section, since sentences run over several lines. */
function joinLines(source, ranges) {
  const joined = [];
  for (const [start, end] of ranges.sort(([a], [b]) => a - b)) {
    const last = joined.at(-1);
    const isLine = source.startsWith("//", start);
    if (
      last &&
      isLine &&
      source.startsWith("//", last[0]) &&
      /^\r?\n[ \t]*$/.test(source.slice(last[1], start))
    )
      last[1] = end;
    else joined.push([start, end]);
  }
  return joined.map(([start, end]) => {
    const raw = source.slice(start, end);
    DOC_COMMENT.lastIndex = 0;
    return { kind: "comments", offset: start, text: commentText(raw), doc: DOC_COMMENT.test(raw) };
  });
}

/** Comments of a shell or Python script: whole lines that start with `#`. */
function hashSections(source) {
  return [...source.matchAll(/^[ \t]*#(?!!).*(?:\n[ \t]*#.*)*/gm)].map((match) => ({
    kind: "comments",
    offset: match.index,
    text: commentText(match[0]),
  }));
}

/** Prose of a Markdown file without code, link targets and HTML tags. */
function markdownSections(path, source) {
  let text = source;
  if (/(^|\/)CHANGELOG\.md$/.test(path))
    text = text.slice(0, text.indexOf("\n## ", text.indexOf("\n## ") + 1) + 1 || undefined);
  text = blank(text, /^([ \t]*)(```|~~~)[\s\S]*?^\1\2[ \t]*$/gm);
  text = blankCode(blank(blank(text, /<!--[\s\S]*?-->|<[^>\n]+>/g), /\]\([^)\n]*\)/g));
  return [{ kind: "docs", offset: 0, text }];
}

function sectionsOf(path, source) {
  if (/\.zh-TW\.md$/.test(path)) return [];
  if (path.endsWith(".md")) return markdownSections(path, source);
  if (/\.(ts|mts|mjs|js)$/.test(path)) return scriptSections(path, source);
  if (/\.(sh|py)$/.test(path) || /^#!.*\b(?:bash|sh|python3?)\b/.test(source)) return hashSections(source);
  return [];
}

/** First two folders of a library or test file, else the first; files at the top belong to "build" or "docs". */
function roomOf(path) {
  const parts = path.split("/");
  if (path.endsWith(".md")) return "docs";
  if (parts[0] === "lib" || parts[0] === "test")
    return parts.length > 2 ? parts.slice(0, 2).join("/") : parts[0];
  return ["cli", "grammar"].includes(parts[0]) ? parts[0] : "build";
}

const emptyCounts = () => ({
  comments: { words: 0, hits: 0 },
  docs: { words: 0, hits: 0 },
  messages: { words: 0, hits: 0 },
});

/** Collapses white space, since phrases run over line breaks; `offsets` has the place of each character in the text. */
function oneLine(text) {
  const kept = [...text.matchAll(/\S|\s+/g)];
  return {
    line: kept.map(([part]) => (/\s/.test(part) ? " " : part)).join(""),
    offsets: kept.map(({ index }) => index),
  };
}

/** Counts one file and lists its hits. */
function measure(path, source, counts) {
  const hits = [];
  for (const { kind, offset, text, doc } of sectionsOf(path, source)) {
    counts[kind].words += text.match(WORD)?.length ?? 0;
    const { line, offsets } = oneLine(text);
    const add = (match) => {
      counts[kind].hits++;
      hits.push({
        kind,
        offset: offset + offsets[match.index],
        text: match[0].trim(),
        around: line.slice(Math.max(0, match.index - 30), match.index + 50).trim(),
      });
    };
    for (const pattern of DIALECT) for (const match of line.matchAll(pattern)) add(match);
    const opening = doc ? OPENING.exec(line) : null;
    if (opening) add(opening);
  }
  return hits
    .sort((a, b) => a.offset - b.offset)
    .map((hit) => ({ ...hit, line: source.slice(0, hit.offset).split("\n").length }));
}

const per1000 = ({ words, hits }) => (words === 0 ? 0 : (1000 * hits) / words);

/**
 * Runs the program.
 * @param print called with each line of output
 * @returns the exit code
 */
export function main(args, print) {
  const option = (flag) => {
    const at = args.indexOf(flag);
    return at < 0 ? undefined : args.splice(at, 2)[1];
  };
  const root = option("--root") ?? ".";
  const max = option("--max");
  const inPaths = (file) =>
    args.length === 0 ||
    args.some((path) => file === path || file.startsWith(path.endsWith("/") ? path : `${path}/`));
  const files = execFileSync("git", ["ls-files", "--cached", "--others", "--exclude-standard"], {
    cwd: root,
    encoding: "utf8",
  })
    .split("\n")
    .filter((file) => file !== "" && inPaths(file) && existsSync(join(root, file)));

  const rooms = new Map();
  const total = emptyCounts();
  for (const file of files) {
    const counts = rooms.get(roomOf(file)) ?? emptyCounts();
    rooms.set(roomOf(file), counts);
    const hits = measure(file, readFileSync(join(root, file), "utf8"), counts);
    if (args.length > 0)
      for (const { line, kind, text, around } of hits)
        print(`${file}:${line}: ${kind}: "${text}" in: ${around}`);
  }
  for (const counts of rooms.values())
    for (const kind of Object.keys(total)) {
      total[kind].words += counts[kind].words;
      total[kind].hits += counts[kind].hits;
    }

  const row = (name, cells) => [name.padEnd(16), ...cells.map((cell) => `${cell}`.padStart(9))].join("");
  const cells = (counts) =>
    Object.values(counts).flatMap((count) => [count.words, count.hits, per1000(count).toFixed(1)]);
  print(
    row(
      "",
      Object.keys(total).flatMap((kind) => ["", "", kind]),
    ),
  );
  print(
    row(
      "room",
      Object.keys(total).flatMap(() => ["words", "hits", "/1000"]),
    ),
  );
  for (const [name, counts] of [...rooms].sort(([a], [b]) => (a < b ? -1 : 1)))
    print(row(name, cells(counts)));
  print(row("total", cells(total)));

  if (max === undefined) return 0;
  const above = Object.entries(total).filter(([, count]) => per1000(count) > Number(max));
  for (const [kind, count] of above)
    print(
      `${kind}: ${per1000(count).toFixed(1)} forbidden words per 1,000 words; at most ${max} are allowed`,
    );
  return above.length > 0 ? 1 : 0;
}

if (process.argv[1] === fileURLToPath(import.meta.url))
  process.exitCode = main(process.argv.slice(2), console.log);
