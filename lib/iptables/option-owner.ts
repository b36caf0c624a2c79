/** Finds the extension that owns an option of a rule by its name. */
import type { Extension, Options } from "./extension.ts";

/** Long options of iptables(8) that are not in HEADER. Their abbreviations are ambiguous. */
const COMMAND_OPTIONS: readonly string[] =
  `--append --check --delete --delete-chain --exact --flush --goto --help --insert --ipv4 --ipv6 --jump --line-numbers
  --list --list-rules --match --modprobe --new-chain --numeric --policy --rename-chain --replace --set-counters --table
  --verbose --version --wait --wait-interval --zero`.split(/\s+/);

/** An extension that may own options. */
interface Owner {
  readonly extension: Extension<Options>;
}

/** An extension and the key of one of its options. */
export interface OwnedOption<T extends Owner> {
  readonly owner: T;
  readonly key: string;
}

/**
 * Finds the owner of an option. An exact name is looked up in the header first, then from the extension loaded last to
 * the first one. Otherwise an unambiguous abbreviation of a long name counts, as in getopt_long(3).
 */
export function findOwner<T extends Owner>(name: string, loaded: readonly T[]): OwnedOption<T> | undefined {
  for (let i = 0; i < loaded.length; i++) {
    const owner = loaded[i === 0 ? 0 : loaded.length - i]!;
    const key = optionNames(owner.extension).get(name);
    if (key !== undefined) return { owner, key };
  }
  if (!name.startsWith("--") || name.length < 3 || COMMAND_OPTIONS.some((other) => other.startsWith(name)))
    return undefined;
  let found: OwnedOption<T> | undefined;
  for (const owner of loaded)
    for (const [each, key] of optionNames(owner.extension)) {
      if (!each.startsWith(name) || (found?.owner === owner && found.key === key)) continue;
      if (found !== undefined) return undefined;
      found = { owner, key };
    }
  return found;
}

const namesByExtension = new WeakMap<Extension<Options>, ReadonlyMap<string, string>>();

/** Returns the keys of an extension's options by name and alias. */
function optionNames(extension: Extension<Options>): ReadonlyMap<string, string> {
  let names = namesByExtension.get(extension);
  if (names === undefined) {
    const entries = Object.entries(extension.options);
    names = new Map(
      entries.flatMap(([key, spec]) => [spec.name, ...spec.aliases].map((each) => [each, key] as const)),
    );
    namesByExtension.set(extension, names);
  }
  return names;
}
