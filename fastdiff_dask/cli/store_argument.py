"""The argument STORE of the commands that look at a store: an address, the folders that were searched, or nothing."""

from typing import Any

import click

__all__ = ["optional_store_argument", "store_argument", "stores_argument"]


def _one_store(ctx: click.Context, param: click.Parameter, given: tuple[str, ...]) -> Any:
    if ctx.resilient_parsing:  # for completion
        return given
    from ..project.locations import store_of

    return store_of(given)


def _store_if_named(ctx: click.Context, param: click.Parameter, given: tuple[str, ...]) -> Any:
    return _one_store(ctx, param, given) if given else None


def _each_store(ctx: click.Context, param: click.Parameter, given: tuple[str, ...]) -> Any:
    return tuple(_one_store(ctx, param, (one,)) for one in given)


# The function gets the address as ``store``.
store_argument = click.argument("store", metavar="[STORE | DIR...]", nargs=-1, callback=_one_store)
optional_store_argument = click.argument("store", metavar="[STORE | DIR...]", nargs=-1, callback=_store_if_named)
# The function gets the addresses as ``stores``.
stores_argument = click.argument("stores", metavar="STORE...", nargs=-1, required=True, callback=_each_store)
