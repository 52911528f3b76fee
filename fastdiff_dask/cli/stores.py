"""The commands ``stores``, which lists what there is, and ``stores remove``."""

import json
import sys

import click

from ..errors import UsageError
from ..text import counted, file_size, printable
from .store_argument import stores_argument

__all__ = ["stores"]


@click.group(invoke_without_command=True)
@click.option("--json", "as_json", is_flag=True, help="Print the list as JSON.")
@click.pass_context
def stores(ctx: click.Context, as_json: bool) -> None:
    """List the stores that you have: folders, images, size, last use, how far the work is, and the address.

    A store holds what find has made of your pictures: thumbnails, comparisons and decisions, never a picture.
    """
    if ctx.invoked_subcommand is not None:
        return
    from ..outputs.store_state import describe_known, known_state
    from ..project.locations import stores_here

    found = [known_state(*one) for one in stores_here()]
    if as_json:
        click.echo(json.dumps(found, indent=1))
        return
    for one in found:
        click.echo(describe_known(one))
    if not found:
        click.echo("There are no stores yet; fastdiff-dask find DIR makes one.")
        return
    size = file_size(sum(one["bytes"] or 0 for one in found))
    click.echo(
        f"{counted(len(found), 'store')}, {size}. fastdiff-dask stores remove STORE... removes, never a picture."
    )


@stores.command()
@stores_argument
@click.option("--yes", is_flag=True, help="Do not ask.")
def remove(stores: tuple[str, ...], yes: bool) -> None:
    """Remove each STORE: the work of find, with decisions and calibrations; never a picture.

    STORE is the address of a store, or the folder that find has searched. A folder with other files in it is refused.
    What apply has moved can still be brought back by undo.
    """
    from ..outputs.store_state import describe_known, known_state
    from ..project.known_stores import forget_store
    from ..project.locations import stores_here
    from ..storage.cleanup import check_removable, remove_store

    known = {one.url: one for one in stores_here()}
    for url in stores:
        check_removable(url)
    if not yes:
        for url in stores:
            click.echo(describe_known(known_state(*known[url])) if url in known else printable(url))
        if sys.stdin is None or not sys.stdin.isatty():
            raise UsageError(f"nothing was removed: {counted(len(stores), 'store')}, see above; --yes removes")
        if not click.confirm(f"Remove {counted(len(stores), 'store')}? No picture is touched"):
            raise UsageError("nothing was removed")
    for url in stores:
        remove_store(url)
        forget_store(url)
        click.echo(f"Removed: {printable(url)}")
