/** Ports: tcp, udp and multiport (iptables-extensions(8); net/netfilter/xt_tcpudp.c, xt_multiport.c). */
import { PROTO, TCP_FLAGS } from "../../packet/field.ts";
import {
  and,
  between,
  bits,
  is,
  negate,
  opaque,
  or,
  type Predicate,
  within,
} from "../../packet/predicate.ts";
import { type Site, sharedKey, siteKey } from "../../rules/facts.ts";
import type { KnownConditions, PortRange } from "../../rules/reading.ts";
import { type Codec, type Given, match, negatable, type OptionSpec, Unreadable } from "../extension.ts";
import {
  ALWAYS,
  allOf,
  expressions,
  NEVER,
  type NftContext,
  type NftForm,
  nftProtocol,
  portsIn,
  withHeader,
} from "../nft-form.ts";
import { positive } from "../number-codecs.ts";
import { ALL_PORTS, portList, ports } from "../port-codecs.ts";
import { flag } from "../word-codecs.ts";

interface TcpFlagTest {
  readonly mask: number;
  readonly set: number;
}

const FLAG_NAMES = ["FIN", "SYN", "RST", "PSH", "ACK", "URG"] as const;
type FlagName = (typeof FLAG_NAMES)[number];

function readFlags(text: string): number | undefined {
  let flags = 0;
  for (const part of text.split(",")) {
    const name = part.toUpperCase();
    if (name === "ALL") flags |= 0x3f;
    else if (name !== "NONE") {
      if (!(FLAG_NAMES as readonly string[]).includes(name)) return undefined;
      flags |= TCP_FLAGS[name as FlagName];
    }
  }
  return flags;
}

const writeFlags = (flags: number): string =>
  flags === 0 ? "NONE" : FLAG_NAMES.filter((name) => flags & TCP_FLAGS[name]).join(",");

const tcpFlags: Codec<TcpFlagTest> = {
  words: 2,
  expects: "two lists of SYN, ACK, FIN, RST, URG, PSH, ALL or NONE: which to look at, which must be set",
  read(words) {
    const mask = readFlags(words[0]!);
    const set = readFlags(words[1]!);
    if (mask === undefined || set === undefined)
      return new Unreadable(tcpFlags.expects, mask === undefined ? 0 : 1);
    return { mask, set };
  },
  write: ({ mask, set }) => [writeFlags(mask), writeFlags(set)],
};

/** `--sport`; iptables-save omits the range of all ports. */
export const sourcePort: OptionSpec<PortRange> = {
  ...negatable("--sport", ports, "--source-port"),
  silent: ALL_PORTS,
};
/** `--dport`. */
export const destinationPort: OptionSpec<PortRange> = {
  ...negatable("--dport", ports, "--destination-port"),
  silent: ALL_PORTS,
};

/** The conditions of `--sport` and `--dport`. */
export const portConditions = ({
  sport,
  dport,
}: {
  readonly sport?: Given<PortRange>;
  readonly dport?: Given<PortRange>;
}): KnownConditions => ({ sourcePorts: oneRange(sport), destinationPorts: oneRange(dport) });

/** Returns a range as a list of one element. */
export const oneRange = (given: Given<PortRange> | undefined): Given<readonly PortRange[]> | undefined =>
  given === undefined ? undefined : { not: given.not, value: [given.value] };

/** Returns the predicate of `--sport` or `--dport`. */
export const portPredicate = (field: "sport" | "dport", given: Given<PortRange> | undefined): Predicate =>
  given === undefined ? and() : negate(given.not, between(field, given.value[0], given.value[1]));

/** Tests that iptables-nft may have merged, in the manual. */
const MERGED = "! --sport with ! --dport of single ports";
const WHY_MERGED =
  "iptables-nft 1.8.9 merges `! --sport` and `! --dport` with single ports into one test, which matches unless both are equal";

interface Ports {
  readonly sport?: Given<PortRange> | undefined;
  readonly dport?: Given<PortRange> | undefined;
}

/** Returns true for tests that iptables-nft may have merged. */
const areMerged = ({ sport, dport }: Ports): boolean =>
  [sport, dport].every((each) => each?.not === true && each.value[0] === each.value[1]);

/** Returns the predicate of `--sport` and `--dport` of TCP and UDP. iptables-save prints a merged test like two. */
function bothPorts(given: Ports, site: Site): Predicate {
  const both = [portPredicate("sport", given.sport), portPredicate("dport", given.dport)];
  if (!areMerged(given)) return and(...both);
  // If both ports differ, either form matches.
  return or(and(...both), and(opaque(siteKey("merged-tests", site), WHY_MERGED), or(...both)));
}

/** Prints `--sport` and `--dport` of a protocol. */
export const portForm = (
  protocol: string,
  {
    sport,
    dport,
  }: { readonly sport?: Given<PortRange> | undefined; readonly dport?: Given<PortRange> | undefined },
  context: NftContext,
): NftForm | null =>
  allOf(
    withHeader(context),
    sport === undefined ? ALWAYS : portsIn(protocol, "sport", sport.not, [sport.value]),
    dport === undefined ? ALWAYS : portsIn(protocol, "dport", dport.not, [dport.value]),
  );

/** Prints a test of TCP flags by their names. */
function flagsForm({ not, value: { mask, set } }: Given<TcpFlagTest>): NftForm {
  if ((set & ~mask) !== 0) return not ? ALWAYS : NEVER;
  if (mask === 0) return not ? NEVER : ALWAYS;
  const names = (flags: number): string => {
    if (flags === 0) return "0x0";
    const list = FLAG_NAMES.filter((name) => flags & TCP_FLAGS[name]).map((name) => name.toLowerCase());
    return list.length === 1 ? list[0]! : `(${list.join(" | ")})`;
  };
  return expressions(`tcp flags & ${names(mask)} ${not ? "!=" : "=="} ${names(set)}`);
}

/** Packets with a header; fragments after the first never match. */
export const first: Predicate = is("fragment", 0);

export const tcp = match({
  name: "tcp",
  nftExcept: `--tcp-option, and ${MERGED}`,
  except: `--tcp-option: TCP options are not modelled; ${MERGED}: iptables-nft 1.8.9 merges them`,
  checksPresence: true,
  protocol: PROTO.tcp,
  protocols: [PROTO.tcp],
  options: {
    sport: sourcePort,
    dport: destinationPort,
    option: negatable("--tcp-option", positive(255, "the number of a TCP option, 1 to 255")),
    flags: { ...negatable("--tcp-flags", tcpFlags), silent: { mask: 0, set: 0 } },
    syn: negatable("--syn", flag),
  },
  normalize({ syn, ...values }) {
    if (syn === undefined) return values;
    if (values.flags !== undefined) return new Unreadable("either --syn or --tcp-flags");
    return { ...values, flags: { not: syn.not, value: { mask: 0x17, set: TCP_FLAGS.SYN } } };
  },
  independentOptions: true,
  copy: ({ dport }) => (dport === undefined ? "unchanged" : "by-destination"),
  originalOption: ({ dport }) => (dport === undefined ? undefined : "--ctorigdstport"),
  conditions: portConditions,
  nft: (values, context) =>
    values.option !== undefined || areMerged(values)
      ? null
      : allOf(
          portForm("tcp", values, context),
          values.flags === undefined ? ALWAYS : flagsForm(values.flags),
        ),
  predicate({ sport, dport, option, flags }, { rewritesOptions }, site) {
    const options = String(option?.value);
    return and(
      first,
      bothPorts({ sport, dport }, site),
      option === undefined
        ? and()
        : negate(
            option.not,
            opaque(
              rewritesOptions ? siteKey("tcp-option", site) : sharedKey("tcp-option", options),
              "TCP options are not modelled",
            ),
          ),
      flags === undefined ? and() : negate(flags.not, bits("flags", flags.value.mask, flags.value.set)),
    );
  },
});

export const udp = match({
  name: "udp",
  nftExcept: MERGED,
  except: `${MERGED}: iptables-nft 1.8.9 merges them`,
  protocol: PROTO.udp,
  protocols: [PROTO.udp],
  options: { sport: sourcePort, dport: destinationPort },
  independentOptions: true,
  copy: ({ dport }) => (dport === undefined ? "unchanged" : "by-destination"),
  originalOption: ({ dport }) => (dport === undefined ? undefined : "--ctorigdstport"),
  conditions: portConditions,
  nft: (values, context) => (areMerged(values) ? null : portForm("udp", values, context)),
  predicate: (values, _facts, site) => and(first, bothPorts(values, site)),
});

export const multiport = match({
  name: "multiport",
  checksPresence: true,
  protocols: [PROTO.tcp, PROTO.udp, PROTO.udplite, PROTO.sctp, PROTO.dccp],
  options: {
    sports: negatable("--sports", portList, "--source-ports"),
    dports: negatable("--dports", portList, "--destination-ports"),
    ports: negatable("--ports", portList),
  },
  normalize: (values) =>
    Object.keys(values).length === 1
      ? values
      : new Unreadable("exactly one of --sports, --dports and --ports"),
  independentOptions: true,
  copy: ({ sports }) => (sports === undefined ? "by-destination" : "unchanged"),
  conditions: ({ sports, dports }) => ({ sourcePorts: sports, destinationPorts: dports }),
  nft({ sports, dports, ports: either }, context) {
    const protocol = nftProtocol(context.proto!);
    const side = (name: "sport" | "dport", not: boolean, list: readonly PortRange[]): NftForm =>
      portsIn(protocol, name, not, list);
    const header = withHeader(context);
    if (sports !== undefined) return allOf(header, side("sport", sports.not, sports.value));
    if (dports !== undefined) return allOf(header, side("dport", dports.not, dports.value));
    const { not, value } = either!;
    const noSource = side("sport", true, value);
    if (not) return allOf(header, noSource, side("dport", true, value));
    const byDestination = allOf(header, noSource, side("dport", false, value));
    const bySource = allOf(header, side("sport", false, value));
    return bySource === null || byDestination === null ? null : [...bySource, ...byDestination];
  },
  predicate({ sports, dports, ports: either }) {
    if (sports !== undefined) return and(first, negate(sports.not, within("sport", sports.value)));
    if (dports !== undefined) return and(first, negate(dports.not, within("dport", dports.value)));
    const some = or(within("sport", either!.value), within("dport", either!.value));
    return and(first, negate(either!.not, some));
  },
});
