/** Entry point of the processes that audit several hosts; the argument is that of `serveAudits`. */
const { serveAudits } = await import("./commands/audit.js");
serveAudits(process.argv[2]!);
