"""The entry point: finds the verb, parses its words, renders its errors as an exit code.

Exit codes: 0 done · 1 failed · 2 wrong usage · 3 not found · 4 timed out · 5 not allowed · 6 not
reachable ·
7 conflict · 10 differs (``plan``, ``diff``) · 130 interrupted.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from cloudwright import __version__

GROUPS: dict[str, dict[str, str]] = {
    "The platform": {
        "up": "start the platform on this machine",
        "down": "end it: containers, network, daemon",
        "status": "what runs and how it is",
        "doctor": "what this machine offers, and what is missing",
        "backup": "save objects, keys and settings to one file",
        "restore": "put a backup back",
    },
    "Objects": {
        "apply": "make objects as files say",
        "get": "show objects",
        "describe": "show one object with its conditions and events",
        "delete": "delete objects",
        "patch": "change fields of an object",
        "scale": "set the number of replicas",
        "wait": "wait until a condition holds",
        "explain": "show the fields of a kind",
        "diff": "what apply would change",
        "edit": "change an object in an editor",
    },
    "Workloads": {
        "logs": "show what containers print",
        "exec": "run a command in a container",
        "port-forward": "reach a pod's port from here",
        "rollout": "status, history, pause, resume, promote, abort, undo of a roll-out",
        "rollback": "bring a MicroService back to its last good version",
        "top": "CPU and memory of pods and nodes",
        "events": "what happened, newest last",
        "why": "the first cause: not scheduled, not ready, restarting, not routed",
    },
    "Images": {
        "build": "make an image from a folder",
        "images": "list, import, export and remove images",
    },
    "Other": {
        "operator": "the controllers alone, on any Kubernetes cluster",
        "mesh": "certificates and what each proxy is told",
        "filter": "filters of the data plane: new, check, test",
        "token": "tokens of service accounts, and the key that signs them",
        "completion": "shell completion for bash, zsh or fish",
        "version": "versions of client, native parts and server",
    },
}
ALIASES = {"image": "images", "describe-pod": "describe", "log": "logs", "rm": "delete"}


def verbs() -> dict[str, str]:
    """Every verb with its one line."""
    return {name: text for group in GROUPS.values() for name, text in group.items()}


def usage() -> str:
    """The text of ``cloudwright --help``."""
    lines = [
        "usage: cloudwright VERB [WORDS …]   (cloudwright VERB --help tells more)",
        "",
        "One YAML becomes running services on one machine.",
    ]
    for group, members in GROUPS.items():
        lines += ["", f"{group}:"]
        lines += [f"  {name:<14}{text}" for name, text in members.items()]
    lines += [
        "",
        "Everywhere: -n NAMESPACE  -A  -o table|wide|json|yaml|name|jsonpath=…  -l SELECTOR",
        "            --kubeconfig FILE  --context NAME  --state-dir DIR  --no-color  -v  -q",
    ]
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line; returns the exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    verb, rest = split(words)
    if verb in ("", "--help", "-h", "help"):
        if verb == "help" and rest:
            return main([*rest, "--help"])
        print(usage())
        return 0 if verb else 2
    if verb == "--version":
        print(f"cloudwright {__version__}")
        return 0
    verb = ALIASES.get(verb, verb)
    if verb not in verbs() and verb != "__complete":
        return _unknown(verb)
    from cloudwright.cli.command import run_verb

    return run_verb(verb, rest)


# Words that may stand before the verb and take a value.
_LEADING_VALUES = frozenset(
    ("-n", "--namespace", "--kubeconfig", "--context", "--state-dir", "-o", "--output")
)


def split(words: list[str]) -> tuple[str, list[str]]:
    """The verb and all other words; flags may stand before the verb as kubectl allows."""
    position = 0
    while position < len(words):
        word = words[position]
        if not word.startswith("-") or word in ("--help", "-h", "--version"):
            return word, words[:position] + words[position + 1 :]
        position += 2 if word in _LEADING_VALUES else 1
    return "", words


def _unknown(verb: str) -> int:
    from difflib import get_close_matches

    close = get_close_matches(verb, verbs(), 1)
    hint = f"did you mean `cloudwright {close[0]}`?" if close else "see `cloudwright --help`"
    print(f"error: there is no verb {verb!r}\nhint: {hint}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
