/** Section with the fix: its proof, its rules in every format, its cost. */
import type { Fix } from "../../fix/fix.ts";
import { fixNoteText, fixSummary, openItemText, strategyReasonText } from "../text/fix-text.ts";
import { Markup, type MarkupContent, markup } from "./markup.ts";
import { copyable, MOST_ROWS, noteList, section } from "./page-elements.ts";
import type { ReportContents } from "./report-contents.ts";

/** The fix; `null` if there is nothing to fix. */
export function fixSection({ fix, audit }: ReportContents): Markup | null {
  const hasRules = fix.rules4.length + fix.rules6.length > 0;
  if (!hasRules && audit.findings.length === 0) return null;
  return section(
    "fix",
    "The fix",
    proof(fix),
    noteList("Left open", fix.left.map(openItemText)),
    fix.holds && hasRules ? formats(fix) : null,
    noteList(
      "How the rules match each endpoint",
      fix.choices
        .slice(0, MOST_ROWS)
        .map((c) => markup`<strong>${c.endpoint}</strong> ${c.strategy}: ${strategyReasonText(c.reason)}`),
    ),
    noteList("Cost", costs(fix)),
    noteList("Before you apply it", fix.notes.map(fixNoteText)),
  );
}

function proof(fix: Fix): Markup {
  if (!fix.holds)
    return markup`<p class="proof bad"><strong>The proof does not hold, so no rules are given.</strong></p>`;
  const scope = fix.left.length === 0 ? null : ", for what is closed";
  return markup`<p class="proof good"><strong>The proof holds, over all packets${scope}.</strong> ${fixSummary(fix)} It changes ${fix.proof.changed.length} other packets.${fix.inForce ? " These rules are in force already." : null}</p>`;
}

/** The rules in each format, with the command that applies them. */
function formats(fix: Fix): Markup {
  const format = (isOpen: boolean, title: string, text: string, use: MarkupContent): Markup | null =>
    text === ""
      ? null
      : markup`<details${isOpen ? new Markup(" open") : null}><summary>${title}</summary><p>${use}</p>${copyable(text, title)}</details>`;
  const block = (file: string): Markup =>
    markup`At the end of <code>/etc/ufw/${file}</code>, then <code>ufw reload</code>.`;
  const place =
    fix.language === "iptables"
      ? markup`a chain of their own, called from <code>DOCKER-USER</code>; Docker’s chains are not changed`
      : markup`tables of their own, <code>ip fwcheck</code> and <code>ip6 fwcheck</code>; no other table is changed`;
  return markup`<p>The rules are in ${place}.</p>
    ${format(true, "For nft", fix.nft, markup`As root: <code>nft -f fwcheck.nft</code>`)}
    ${format(true, "IPv4, for iptables-restore", fix.restore, markup`As root: <code>${fix.programs.ipv4}-restore --noflush &lt; fix.rules</code>`)}
    ${format(fix.restore === "" && fix.nft === "", "IPv6, for ip6tables-restore", fix.restore6, markup`As root: <code>${fix.programs.ipv6}-restore --noflush &lt; fix6.rules</code>`)}
    ${format(false, "A shell script for both, with --check and --undo", fix.script, markup`As root: <code>sh fix.sh</code>, and <code>sh fix.sh --undo</code> to remove it.`)}
    ${format(false, "A block for ufw’s after.rules", fix.ufw.after, block("after.rules"))}
    ${format(false, "A block for ufw’s after6.rules", fix.ufw.after6, block("after6.rules"))}
    ${format(false, "Commands that remove it", fix.undo.join("\n"), "As root.")}`;
}

/** Rules of FORWARD that packets pass, a sentence per family. */
function costs({ cost }: Fix): string[] {
  const families = [
    ["IPv4", cost.ipv4],
    ["IPv6", cost.ipv6],
  ] as const;
  return families.flatMap(([family, rules]) => {
    if (rules === null) return [];
    const { before, after } = rules;
    return [
      `${family}: in FORWARD, packets of an established flow pass ${before.established} rules without the fix and ${after.established} with it; the first packet to a container ${before.fresh} and ${after.fresh}; at worst ${before.worst} and ${after.worst}.`,
    ];
  });
}
