"""Names of options in messages: the library says ``store=``, the command line ``--store``, or STORE."""

import re

import click

__all__ = ["with_options"]

# An argument, and how its value begins: with nothing, a number, a text, or True, which an option does not repeat.
_ARGUMENT = re.compile(r"(?<![\w/.=?&'\"-])([a-z][a-z_]*)=(?:True\b|(?=(-?(?:\d|inf\b|nan\b)|'))|(?![\w/.\"=]))")


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
    names: dict[str, str] = {}
    with_value: dict[str, str] = {}
    for name in sorted(group.commands, key=lambda name: name == command):
        if name == command or name != "difpy":  # its names are those of another program
            params = group.commands[name].get_params(click.Context(group.commands[name]))
            if name == command:
                names |= {str(one.name): str(one.name).upper() for one in params if isinstance(one, click.Argument)}
            names |= _names(params)
            with_value |= _names([param for param in params if not getattr(param, "is_flag", False)])

    def named(match: re.Match[str]) -> str:
        name, value = match[1], match[2]
        if name not in names:
            return match[0]
        return f"{with_value.get(name, names[name])} " if value else names[name]

    return _ARGUMENT.sub(named, message)


def _names(params: list[click.Parameter]) -> dict[str, str]:
    """Names on the command line by argument; of several options for one argument, the first one."""
    from ..options import arguments_of

    options = [param for param in params if isinstance(param, click.Option)]
    return {argument: max(one.opts, key=len) for one in options[::-1] for argument in arguments_of(one)}
