/** Matches that select the packets of a passage in FORWARD. */
import type { FamilyAudit, Passage } from "../audit/audit.ts";
import { bridgePorts, showsInputPorts } from "../host/bridge-ports.ts";
import { containerAt, type Host } from "../host/host.ts";
import { fromOutside } from "../host/packet-origin.ts";
import { addressBits, printAddress } from "../packet/address.ts";
import { type Address, type Field, hasPorts, protoName, type Scalar } from "../packet/field.ts";
import { is } from "../packet/predicate.ts";
import { EMPTY } from "../reach/node-store.ts";
import { type SetState, valueIn } from "../reach/set-state.ts";
import { portsOption } from "./port-runs.ts";
import { statesAt } from "./read-point.ts";

/** Prints the matches of one audit's passages. */
export class PassageMatches {
  private translatedStates: readonly SetState[] | undefined;

  constructor(
    private readonly audit: FamilyAudit,
    private readonly host: Host,
  ) {}

  /**
   * Matches all packets to the endpoint of a passage by its address.
   * @param more number of ports after that of the endpoint that are matched, too
   */
  byAddress({ endpoint, proto }: Passage, more = 0): string {
    const { ip, port } = endpoint!;
    const bits = addressBits(this.audit.family);
    const protoMatch = proto === null ? "" : ` -p ${protoName(proto)}`;
    const portMatch =
      proto !== null && port !== null && hasPorts(proto)
        ? ` -m ${protoName(proto)} --dport ${portsOption(port, more)}`
        : "";
    return `-d ${printAddress(ip)}/${bits}${protoMatch}${portMatch}`;
  }

  /**
   * Matches the packets of one passage to an endpoint by the destination that they were sent to.
   * @param more number of ports after those of the passage that are matched, too
   */
  byOriginalDestination(passage: Passage, more = 0): string {
    const { endpoint, proto, listen } = passage;
    const port = this.originalPort(passage);
    if (listen === null || port === null)
      return `${this.byAddress(passage, more)} -m conntrack ! --ctstate DNAT`;
    const address = listen.address === null ? "" : ` --ctorigdst ${listen.address}`;
    const original = `-m conntrack --ctstate DNAT${address} --ctorigdstport ${portsOption(port, more)} --ctdir ORIGINAL`;
    // Without the container's address the rule stays valid when Docker assigns another one.
    const container = containerAt(this.host, endpoint!.ip);
    if (container === null || container.fixed) return `${this.byAddress(passage, more)} ${original}`;
    return `${proto === null ? "" : `-p ${protoName(proto)}`} ${original}`;
  }

  /** Returns the port that `byOriginalDestination` matches; `null` for packets that are not translated. */
  originalPort(passage: Passage): number | null {
    const port = passage.listen?.port ?? null;
    return port === null || this.isDirect(passage) ? null : port;
  }

  /** Returns whether all packets of a passage are sent to the container's own address. */
  isDirect({ all, endpoint }: Passage): boolean {
    const { domain } = this.audit;
    return domain.diagrams.subtract(all, domain.set(is("dst", endpoint!.ip))) === EMPTY;
  }

  /** Matches packets from the containers of a bridge. Excludes its outside ports if rules can match them. */
  fromContainers(bridge: string): string {
    const ports = showsInputPorts(this.host, bridge, this.audit.family)
      ? bridgePorts(this.host, bridge).outside
      : [];
    return `-i ${bridge}${ports.map((port) => ` -m physdev ! --physdev-in ${port}`).join("")}`;
  }

  /** Returns the matches of a passage's packets that the owner's own DNAT rules translate, one for each translation. */
  byTranslation(passage: Passage): string[] {
    const { diagrams } = this.audit.domain;
    const matches = new Set<string>();
    for (const state of this.translated) {
      const set = diagrams.intersect(state.set, passage.all);
      if (set !== EMPTY) matches.add(this.translationMatch({ ...state, set }));
    }
    return [...matches];
  }

  private translationMatch(state: SetState): string {
    const { family, domain } = this.audit;
    const single = (field: Field): Scalar | undefined => {
      const [range, ...more] = domain.valueRanges(state.set, field);
      return range !== undefined && more.length === 0 && range[0] === range[1] ? range[0] : undefined;
    };
    const [proto, port, address] = [single("proto"), single("dport"), single("dst")];
    const newPort = valueIn(state, "dport") ?? port;
    const name = proto === undefined ? "" : protoName(proto as number);
    const matchesPort = proto !== undefined && newPort !== undefined && hasPorts(proto as number);
    return [
      `-d ${printAddress(valueIn(state, "dst") as Address)}/${addressBits(family)}`,
      ...(proto === undefined ? [] : [`-p ${name}`]),
      ...(matchesPort ? [`-m ${name} --dport ${newPort}`] : []),
      "-m conntrack --ctstate DNAT",
      ...(address === undefined ? [] : [`--ctorigdst ${printAddress(address as Address)}`]),
      ...(port === undefined ? [] : [`--ctorigdstport ${port}`]),
      "--ctdir ORIGINAL",
    ].join(" ");
  }

  /** Packets from outside with a translated destination, as FORWARD sees them. */
  private get translated(): readonly SetState[] {
    const { full } = this.audit;
    this.translatedStates ??= statesAt(full, "FORWARD", (observe) =>
      full.arrive(full.start(fromOutside(this.host)), observe),
    ).filter((state) => valueIn(state, "dst") !== undefined);
    return this.translatedStates;
  }
}
