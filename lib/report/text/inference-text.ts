/** Sentences of what was inferred about a host. They contain names from the inputs; escape them before printing. */
import type { HostInference } from "../../host/inference.ts";

/** Returns a fact about a host that was inferred. */
export function inferenceText(inference: HostInference): string {
  switch (inference.code) {
    case "bridge-subnet": {
      const source = inference.source === "docker-network" ? "docker network inspect" : "its MASQUERADE rule";
      return `${inference.bridge} is a container bridge with ${inference.subnet} (from ${source}), its own address taken to be ${inference.address}`;
    }
    case "bridge-without-subnet": {
      const { bridge, containers } = inference;
      const known = containers.length > 0 ? `, only ${containers.join(", ")} behind it` : "";
      return `${bridge} is a container bridge (from Docker's rules); its subnet is not known${known}`;
    }
    case "outside-interfaces":
      return `outside interfaces: ${inference.interfaces.join(", ")} (${evidenceText(inference)}); ${inference.main} has the default route and an address of the host's, written ${inference.addresses.join(" and ")} because none was given`;
    case "own-address":
      return `${inference.address} is taken to be an address of this host, on ${inference.interface} (no --addr was given)`;
    case "interface-down":
      return `${inference.interface} is down: nothing is routed by it`;
    case "vrf-port":
      return `${inference.interface} is a port of the VRF ${inference.vrf}: its subnets are in the table of the VRF`;
    case "default-route": {
      const which = inference.family === null ? "" : ` of IPv${inference.family}`;
      return `the default route${which} leads out of ${inference.interface} (no --route${which} was given)`;
    }
    case "policy-rules-ipv6":
      return "the rules of policy routing are taken for IPv6's (no address in them and no table default)";
    case "table-not-looked-up":
      return `table ${inference.table} and other tables are not looked up (no ip rule was given)`;
    case "forwarding":
      return "the host forwards packets (net.ipv4.ip_forward = 1; no --sysctl was given)";
  }
}

/** Returns the evidence that interfaces lead outside. */
function evidenceText({
  named,
  namedBy,
  main,
}: Extract<HostInference, { code: "outside-interfaces" }>): string {
  if (named.length === 0) return "the usual name";
  const by = namedBy === "rules" ? "named by the rules" : "named by the rules or the packet";
  return named.includes(main) ? by : `${named.join(", ")} ${by}, ${main} the usual name`;
}
