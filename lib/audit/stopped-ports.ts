/**
 * Published ports that the owner allows by name at the input hook and drops at the forward hook. Docker's own accept in iptables
 * came before such a drop; an accept in a table of nftables does not override it.
 */
import { ufwCommandChain } from "../host/known/ufw.ts";
import { fromOutside } from "../host/packet-origin.ts";
import type { BoundChain } from "../path/program.ts";
import { EMPTY, type Node } from "../reach/node-store.ts";
import type { SetEngine } from "../reach/set-engine.ts";
import type { SetStates } from "../reach/set-state.ts";
import { iptablesName } from "../rules/ruleset.ts";
import { type SetEnding, withForm } from "./endings.ts";
import { explicitAt } from "./explicit-accepts.ts";
import type { FamilyModel } from "./family-model.ts";
import type { Passage } from "./finding.ts";
import { buildFinding } from "./finding-builder.ts";
import { described, listeners, publisherOf, services } from "./published-ports.ts";
import type { Unsettled } from "./unsettled.ts";

/**
 * Returns the passages of published ports that are allowed and dropped.
 * @param endings walk of all packets from outside through all rules
 * @param input packets that the owner's INPUT accepts
 */
export function stoppedPorts(
  model: FamilyModel,
  endings: readonly SetEnding[],
  input: Node,
  unsettled: Unsettled,
): Passage[] {
  const { domain, full } = model;
  const { diagrams } = domain;
  const stopped = withForm(
    full,
    endings.filter(({ hook, verdict }) => hook === "FORWARD" && (verdict === "drop" || verdict === "reject")),
    (form) => iptablesName(publisherOf(model, form)?.table ?? "nat") === null,
  );
  if (stopped.length === 0) return [];
  const allowed = diagrams.intersect(input, allowedByName(model));
  if (allowed === EMPTY) return [];
  const listenerOf = listeners(model);
  return services(model, stopped, allowed).flatMap((service): Passage[] => {
    const set = service.part.inside;
    if (set === EMPTY) return [];
    const { subject, ip } = described(model, service, listenerOf(service.target));
    const kind = "ineffective-allow";
    const finding = buildFinding(model, unsettled, { ...subject, kind }, set, set, "input");
    const endpoint = { ip, port: subject.container.port };
    const { listen } = subject;
    const { proto, target } = service;
    return [{ kind, proto, endpoint, listen, bridge: target.out, all: set, blocked: EMPTY, finding }];
  });
}

/** Returns packets, as sent, that accepts of the owner at the input hook name: those of ufw commands, and in nftables. */
function allowedByName({ domain, family, host, mine, ownerRuleset }: FamilyModel): Node {
  const explicit = explicitAt("INPUT", ownerRuleset, host, domain);
  const commands = ufwCommandChain(family, "input");
  const allowed: Node[] = [];
  const evaluate = (engine: SetEngine, states: SetStates, chain: BoundChain | undefined): void => {
    if (chain === undefined) return;
    for (const { state, outcome } of engine.chains.evaluateChain(states, chain))
      if (outcome?.kind === "accept") allowed.push(engine.chains.members(state.set));
  };
  mine.deliver(mine.start(fromOutside(host)), (states, { hook, name, table }) => {
    if (hook !== "INPUT") return;
    if (iptablesName(table) === "filter") evaluate(mine, states, mine.program.chain(table, commands));
    if (explicit !== null) evaluate(explicit, states, explicit.program.chain(table, name));
  });
  return domain.diagrams.unionAll(allowed);
}
