/** Returns the maximum resident set size of this process in MB. */
export const megabytes = (): number => Math.round(process.resourceUsage().maxRSS / 1024);

/** Returns the CPU time of a function in nanoseconds: the least of several runs. */
export const leastCpu = (times: number, run: () => void): number =>
  Math.min(
    ...Array.from({ length: times }, () => {
      const start = process.cpuUsage();
      run();
      const { user, system } = process.cpuUsage(start);
      return (user + system) * 1000;
    }),
  );
