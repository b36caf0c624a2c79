/** Chains of policies: each distinct policy gets one chain, which all its endpoints share. */
import { protoName } from "../packet/field.ts";
import { policyChain } from "./chain-names.ts";
import { type PolicyRule, policyKey } from "./policy-printer.ts";

/** Creates the chains of policies when they are first used. */
export class PolicyChains {
  /** Chains with their rules, without `-A CHAIN`, in the order of their numbers. */
  readonly chains = new Map<string, readonly string[]>();
  private readonly names = new Map<string, string>();

  /**
   * Returns the target of a rule that applies a policy: the verdict of a policy with one rule, else a goto to its chain.
   * @param proto the protocol that the rule matches
   */
  targetOf(policy: readonly PolicyRule[], proto: number | null = null): string {
    const [only, ...more] = policy;
    const protoMatch = proto === null ? "" : ` -p ${protoName(proto)}`;
    // A called chain returns, and such packets must leave our chains too.
    const isVerdict = only !== undefined && ["accept", "drop", "reject"].includes(only.kind);
    if (isVerdict && more.length === 0 && ["", protoMatch].includes(only.matches)) return only.target;
    return `-g ${this.chainOf(policy)}`;
  }

  /**
   * Returns the name of a policy's chain.
   * @param first rules in front of the policy
   */
  chainOf(policy: readonly PolicyRule[], first: readonly string[] = []): string {
    const key = `${first.join("\n")}\n${policyKey(policy)}`;
    let name = this.names.get(key);
    if (name === undefined) {
      name = policyChain(this.names.size + 1);
      this.names.set(key, name);
      // Reserves its place before the chains that its rules go to.
      this.chains.set(name, []);
      this.chains.set(name, [
        ...first,
        ...policy.map(({ matches, kind, target, inner }) =>
          `${matches} ${kind === "once" ? this.targetOf(inner) : target}`.trim(),
        ),
      ]);
    }
    return name;
  }
}
