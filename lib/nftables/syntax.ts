/** Parts of the syntax tree by kind, with their position. */
import type { Expression, Statement } from "nftables-parser-ts";

export type StatementOf<K extends Statement["kind"]> = Extract<Statement, { readonly kind: K }>;
export type ExpressionOf<K extends Expression["kind"]> = Extract<Expression, { readonly kind: K }>;
