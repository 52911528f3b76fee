"""The argument STORE of the commands that look at a store: an address, the folders that were searched, or nothing."""

from typing import Any

import click

__all__ = [
    "complete_folders",
    "optional_store_argument",
    "single_store_argument",
    "store_argument",
    "stores_argument",
]


def _one_store(ctx: click.Context, param: click.Parameter, given: tuple[str, ...]) -> Any:
    if ctx.resilient_parsing:  # for completion
        return given
    from ..project.locations import store_of

    return store_of(given)


def _named_store(ctx: click.Context, param: click.Parameter, given: str) -> Any:
    return _one_store(ctx, param, (given,))


def _store_if_named(ctx: click.Context, param: click.Parameter, given: tuple[str, ...]) -> Any:
    return _one_store(ctx, param, given) if given else None


def _each_store(ctx: click.Context, param: click.Parameter, given: tuple[str, ...]) -> Any:
    return tuple(_one_store(ctx, param, (one,)) for one in given)


def complete_folders(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[Any]:
    """Let the shell complete the name of a folder."""
    from click.shell_completion import CompletionItem

    return [CompletionItem(incomplete, type="dir")]


def _argument(name: str, metavar: str, callback: Any, required: bool = False) -> Any:
    return click.argument(
        name, metavar=metavar, nargs=-1, required=required, callback=callback, shell_complete=complete_folders
    )


# The function gets the address as ``store``.
store_argument = _argument("store", "[STORE | DIR...]", _one_store)
optional_store_argument = _argument("store", "[STORE | DIR...]", _store_if_named)
# The same for commands whose further arguments are something else.
single_store_argument = click.argument("store", metavar="STORE", callback=_named_store, shell_complete=complete_folders)
# The function gets the addresses as ``stores``.
stores_argument = _argument("stores", "STORE...", _each_store, required=True)
