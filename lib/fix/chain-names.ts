/** Names of the chains and rules that a fix adds. */
import { DOCKER_USER } from "../host/known/docker.ts";
import { calledChain, type Rule } from "../rules/ruleset.ts";

/** Chain that DOCKER-USER jumps to. A fix changes no other rules of DOCKER-USER. */
export const CHAIN = "FWCHECK";

/** Returns the name of a policy chain. */
export const policyChain = (number: number): string => `${CHAIN}-${number}`;

/** Returns whether a fix creates chains of this name. */
export const isOurs = (chain: string): boolean => chain === CHAIN || /^FWCHECK-\d+$/.test(chain);

/** Returns whether a rule jumps to a chain of ours. */
export const callsOurs = ({ calledChains }: Rule): boolean => calledChains.some(isOurs);

/** Rule of FORWARD that calls DOCKER-USER where Docker adds no such call; the comment distinguishes it from Docker's. */
export const HOOK = `-m comment --comment fwcheck -j ${DOCKER_USER}`;

/** Returns whether a rule is the call of DOCKER-USER that a fix added. */
export const isHook = (rule: Rule): boolean =>
  rule.chain === "FORWARD" &&
  calledChain(rule) === DOCKER_USER &&
  rule.reading.comments?.includes("fwcheck") === true;
