"""The commands that look at a store: status, dashboard, report, export."""

import click

__all__ = ["report"]


@click.command()
@click.argument("store")
def status(store: str) -> None:
    """Show the finished work and the work that is left in STORE, with a map of the tiles."""
    from ..outputs.terminal import describe_store

    click.echo(describe_store(store))


@click.command()
@click.argument("store")
@click.option("--address", metavar="HOST:PORT", help="Where to listen; by default port 8788 of this machine alone.")
def dashboard(store: str, address: str | None) -> None:
    """Serve a live page of STORE, while another process works on it. Ctrl-C ends it."""
    from ..dashboard.server import serve

    serve(store, address, lambda page: click.echo(f"Watching {store} at {page}"))


@click.command()
@click.argument("store")
@click.argument("target")
@click.option(
    "--what",
    "table",
    type=click.Choice(["images", "pairs", "clusters", "errors"]),
    help="Table to write; default: pairs in a file, all in a folder.",
)
@click.option("--format", "form", type=click.Choice(["parquet", "csv", "json"]), help="For a folder; default: parquet.")
@click.option(
    "--threshold", type=float, help="Largest MSE, or value, of a pair; default: that of the result that was shown last."
)
@click.option("--comparison", metavar="NAME", help="Which comparison; default: that of the result that was shown last.")
@click.option("--password-file", metavar="FILE", help="First line: the password of the database.")
@click.option("--ask-password", is_flag=True, help="Ask for the password of the database.")
@click.option("--force", is_flag=True, help="Replace a file or tables that no export wrote.")
def export(
    store: str,
    target: str,
    table: str | None,
    form: str | None,
    threshold: float | None,
    comparison: str | None,
    password_file: str | None,
    ask_password: bool,
    force: bool,
) -> None:
    """Write the tables of STORE to TARGET: a file, a folder, or a database.

    TARGET ends in .parquet, .csv or .json for one table, is a folder for several, or an address like
    sqlite:///diff.db or mysql+pymysql://user@host/database for all four. The pictures need not be there. The password
    of a database is asked for, in a file, in the environment variable FASTDIFF_DASK_SQL_PASSWORD, or in the address,
    where others on this machine can see it.
    """
    from ..outputs.export import check_export, describe_counts, write_export
    from ..outputs.sql import is_database, read_password
    from ..outputs.tables import Tables

    check_export(target, table, form, force)
    password = None
    if ask_password:
        password = click.prompt("Password", hide_input=True, err=True)
    if is_database(target) or password_file is not None:
        password = read_password(target, password, password_file)
    found = Tables.of_store(store, comparison, threshold)
    counts = write_export(found, target, table=table, form=form, password=password, force=force)
    click.echo(describe_counts(counts))


@click.command()
@click.argument("store")
@click.option("-o", "--output", metavar="FILE", default="report.html", show_default=True, help="The file to write.")
@click.option("--limit", type=int, metavar="N", help="Clusters to show at most.  [default: 10000]")
@click.option("--keep", "rules", metavar="RULE", multiple=True, help="What to suggest, as for apply.")
@click.option("--prefer", metavar="DIR", multiple=True, help="What to suggest, as for apply.")
@click.option("--protect", metavar="DIR", multiple=True, help="What to suggest, as for apply.")
@click.option(
    "--threshold", type=float, help="Largest MSE, or value, of a pair; default: that of the result that was shown last."
)
@click.option("--comparison", metavar="NAME", help="Which comparison; default: that of the result that was shown last.")
def report(
    store: str,
    output: str,
    limit: int | None,
    rules: tuple[str, ...],
    prefer: tuple[str, ...],
    protect: tuple[str, ...],
    threshold: float | None,
    comparison: str | None,
) -> None:
    """Write the result in STORE as one HTML page, on which to look, to mark images, and to export marks for apply."""
    from ..outputs.report import LIMIT, write_report
    from ..outputs.terminal import describe_shown
    from ..project.locations import absolute_store
    from ..results.keep_rules import KeepRules
    from ..results.stored import choose_stored, remember_shown
    from ..storage.store import Store

    keep = KeepRules(rules=rules, prefer=prefer, protect=protect)
    opened = Store(absolute_store(store))
    chosen = choose_stored(opened, comparison, threshold)
    result = chosen.collect()
    shown = write_report(opened, result, output, limit=LIMIT if limit is None else limit, rules=keep)
    remember_shown(opened.url, chosen.settings)
    click.echo(f"{shown} clusters in {output}: {describe_shown(result.value, chosen.shown_at)}")
