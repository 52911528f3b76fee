"""Names of options in messages: the library says ``store=``, the command line ``--store``."""

import re

import click

__all__ = ["with_options"]

# An argument, and how its value begins: with nothing, a digit, or True, which an option does not repeat.
_ARGUMENT = re.compile(r"(?<![\w/.=?&-])([a-z][a-z_]*)=(?:True\b|(?=(\d))|(?![\w/.\"'=]))")


def with_options(message: str, group: click.Group, command: str | None) -> str:
    """Name options in place of arguments.

    Parameters
    ----------
    message
        What an error of the library says.
    group
        The commands, whose options tell which arguments they fill.
    command
        Name of the command that failed, whose options count first.

    Returns
    -------
    The message with options.

    Examples
    --------
    >>> several = click.Group("all", commands=[click.Command("find", params=[click.Option(["--block-size"])])])
    >>> with_options("use block_size=512 or less, or another client=", several, "find")
    'use --block-size 512 or less, or another client='
    """
    from .options import arguments_of

    names: dict[str, str] = {}
    for name in sorted(group.commands, key=lambda name: name == command):
        if name == command or name != "difpy":  # its names are those of another program
            params = group.commands[name].get_params(click.Context(group.commands[name]))
            options = [param for param in params if isinstance(param, click.Option)]
            # of several options for one argument, the first one
            names |= {
                argument: max(option.opts, key=len) for option in options[::-1] for argument in arguments_of(option)
            }

    def named(match: re.Match[str]) -> str:
        option = names.get(match[1])
        return match[0] if option is None else f"{option} " if match[2] else option

    return _ARGUMENT.sub(named, message)
