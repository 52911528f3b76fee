"""Names of options in messages: the library says ``store=``, the command line ``--store``."""

import re

import click

__all__ = ["with_options"]

# Arguments of the library whose options have another name than they.
_OTHER_NAMES = {"gpu_proc": "--gpu", "diff_location": "--diff-plots", "extensions": "--extension"}
# An argument, and how its value begins: with nothing, a digit, or True, which an option does not repeat.
_ARGUMENT = re.compile(r"(?<![\w/.=?&-])([a-z][a-z_]*)=(?:True\b|(?=(\d))|(?![\w/.\"'=]))")


def with_options(message: str, group: click.Group, command: str | None) -> str:
    """Name options in place of arguments.

    Parameters
    ----------
    message
        What an error of the library says.
    group
        The commands; their options are named by the parameters that they fill.
    command
        Name of the command that failed, whose options count first.

    Examples
    --------
    >>> several = click.Group("all", commands=[click.Command("find", params=[click.Option(["--block-size"])])])
    >>> with_options("use block_size=512 or less, or another client=", several, "find")
    'use --block-size 512 or less, or another client='
    """
    names = dict(_OTHER_NAMES)
    for name in sorted(group.commands, key=lambda name: name == command):
        if name == command or name != "difpy":  # its names are those of another program
            names |= {
                str(option.name): max(option.opts, key=len)
                for option in group.commands[name].params
                if isinstance(option, click.Option)
            }

    def named(match: re.Match[str]) -> str:
        option = names.get(match[1])
        return match[0] if option is None else f"{option} " if match[2] else option

    return _ARGUMENT.sub(named, message)
