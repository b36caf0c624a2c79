import { readFileSync } from "node:fs";
import { audit, fix, readHost, readPacket, readRuleset, simulate } from "fwcheck";

const file = (name: string) => ({
  name,
  text: readFileSync(new URL(`ufw-docker-20.10/${name}`, import.meta.url), "utf8"),
});

const { rulesets } = readRuleset([file("iptables-save.txt"), file("ip6tables-save.txt")]);
const host = readHost({ addr: [file("addr.json")], docker: [file("docker-inspect.json")] }, rulesets);

const packet = readPacket({
  in: "eth0",
  src: "203.0.113.2",
  dst: "203.0.113.1",
  proto: "tcp",
  dport: 8080,
  flags: "S",
});
if (typeof packet === "string") throw new Error(packet);
console.log(simulate(rulesets, host, packet).verdict);
console.log(audit(rulesets, host).findings.map((finding) => finding.id));
console.log(fix(rulesets, host).restore);
