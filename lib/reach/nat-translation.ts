/** Address translation of packet sets. */
import { type Address, CT_STATUS, type Family, type Field, PROTO, type Scalar } from "../packet/field.ts";
import { ANY, between, is, NEVER } from "../packet/predicate.ts";
import type { Case } from "../path/decision-list.ts";
import { fixedHeader, keepsZeroSource, translate } from "../path/header-translation.ts";
import type { NatSide } from "../path/hooks.ts";
import { DESTINATION_CLASSES } from "../path/interface-address.ts";
import type { BoundChain, Program } from "../path/program.ts";
import type { Decision, Part } from "../path/walk.ts";
import { ends, type Nat } from "../rules/effect.ts";
import { type Rule, tablesOf } from "../rules/ruleset.ts";
import type { ChainEvaluator } from "./chain-evaluator.ts";
import { decisionOfOutcome, type NatOutcome } from "./chain-outcome.ts";
import type { Domain } from "./domain.ts";
import { EMPTY } from "./node-store.ts";
import {
  type Binding,
  bindFields,
  type HeaderState,
  headerStateOf,
  type SetState,
  type SetStates,
  singleState,
  valueIn,
} from "./set-state.ts";
import type { Uncertainty } from "./uncertainty.ts";
import { MOST_MAPPED, mappedField, translatedPort, ZERO_ADDRESS } from "./vocabulary.ts";

const ANY_SOURCE: readonly Case<boolean>[] = [{ when: ANY, outcome: false }];
const ZERO_SOURCE: readonly Case<boolean>[] = [{ when: is("src", 0), outcome: true }, ...ANY_SOURCE];

const NONZERO_ADDRESS: Readonly<Record<Family, Address>> = { 4: 1, 6: 1n };

/** Evaluates chains of type nat and binds the translated fields. */
export class NatTranslation {
  /** Interfaces that MASQUERADE and REDIRECT take an address of: the output or input interface. */
  private readonly devices: Readonly<Record<NatSide, readonly Case<string>[]>>;
  /** Result of `cannotDrop` by interface. */
  private readonly openInterfaces = new Map<string, boolean>();
  private sourceNatsMade: readonly Nat[] | null | undefined;

  constructor(
    private readonly program: Program,
    private readonly domain: Domain,
    private readonly chains: ChainEvaluator,
  ) {
    const each = (field: Field): Case<string>[] =>
      program.host.interfaces.map(({ name }) => ({ when: is(field, name), outcome: name }));
    // Packets of the host have no input interface.
    this.devices = { dst: [...each("in"), { when: is("in", ""), outcome: "" }], src: each("out") };
  }

  /**
   * Evaluates chains of type nat, in order, on packets with one header state, and translates them. Packets that a chain
   * accepts without a translation go on to the next one.
   */
  translate(
    state: SetState,
    [chain, ...others]: readonly BoundChain[],
    side: NatSide,
  ): Part<SetStates, Decision>[] {
    if (chain === undefined) return [{ state: singleState(state), outcome: "accept" }];
    const { states, others: rest } = this.chains.splitTranslations(state, chain, (outcome) =>
      this.fixedTranslation(state, outcome, side),
    );
    const parts = rest.flatMap(({ state: after, outcome }): Part<SetStates, Decision>[] => {
      if (outcome.kind === "nat")
        return this.translatePackets(after, atHook(outcome.nat, side), outcome.rule, side).map((part) => ({
          state: singleState(part.state),
          outcome: part.outcome,
        }));
      const decision = decisionOfOutcome(outcome);
      if (decision === "accept") return this.translate(after, others, side);
      return [{ state: singleState(after), outcome: decision === "reject" ? "drop" : decision }];
    });
    return [...(states.set === EMPTY ? [] : [{ state: states, outcome: "accept" as const }]), ...parts];
  }

  /**
   * Returns the header state after a translation that gives every packet the same header; `null` for other translations.
   * Packets that have that header already are not translated.
   */
  private fixedTranslation(
    state: SetState,
    { nat, rule, idle }: NatOutcome,
    side: NatSide,
  ): HeaderState | null {
    const header = fixedHeader(nat);
    if (header === null) return null;
    const after = withTranslation(state, rule);
    return headerStateOf(idle ? after : this.bindHeader(after, side, header.address, header.port));
  }

  /** Returns true if POSTROUTING of the nat table drops no packet that leaves by this interface. */
  cannotDrop(out: string): boolean {
    let open = this.openInterfaces.get(out);
    if (open === undefined) {
      const { host, ruleset } = this.program;
      const old = { address: NONZERO_ADDRESS[ruleset.family], port: undefined };
      const has = (nat: Nat): boolean =>
        DESTINATION_CLASSES[ruleset.family].every(
          ({ outcome: dst }) => translate(nat, { proto: PROTO.tcp, old, device: out, dst }, host) !== null,
        );
      open =
        !this.program.seesTranslatedSource(out) && this.sourceNats !== null && this.sourceNats.every(has);
      this.openInterfaces.set(out, open);
    }
    return open;
  }

  /**
   * Source translations that drop packets if the interface has no address, one for each kind; `null` if the nat table can
   * drop packets in another way.
   */
  private get sourceNats(): readonly Nat[] | null {
    if (this.sourceNatsMade === undefined) {
      const chains = this.natChains();
      const effects = chains.flatMap(({ rules }) => rules.flatMap(({ effect }) => [...ends(effect)]));
      const stopped =
        chains.some(({ policy }) => policy !== null && policy !== "accept") ||
        effects.some(
          (e) =>
            ["opaque", "hotdrop", "stolen"].includes(e.kind) ||
            (e.kind === "verdict" && e.verdict !== "accept"),
        );
      const nats = effects.flatMap((e) => (e.kind === "nat" && e.side === "src" ? [e] : []));
      const kinds = new Map(nats.map((nat) => [nat.to.kind, nat]));
      this.sourceNatsMade = stopped ? null : [...kinds.values()];
    }
    return this.sourceNatsMade;
  }

  /** All chains of type nat, and the chains that they call. */
  private natChains(): BoundChain[] {
    const { program } = this;
    const bases = tablesOf(program.ruleset).flatMap(({ name: table, chains }) =>
      [...chains.values()].flatMap(({ base, name }) =>
        base?.type === "nat" ? [program.chain(table, name)!] : [],
      ),
    );
    return program.calleesFirst(bases);
  }

  private translatePackets(state: SetState, nat: Nat, rule: Rule, side: NatSide): Part<SetState, Decision>[] {
    const after = withTranslation(state, rule);
    const { family } = this.program.ruleset;
    if (nat.to.kind !== "interface") return this.translatePorts(after, nat, side, "", ZERO_ADDRESS[family]);
    const sources = keepsZeroSource(nat, family) ? ZERO_SOURCE : ANY_SOURCE;
    return this.choose(after, sources).flatMap(
      ({ state: from, outcome: isZero }): Part<SetState, Decision>[] =>
        isZero
          ? [{ state: from, outcome: "accept" }]
          : this.choose(from, this.devices[side]).flatMap(({ state: part, outcome: device }) =>
              this.choose(part, DESTINATION_CLASSES[family]).flatMap(({ state: towards, outcome: dst }) =>
                this.translatePorts(towards, nat, side, device, dst),
              ),
            ),
    );
  }

  /** Translates ports. A port in the range of the rule is kept; otherwise the kernel chooses one. */
  private translatePorts(
    state: SetState,
    nat: Nat,
    side: NatSide,
    device: string,
    towards: Address,
  ): Part<SetState, Decision>[] {
    const { ports } = nat;
    const mapped = mappedField(nat);
    if (mapped !== null) return this.translateEachValue(state, nat, mapped, device, towards);
    if (ports === null || ports.first === ports.last) {
      // Without a range only the port of the source can be random (nf_nat_l4proto_unique_tuple).
      const chosen = ports === null && nat.random && side === "src";
      const from = chosen ? this.withKernelChoice(state, side, "port") : state;
      return this.bindTranslation(from, nat, side, device, towards);
    }
    const field = translatedPort(side);
    const cases: Case<boolean>[] = [
      { when: nat.random ? NEVER : between(field, ports.first, ports.last), outcome: true },
      { when: ANY, outcome: false },
    ];
    return this.choose(state, cases).flatMap(({ state: part, outcome: kept }) =>
      this.bindTranslation(
        kept ? part : this.withKernelChoice(part, side, "port"),
        { ...nat, ports: kept ? null : ports },
        side,
        device,
        towards,
      ),
    );
  }

  /** Translates each value of a field by itself, for translations that map every value to another one. */
  private translateEachValue(
    state: SetState,
    nat: Nat,
    field: Field,
    device: string,
    towards: Address,
  ): Part<SetState, Decision>[] {
    const { side } = nat;
    const to = (part: SetState, value: Scalar): Part<SetState, Decision>[] => {
      const was = field === side ? { address: value as Address } : { port: value as number };
      return this.bindTranslation(part, nat, side, device, towards, was);
    };
    const known = valueIn(state, field);
    if (known !== undefined) return to(state, known);
    const { diagrams } = this.domain;
    const parts: Part<SetState, Decision>[] = [];
    let { set } = state;
    for (const value of this.domain.singleValues(set, field, MOST_MAPPED)) {
      const one = diagrams.intersect(this.domain.set(is(field, value)), set);
      set = diagrams.subtract(set, one);
      parts.push(...to({ ...state, set: one }, value));
    }
    if (set === EMPTY) return parts;
    const unsure: Uncertainty[] = [...state.unsure, { code: "too-many-values", field, limit: MOST_MAPPED }];
    return [...parts, { state: { ...state, set, unsure }, outcome: "undecided" }];
  }

  /**
   * Binds the translated fields to their new values.
   * @param towards a representative of the destinations
   * @param was present values, if the new values depend on them
   */
  private bindTranslation(
    state: SetState,
    nat: Nat,
    side: NatSide,
    device: string,
    towards: Address,
    was: { readonly address?: Address; readonly port?: number } = {},
  ): Part<SetState, Decision>[] {
    const { host, ruleset } = this.program;
    const port = translatedPort(side);
    const old = {
      // A zero source is handled by the caller; any other source gives the same result.
      address: (valueIn(state, side) as Address | undefined) ?? NONZERO_ADDRESS[ruleset.family],
      port: valueIn(state, port) as number | undefined,
      ...was,
    };
    const dst = (valueIn(state, "dst") as Address | undefined) ?? towards;
    const to = translate(nat, { proto: PROTO.tcp, old, device, dst }, host);
    if (to === null) return [{ state, outcome: "drop" }];
    if (nat.to.kind === "range" && nat.to.first !== nat.to.last)
      return this.bindTranslation(
        this.withKernelChoice(state, side, "address"),
        { ...nat, to: { ...nat.to, last: nat.to.first } },
        side,
        device,
        towards,
        was,
      );
    // A translation to the present header does not set the NAT status bits (nf_nat_setup_info).
    let same = state.set;
    const keepEqual = (what: Field, known: Scalar | undefined, value: Scalar | null): void => {
      if (value === null || value === known) return;
      same =
        known === undefined
          ? this.chains.intersectCurrent({ ...state, set: same }, this.domain.set(is(what, value)))
          : EMPTY;
    };
    keepEqual(side, was.address, to.address);
    keepEqual(port, was.port, to.port);
    const other = { ...state, set: this.domain.diagrams.subtract(state.set, same) };
    return [
      { state: { ...state, set: same }, outcome: "accept" as const },
      { state: this.bindHeader(other, side, to.address, to.port), outcome: "accept" as const },
    ].filter((part) => part.state.set !== EMPTY);
  }

  /** If the kernel's choice affects what later rules match, marks the result as uncertain. */
  private withKernelChoice(state: SetState, side: NatSide, what: "address" | "port"): SetState {
    if (side === "src" && !this.program.seesTranslatedSource(String(valueIn(state, "out")))) return state;
    return { ...state, unsure: [...state.unsure, { code: "kernel-chooses", what }] };
  }

  /** Binds the fields of one side and those of the reply tuple. */
  private bindHeader(state: SetState, side: NatSide, address: Address | null, port: number | null): SetState {
    const bit = side === "dst" ? CT_STATUS.DST_NAT : CT_STATUS.SRC_NAT;
    const status = ((valueIn(state, "ctstatus") as number | undefined) ?? 0) | bit;
    const changes: { [F in Field]?: Binding } = { ctstatus: { value: status } };
    if (address !== null)
      changes[side] = changes[side === "dst" ? "ctreplsrc" : "ctrepldst"] = { value: address };
    if (port !== null)
      changes[side === "dst" ? "dport" : "sport"] = changes[
        side === "dst" ? "ctreplsrcport" : "ctrepldstport"
      ] = { value: port };
    return bindFields(state, changes);
  }

  /** Splits packets with one header state by the first case that holds. */
  private choose<T>(state: SetState, cases: readonly Case<T>[]): Part<SetState, T>[] {
    return this.chains
      .choose(singleState(state), cases)
      .flatMap(({ state: part, outcome }) =>
        this.chains.splitByHeader(part).map((each) => ({ state: each, outcome })),
      );
  }
}

/** Returns a translation at a hook: NETMAP in a chain of the user translates the side of the hook that called it. */
const atHook = (nat: Nat, side: NatSide): Nat => (nat.side === side ? nat : { ...nat, side });

/** Appends a rule to the translations of a state. */
const withTranslation = (state: SetState, rule: Rule): SetState => ({
  ...state,
  translated: [...state.translated, rule],
});
