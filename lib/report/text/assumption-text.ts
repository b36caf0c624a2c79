/** Sentences of an answer of the simulator. They contain names from the inputs; escape them before printing. */
import type { Assumption, PortChoice, SuppositionReason } from "../../simulate/assumption.ts";
import type { FlowBreak, FlowNote } from "../../simulate/flow.ts";
import { rulePlaceText, unknownReasonText } from "./reason-text.ts";

/** Returns an assumption that an answer rests on. */
export function assumptionText(assumption: Assumption): string {
  switch (assumption.code) {
    case "supposed": {
      const { key, truth, reason, at } = assumption;
      const verb = at === null ? "hold" : "match";
      const value = `${key} assumed ${truth ? "" : "not "}to ${verb} (${suppositionReasonText(reason)})`;
      return at === null ? value : `${rulePlaceText(at)}: ${value}`;
    }
    case "limit-matches":
      return `${rulePlaceText(assumption.at)}: limit is assumed to match, as it does within its burst`;
    case "no-rules":
      return `no rules for IPv${assumption.family} were given: they are assumed to be empty`;
    case "group-joined":
      return "the host is taken to have joined the multicast group";
    case "port-chosen": {
      const { choice, assumed } = assumption;
      return assumed === null ? choiceText(choice) : `${choiceText(choice)}; ${assumed} is assumed`;
    }
    case "port-distinguished":
      return distinguishedText(assumption.choice);
    case "no-interface-address":
      return `${assumption.interface} has no address to translate to`;
    case "masquerade-removed":
      return `masqueraded for ${assumption.interface} and now routed to another interface: the connection is removed`;
    case "unknown-effect":
      return `${assumption.key}: ${unknownReasonText(assumption.reason)}`;
    case "too-many-branches":
      return "too many unknown matches to follow every branch";
    case "too-many-matches":
      return `the packet matches more than ${assumption.limit} rules; its path is not followed further`;
    case "too-many-rules":
      return `more than ${assumption.limit} rules are evaluated for the packet; its path is not followed further`;
  }
}

/** Returns why a supposed value is unknown. */
export function suppositionReasonText(reason: SuppositionReason): string {
  switch (reason.code) {
    case "earlier-packet":
      return "an earlier packet is undecided, so it is unknown whether its connection exists";
    case "port-distinguished":
      return distinguishedText(reason.choice);
    case "port-collision":
      return "whether the kernel chooses a port that another connection uses";
    case "tcp-sequence":
      return "whether the sequence number of a new connection is after that of an ended one";
    default:
      return unknownReasonText(reason);
  }
}

function choiceText(choice: PortChoice): string {
  const what = choice.what === "port" ? "a port" : "an identifier";
  switch (choice.code) {
    case "random":
      return `--random: the kernel chooses ${what}`;
    case "in-use":
      return `another connection has ${choice.what} ${choice.old}: the kernel chooses one`;
    case "range":
      return `the kernel chooses ${what} from ${choice.first} to ${choice.last}`;
  }
}

const distinguishedText = (choice: PortChoice): string =>
  `${choiceText(choice)}, and later rules distinguish it`;

/** Returns why the receiver of a packet cannot match it to the connection. */
export function flowBreakText(broken: FlowBreak): string {
  switch (broken.code) {
    case "delivered-here":
      return "it is delivered to the host itself, but its receiver is elsewhere";
    case "leaves-host":
      return `it leaves by ${broken.out}, but its receiver is the host itself`;
    case "off-bridge":
      return `it leaves by ${broken.out}, but its receiver is on ${broken.bridge}, a bridge of this host`;
    case "no-connection":
      return "its receiver has no connection with these addresses and ports";
  }
}

/** Returns a peculiarity of a connection. */
export const flowNoteText = ({ from, out, in: input }: FlowNote): string =>
  `the ${from}'s packets leave by ${out}, but the ${from === "client" ? "server" : "client"}'s come in by ${input}`;
