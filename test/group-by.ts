/** Defines `Object.groupBy`, which the validation of chevrotain needs and Node 20 does not have. */
if (!("groupBy" in Object))
  Object.defineProperty(Object, "groupBy", {
    value: <T>(items: Iterable<T>, key: (item: T, i: number) => PropertyKey): object => {
      const groups = new Map<PropertyKey, T[]>();
      let i = 0;
      for (const item of items) {
        const k = key(item, i++);
        groups.set(k, [...(groups.get(k) ?? []), item]);
      }
      return Object.fromEntries(groups);
    },
  });
