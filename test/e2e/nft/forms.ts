/** The forms of a fix for nftables: how a person applies and removes each. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { FOLDER } from "../lab.ts";
import { type Fix, listing, onHost } from "./capture-host.ts";
import { check } from "./record.ts";

export const STRATEGIES = ["internal-ip", "conntrack", "ipset"] as const;
export const FORMS = ["nft", "script", "systemd"] as const;

export type Strategy = (typeof STRATEGIES)[number];
export type Form = (typeof FORMS)[number];

const SCRIPT = "/usr/local/sbin/fwcheck-fix";
const HERE = { nft: join(FOLDER, "fwcheck.nft"), script: join(FOLDER, "fix.sh") } as const;

/** Paths of the file for `nft -f` and of the script. */
export const { nft: NFT_FILE, script: SCRIPT_FILE } = HERE;

/** Writes the files of a fix. */
export function save(fix: Fix): void {
  writeFileSync(HERE.nft, fix.nft);
  writeFileSync(HERE.script, fix.script);
}

/** Command of a form. */
export function command(fix: Fix, form: Form): string {
  if (form === "nft") return `nft -f ${HERE.nft}`;
  if (form === "script") return `sh ${HERE.script}`;
  const start = /^ExecStart=(.*)$/m.exec(fix.unit)?.[1] ?? "";
  if (!start.startsWith(`/bin/sh ${SCRIPT}`)) throw new Error(`the unit starts ${start}`);
  return start.replace(SCRIPT, HERE.script);
}

/** Puts a fix into force, twice, which must come to the same. */
export function apply(what: string, fix: Fix, form: Form): void {
  save(fix);
  onHost(command(fix, form));
  const once = listing();
  onHost(command(fix, form));
  check(`${what}: twice is as once`, listing() === once);
  if (form !== "nft") check(`${what}: --check`, onHost(`sh ${HERE.script} --check`).trim() === "in force");
}

/** Removes a fix as its form says. */
export function undo(fix: Fix, form: Form): void {
  const commands = form === "nft" ? fix.undo : [`sh ${HERE.script} --undo`];
  for (const line of commands) onHost(line);
}
