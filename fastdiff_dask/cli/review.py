"""The command ``review``: a page on which to look, to mark, to apply and to undo."""

import sys

import click

from ..text import printable
from .store_argument import store_argument

__all__ = ["review"]


@click.command()
@store_argument
@click.option(
    "--address", metavar="HOST:PORT", help="Where to listen; by default port 8789 of this machine alone, with a token."
)
@click.option("--no-browser", is_flag=True, help="Only print the address of the page.")
@click.option("--threshold", type=float, help="Largest difference, or value, of a pair; default: as it was shown last.")
def review(store: str, address: str | None, no_browser: bool, threshold: float | None) -> None:
    """Look at the groups that were found in STORE, on a page of this machine: mark, clean up, undo.

    It can be opened while find is still running, and shows what is found so far. Ctrl-C ends it.
    """
    from ..review.server import risk_of, serve
    from ..storage.store import Store

    risk, roots = risk_of(address), Store(store).roots
    folders = ", ".join(printable(folder) for side in ("a", "b") for folder in roots[side])

    def started(page: str) -> None:
        if risk is not None:
            click.echo(f"Careful: {risk}.", err=True)
        click.echo(f"Reviewing {folders} at {page}")

    browse = not no_browser and sys.stdout is not None and sys.stdout.isatty()
    serve(store, address, started, browse=browse, threshold=threshold)
