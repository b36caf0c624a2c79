import { defineCommand } from "../command.ts";

export const command = defineCommand({
  positionals: {
    shell: {
      choices: ["bash", "zsh", "fish"],
      demandOption: true,
      describe: "shell to print the script for",
    },
  },
  flags: {},
  examples: [
    ["In ~/.bashrc", "source <(fwcheck completion bash)"],
    ["In ~/.zshrc, after compinit", "source <(fwcheck completion zsh)"],
    ["Once", "fwcheck completion fish > ~/.config/fish/completions/fwcheck.fish"],
  ],
  run: async (args) => (await import("../commands/completion.js")).run(args),
});
