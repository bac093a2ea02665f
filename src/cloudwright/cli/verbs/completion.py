"""Shell completion: source <(cloudwright completion bash)   (also zsh and fish)

Completes verbs, flags, kinds and the names of objects.
"""

from __future__ import annotations

import argparse

from cloudwright.cli.terminal import Terminal

BASH = """# bash completion for cloudwright and cw
_cloudwright() {
  local IFS=$'\\n'
  COMPREPLY=($(cloudwright __complete "$COMP_CWORD" "${COMP_WORDS[@]}" 2>/dev/null))
}
complete -o default -F _cloudwright cloudwright cw
"""
ZSH = """#compdef cloudwright cw
_cloudwright() {
  local -a found
  found=(${(f)"$(cloudwright __complete $((CURRENT - 1)) "${words[@]}" 2>/dev/null)"})
  compadd -a found || _files
}
compdef _cloudwright cloudwright cw
"""
FISH = """# fish completion for cloudwright and cw
function __cloudwright
  set -l words (commandline -opc) (commandline -ct)
  cloudwright __complete (math (count $words) - 1) $words 2>/dev/null
end
complete -c cloudwright -f -a '(__cloudwright)'
complete -c cw -f -a '(__cloudwright)'
"""
SCRIPTS = {"bash": BASH, "zsh": ZSH, "fish": FISH}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of ``completion``."""
    parser.add_argument("shell", choices=tuple(SCRIPTS))


def run(args: argparse.Namespace, terminal: Terminal) -> int:
    """Print the script."""
    terminal.data(SCRIPTS[args.shell].rstrip())
    return 0
