"""`descentlab --print_completion SHELL`: a script by which a shell completes what is typed.

It names the commands, the flags of each and the shipped configs as they are when it is printed, so
that nothing has to be started at a press of the Tab key. (shtab, through jsonargparse, takes
minutes: it writes out the options of every class that could stand at every flag.)
"""

import argparse
from collections.abc import Mapping, Sequence
from typing import Any

from jsonargparse import ArgumentParser

from . import commands
from .configs import shipped
from .first_page import flags_of

_BASH = """_descentlab() {
    local before="${COMP_WORDS[COMP_CWORD-1]}" words=""
    case "$COMP_CWORD $before" in
        1\\ *) words="COMMANDS" ;;
        *\\ -c|*\\ --config) words="CONFIGS" ;;
        *) case "${COMP_WORDS[1]}" in
CASES
        esac ;;
    esac
    COMPREPLY=($(compgen -W "$words" -- "${COMP_WORDS[COMP_CWORD]}"))
}
complete -o default -F _descentlab descentlab
"""
_ZSH = "autoload -Uz compinit bashcompinit\ncompinit\nbashcompinit\n"


class PrintCompletion(argparse.Action):
    """The flag `--print_completion`: print the script of a shell."""

    def __init__(self, option_strings: list[str], **_: Any) -> None:
        super().__init__(
            option_strings,
            dest=argparse.SUPPRESS,
            default=argparse.SUPPRESS,
            choices=tuple(SCRIPTS),
            help="Print a script for the start-up file of a shell, by which it completes commands, "
            "flags and configs.",
        )

    def __call__(self, parser: Any, namespace: Any, values: Any, option: str | None = None) -> None:
        """Print the script, and end the command."""
        every = parser._subcommands_action.choices
        found = {name: _flags(each) for name, each in every.items()}
        print(SCRIPTS[values](found, list(shipped())), end="")
        argparse.ArgumentParser.exit(parser)


def _flags(parser: Any) -> list[str]:
    """Return the flags of a command; none of one that has a parser of its own."""
    if parser.description in commands.ABOUT_OTHERS.values():
        return []
    return sorted(flag for flag in flags_of(parser) if "+" not in flag)


def add_commands(parser: Any) -> None:
    """Have the parser of all commands know those that are answered without it."""
    parser.add_argument("--print_completion", action=PrintCompletion)
    for name, about in commands.ABOUT_OTHERS.items():
        other = ArgumentParser(description=about)
        parser._subcommands_action.add_subcommand(name, other, help=about)


def bash(flags: Mapping[str, Sequence[str]], configs: Sequence[str]) -> str:
    """Return the script for bash.

    Args:
        flags: of each command.
        configs: what `--config` may be given, beside files.
    """
    cases = [f'            {name}) words="{" ".join(each)}" ;;' for name, each in flags.items()]
    script = _BASH.replace("COMMANDS", " ".join(flags)).replace("CONFIGS", " ".join(configs))
    return script.replace("CASES", "\n".join(cases))


def zsh(flags: Mapping[str, Sequence[str]], configs: Sequence[str]) -> str:
    """Return the script for zsh, which reads bash's."""
    return _ZSH + bash(flags, configs)


def fish(flags: Mapping[str, Sequence[str]], configs: Sequence[str]) -> str:
    """Return the script for fish."""
    start = "complete -c descentlab"
    lines = [f"{start} -n __fish_use_subcommand -f -a {name}" for name in flags]
    for name, each in flags.items():
        inside = f"{start} -n '__fish_seen_subcommand_from {name}'"
        lines += [f"{inside} -l {flag.lstrip('-')}" for flag in each if flag.startswith("--")]
        if "--config" in each:
            lines.append(f"{inside} -l config -s c -r -a '{' '.join(configs)}'")
    return "\n".join(lines) + "\n"


SCRIPTS = {"bash": bash, "zsh": zsh, "fish": fish}
