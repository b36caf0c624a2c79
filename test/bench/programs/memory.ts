/** Returns the maximum resident set size of this process in MB. */
export const megabytes = (): number => Math.round(process.resourceUsage().maxRSS / 1024);
