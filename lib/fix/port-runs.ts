/** Runs of consecutive ports, which one rule, one line of `--cut` or one exemption covers. */

/** Items of one run have the same key, and each port of an item follows that of the item before. */
export interface RunMember {
  /** Everything apart from ports that items of a run have in common. */
  readonly key: string;
  /** Ports of the item, such as that of the container and that of the host; without any it is a run of its own. */
  readonly ports: readonly number[];
}

/** Groups items into runs, sorted by port; the runs are in the order of their first items. */
export function portRuns<T>(items: readonly T[], memberOf: (item: T) => RunMember): T[][] {
  const byKey = new Map<string, { item: T; ports: readonly number[]; at: number }[]>();
  const runs: { at: number; items: T[] }[] = [];
  for (const [at, item] of items.entries()) {
    const { key, ports } = memberOf(item);
    if (ports.length === 0) runs.push({ at, items: [item] });
    else {
      const group = byKey.get(`${ports.length} ${key}`);
      const member = { item, ports, at };
      if (group === undefined) byKey.set(`${ports.length} ${key}`, [member]);
      else group.push(member);
    }
  }
  for (const group of byKey.values()) {
    group.sort((a, b) => a.ports[0]! - b.ports[0]!);
    let run: (typeof runs)[number] | undefined;
    let last: readonly number[] = [];
    for (const { item, ports, at } of group) {
      if (run !== undefined && ports.every((port, i) => port === last[i]! + 1)) {
        run.items.push(item);
        run.at = Math.min(run.at, at);
      } else runs.push((run = { at, items: [item] }));
      last = ports;
    }
  }
  return runs.sort((a, b) => a.at - b.at).map((run) => run.items);
}

/** Prints a port and those that follow it as options of iptables do. */
export const portsOption = (first: number, more: number): string =>
  more === 0 ? `${first}` : `${first}:${first + more}`;
