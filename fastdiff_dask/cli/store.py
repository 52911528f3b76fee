"""The commands that look at a store: status, dashboard, report, export, evaluate, calibrate."""

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..config import ALL_BY_CERTAINTY, DEFAULT_COPIED, check_verdicts
from ..errors import UsageError
from ..text import counted, printable
from .store_argument import store_argument

if TYPE_CHECKING:
    from ..results.result import Result
    from ..results.stored import StoredChoice

__all__ = ["chosen_result", "report"]


def chosen_result(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that choose a result in a store, and pairs of it."""
    for option in (
        click.option(
            "--verdict",
            metavar="VERDICT",
            multiple=True,
            help=f"Only pairs with this verdict, and the groups that they make: {', '.join(ALL_BY_CERTAINTY)}; may "
            "be repeated, or several with commas.  [default: all]",
        ),
        click.option(
            "--comparison", metavar="NAME", help="Which comparison; default: that of the result that was shown last."
        ),
        click.option(
            "--threshold",
            type=float,
            help="Largest difference, or value, of a pair; default: that of the result that was shown last.",
        ),
    ):
        command = option(command)
    return command


@click.command()
@store_argument
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON, without the map.")
def status(store: str, as_json: bool) -> None:
    """Show the finished work and the work that is left in STORE, with a map of the tiles, and the verdicts."""
    from ..outputs.store_state import describe_store, store_state

    if as_json:
        click.echo(json.dumps(store_state(store), indent=1))
    else:
        click.echo(describe_store(store, shutil.get_terminal_size().columns if sys.stdout.isatty() else None))


@click.command()
@store_argument
@click.option("--address", metavar="HOST:PORT", help="Where to listen; by default port 8788 of this machine alone.")
def dashboard(store: str, address: str | None) -> None:
    """Serve a live page of STORE, while another process works on it. Ctrl-C ends it."""
    from ..dashboard.server import serve

    serve(store, address, lambda page: click.echo(f"Watching {store} at {page}"))


@click.command()
@store_argument
@click.option("--comparison", metavar="NAME", help="Which comparison; default: that of the result that was shown last.")
@click.option("--threshold", type=float, help="Count up to this one; default: that of the result that was shown last.")
def thresholds(store: str, comparison: str | None, threshold: float | None) -> None:
    """Count the pairs of STORE between each two thresholds, and show one of each, to find where copies end.

    Pairs beyond the threshold of find are not known; find --similarity loose, run again, adds them.
    """
    from ..outputs.terminal import print_bands
    from ..results.stored import choose_stored
    from ..storage.store import Store

    opened = Store(store)
    result = choose_stored(opened, comparison, threshold).collect()
    print_bands(result)
    how = {
        "cosine": "find --threshold T: T is a cosine, 1 less the distance of the table",
        "inner": "find --threshold T: T is an inner product, minus the distance of the table",
        "mse": "find --threshold, or --similarity identical, strict, normal or loose",
    }
    click.echo(f"A threshold is chosen by {how.get(result.value.settings.measure, 'find --threshold')}.")


def _check_named(target: str) -> None:
    """Refuse a target that find has searched: the store was named, and the target forgotten."""
    from ..project.locations import store_of

    if not Path(target).is_dir():
        return
    try:
        store_of(target)
    except UsageError:
        return
    shown = printable(target)
    raise UsageError(f"{shown} was searched, and is no place for tables; add a target: export {shown} pairs.csv")


@click.command()
@store_argument
@click.argument("target")
@click.option(
    "--what",
    "table",
    type=click.Choice(["images", "pairs", "clusters", "errors", "edited_copies", "inspection"]),
    help="Table to write; default: pairs in a file, all but inspection in a folder.",
)
@click.option("--format", "form", type=click.Choice(["parquet", "csv", "json"]), help="For a folder; default: parquet.")
@chosen_result
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
    verdict: tuple[str, ...],
    password_file: str | None,
    ask_password: bool,
    force: bool,
) -> None:
    """Write the tables of STORE to TARGET: a file, a folder, or a database.

    TARGET ends in .parquet, .csv, .csv.gz, .json or .json.gz for one table, is a folder for several, or an address like
    sqlite:///diff.db or mysql+pymysql://user@host/database for all. The pictures need not be there. The password of a
    database is asked for, in a file, in the environment variable FASTDIFF_DASK_SQL_PASSWORD, or in the address,
    where others on this machine can see it.
    """
    from ..outputs.export import check_export, describe_counts, write_export
    from ..outputs.sql import is_database, read_password
    from ..outputs.tables import Tables
    from ..outputs.terminal import describe_result
    from ..results.stored import choose_stored, roots_of_store
    from ..storage.store import Store

    _check_named(target)
    check_export(target, table, form, force)
    verdicts = check_verdicts(verdict)
    password = None
    if ask_password:
        password = click.prompt("Password", hide_input=True, err=True)
    if is_database(target) or password_file is not None:
        password = read_password(target, password, password_file)
    opened = Store(store)
    used: list[tuple[StoredChoice, Result]] = []  # images and errors need no result

    def collect() -> "Result":
        chosen = choose_stored(opened, comparison, threshold)
        used.append((chosen, chosen.collect().with_verdict(verdicts)))
        return used[0][1]

    tables = Tables(opened, roots_of_store(opened), collect)
    counts = write_export(tables, target, table=table, form=form, password=password, force=force)
    click.echo(describe_counts(counts))
    for chosen, result in used:
        click.echo(f"Result: {describe_result(result, chosen.shown_at)}")


@click.command()
@store_argument
@click.option("-o", "--output", metavar="FILE", default="report.html", show_default=True, help="The file to write.")
@click.option("--limit", type=int, metavar="N", help="Groups to show at most.  [default: 10000]")
@click.option("--keep", "rules", metavar="RULE", multiple=True, help="What to suggest, as for apply.")
@click.option("--prefer", metavar="DIR", multiple=True, help="What to suggest, as for apply.")
@click.option("--protect", metavar="DIR", multiple=True, help="What to suggest, as for apply.")
@chosen_result
def report(
    store: str,
    output: str,
    limit: int | None,
    rules: tuple[str, ...],
    prefer: tuple[str, ...],
    protect: tuple[str, ...],
    threshold: float | None,
    comparison: str | None,
    verdict: tuple[str, ...],
) -> None:
    """Write the result in STORE as one HTML page, on which to look, to mark images, and to export marks for apply."""
    from ..outputs.page.report import LIMIT, write_report
    from ..outputs.terminal import describe_result
    from ..results.keep_rules import KeepRules
    from ..results.stored import choose_stored, remember_shown
    from ..storage.store import Store

    keep, verdicts = KeepRules(rules=rules, prefer=prefer, protect=protect), check_verdicts(verdict)
    opened = Store(store)
    chosen = choose_stored(opened, comparison, threshold)
    every = chosen.collect()
    result = every.with_verdict(verdicts)
    shown = write_report(opened, result, output, limit=LIMIT if limit is None else limit, rules=keep)
    remember_shown(opened.url, every)
    click.echo(f"{counted(shown, 'group')} in {output}: {describe_result(result, chosen.shown_at)}")


@click.command()
@store_argument
@click.argument("truth")
@click.option(
    "--json", "json_file", metavar="FILE", help="Write all figures, wrong and missed pairs; - for the screen."
)
@chosen_result
def evaluate(
    store: str,
    truth: str,
    json_file: str | None,
    threshold: float | None,
    comparison: str | None,
    verdict: tuple[str, ...],
) -> None:
    """Compare the pairs found in STORE with the known copies in TRUTH: precision, recall, and each kind.

    TRUTH is a CSV file with the columns a, b and optionally kind, or path and cluster; or a JSON file: a list of pairs
    or of clusters, each file with its copies, or what find --json wrote. A name in it is a path, or the end of one.
    """
    from ..evaluation.scores import evaluate_stored
    from ..outputs.evaluation import print_evaluation, write_figures
    from ..outputs.terminal import describe_result
    from ..results.stored import choose_stored
    from ..storage.store import Store

    verdicts = check_verdicts(verdict)
    opened = Store(store)
    chosen = choose_stored(opened, comparison, threshold)
    result = chosen.collect().with_verdict(verdicts)
    figures = evaluate_stored(opened, result, truth)
    if json_file is not None:
        write_figures(figures, json_file)
    if json_file != "-":
        print_evaluation(figures)
        click.echo(f"Result: {describe_result(result, chosen.shown_at)}")


@click.command()
@store_argument
@click.option(
    "--sample", type=int, metavar="N", default=DEFAULT_COPIED, show_default=True, help="Images of STORE to copy."
)
@click.option(
    "--kinds", metavar="KIND", multiple=True, help="Kinds of copies; may be repeated, or several with commas."
)
@click.option("--json", "json_file", metavar="FILE", help="Write the figures; - for the screen.")
@click.option("--plot", metavar="FILE", help="Draw the figures as a PNG file.")
def calibrate(store: str, sample: int, kinds: tuple[str, ...], json_file: str | None, plot: str | None) -> None:
    """Show which threshold finds which copies in STORE, and how many wrong pairs.

    Copies are made of some of its pictures, in memory: resized, saved again, turned, cropped, brighter and so on. They
    are compared with all images in STORE. A stopped run goes on, and the same run gives the same figures.
    """
    from ..outputs.calibration import print_calibration, write_calibration
    from ..outputs.plots import draw_calibration
    from ..project.calibrate import calibrate_store, check_kinds

    figures = calibrate_store(store, sample, check_kinds(kinds))
    if plot is not None:
        draw_calibration(figures, plot)
    if json_file is not None:
        write_calibration(figures, json_file)
    if json_file != "-":
        print_calibration(figures)
