import { print } from "../output.ts";

/**
 * Completion scripts. Each calls fwcheck for the candidates, so that no script lists commands or flags, and completes
 * files if there are none. yargs adds descriptions if SHELL is zsh or fish.
 */
const SCRIPTS = {
  bash: `# fwcheck's completion for bash, for instance: source <(fwcheck completion bash)
_fwcheck() {
  local word=\${COMP_WORDS[COMP_CWORD]} found
  found=$(SHELL=bash fwcheck --get-yargs-completions "\${COMP_WORDS[@]:0:COMP_CWORD+1}" 2>/dev/null)
  local IFS=$'\\n'
  COMPREPLY=($(compgen -W "$found" -- "$word"))
}
complete -o bashdefault -o default -F _fwcheck fwcheck
`,
  zsh: `#compdef fwcheck
# fwcheck's completion for zsh, for instance: source <(fwcheck completion zsh), after compinit
_fwcheck() {
  local -a found
  found=("\${(@f)$(SHELL=zsh fwcheck --get-yargs-completions "\${(@)words[1,CURRENT]}" 2>/dev/null)}")
  found=("\${(@)found:#}")
  if (( \${#found} )); then
    _describe fwcheck found
  else
    _files
  fi
}
if [[ \${zsh_eval_context[-1]} == loadautofunc ]]; then
  _fwcheck "$@"
else
  compdef _fwcheck fwcheck
fi
`,
  fish: `# fwcheck's completion for fish, for instance: fwcheck completion fish | source
function __fwcheck_complete
  set -l word (commandline -ct)
  set -l found (SHELL=fish fwcheck --get-yargs-completions (commandline -opc) "$word" 2>/dev/null)
  if set -q found[1]
    printf '%s\\n' $found
  else
    __fish_complete_path "$word"
  end
end
complete -c fwcheck -f -a '(__fwcheck_complete)'
`,
} as const;

/** Runs `fwcheck completion`: prints the script for a shell. */
export function run({ shell }: { readonly shell: keyof typeof SCRIPTS }): number {
  print(SCRIPTS[shell]);
  return 0;
}
