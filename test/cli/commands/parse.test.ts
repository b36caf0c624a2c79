/** `fwcheck parse` of nftables; its iptables side is tested with the command line as a whole. */
import { afterAll, expect, test } from "vitest";
import { Program } from "../program.ts";

const program = new Program();
afterAll(() => program.remove());

const LISTING = `table inet filter {
	set admins {
		type ipv4_addr
		elements = { 10.0.0.1, 10.0.0.2 }
	}

	chain input {
		type filter hook input priority filter; policy drop;
		ip saddr @admins tcp dport 22 accept comment "ssh"
	}
}
`;

test("prints a listing of nft as it is", async () => {
  const { code, out, err } = await program.run(["parse", program.file("listing.nft", LISTING)]);
  expect([code, err]).toEqual([0, ""]);
  expect(out).toBe(LISTING);
});

test("prints a file for nft -f in the format of nft", async () => {
  const text =
    "#!/usr/sbin/nft -f\nflush ruleset\ntable ip x { chain y { tcp dport { ssh,80 } accept; }; }\n";
  const { code, out, err } = await program.run(["parse", program.file("nftables.conf", text)]);
  expect([code, err]).toEqual([0, ""]);
  expect(out).toBe(
    "#!/usr/sbin/nft -f\nflush ruleset\ntable ip x {\n\tchain y {\n\t\ttcp dport { ssh, 80 } accept\n\t}\n}\n",
  );
});

test("prints a JSON document that names the language", async () => {
  const { code, out } = await program.run(["parse", program.file("listing.nft", LISTING), "--json"]);
  expect(code).toBe(0);
  expect(JSON.parse(out)).toMatchObject({
    version: 1,
    language: "nftables",
    entries: [
      {
        kind: "table",
        family: "inet",
        entries: [
          { kind: "set", elements: { length: 2 } },
          { kind: "chain", rules: [{ line: 9, column: 3, comment: "ssh", statements: { length: 3 } }] },
        ],
      },
    ],
  });
});

test("reports syntax errors and names that do not exist, with exit code 2", async () => {
  const text = LISTING.replace("@admins", "@nobody").replace('comment "ssh"', "frob");
  const file = program.file("broken.nft", text);
  const { code, out, err } = await program.run(["parse", file]);
  expect(code).toBe(2);
  expect(err).toContain(`${file}:9:40: error: expected a statement after accept: "frob"\n`);
  expect(err).toMatch(/broken\.nft:9:\d+: \w+: set @nobody does not exist/);
  expect(out).toContain("accept frob\n");
});
