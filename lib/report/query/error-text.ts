/** Errors of expressions in words, with the place in the text. */
import type { Expected, NameKind, QueryError } from "../../query-language/expression.ts";
import { safe } from "../text/terminal.ts";

const EXPECTED: Readonly<Record<Expected, string>> = {
  test: "a test, such as from 198.51.100.0/24, to container web, tcp, dport 22, in eth0, verdict accept or local",
  operator: "a test, and, or, or the end",
  "closing-parenthesis": 'a closing parenthesis ")"',
  "closing-brace": 'a comma or a closing brace "}"',
  addresses:
    "an address, a prefix (198.51.100.0/24), a range (198.51.100.1-198.51.100.9), container NAME or network NAME",
  ports: "a port (22) or a range of ports (8000-8100), 0 to 65535; names of services are not read",
  protocol: "the name of a protocol (tcp, udp, icmp, icmpv6, gre, esp) or a number, 0 to 255",
  verdict: "accept, drop or reject",
  name: "a name; put a name with blanks or signs in quotation marks",
  rule: "the number of a rule in the chain (1 is the first), or policy",
  state: "ct state new",
};

const KINDS: Readonly<Record<NameKind, string>> = {
  container: "container",
  network: "container network",
  interface: "interface",
  chain: "chain",
  rule: "rule",
};

const quoted = (text: string): string => JSON.stringify(text);
const meant = (suggestion: string | null): string =>
  suggestion === null ? "" : ` Did you mean ${suggestion}?`;

function sentence(error: QueryError): string {
  switch (error.code) {
    case "unexpected": {
      if (error.found === "!=")
        return 'There is no "!=": write not in front of the test, as in tcp not dport 22.';
      const found =
        error.found === "" ? "The expression ends here" : `${quoted(error.found)} does not fit here`;
      return `${found}.${meant(error.suggestion)} Expected: ${EXPECTED[error.expected]}.`;
    }
    case "empty-range":
      return `${quoted(error.found)} is empty: the first value is greater than the last.`;
    case "not-first":
      return `${quoted(error.state)} is no test here: queries are about the first packet of each connection, which decides if there is a connection at all. fwcheck simulate follows a whole connection.`;
    case "unterminated-name":
      return "The quotation mark that begins here has no end.";
    case "too-long":
      return `The expression is longer than ${error.limit} characters.`;
    case "too-deep":
      return `More than ${error.limit} parentheses are open.`;
    case "unknown-name":
      return `The host has no ${KINDS[error.kind]} ${quoted(error.name)}.${meant(error.suggestion)}`;
    case "host-network":
      return `Container ${quoted(error.name)} uses the network of the host: packets to it are local.`;
    case "not-on-bridge":
      return `Container ${quoted(error.name)} has no address on a bridge of the host.`;
    case "loopback":
      return `Packets on ${quoted(error.name)} are those that the host sends to itself: sent local.`;
    case "bridge-port":
      return `${quoted(error.name)} is a port of a bridge: rules see its packets on ${error.bridge}.`;
  }
}

/** Returns an error in words, below the text with a mark under the place. The result is safe for terminals. */
export function queryErrorText(text: string, error: QueryError): string {
  const before = safe(text.slice(0, error.start)).length;
  const marked = safe(text.slice(error.start, error.end)).length;
  const mark = `${" ".repeat(before)}${"^".repeat(Math.max(1, marked))}`;
  return error.code === "too-long" ? sentence(error) : `${safe(text)}\n${mark}\n${safe(sentence(error))}`;
}
