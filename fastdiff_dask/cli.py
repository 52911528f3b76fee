"""Command line: arguments, printing, exit codes; nothing else."""

import functools
import io
import os
import signal
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, NoReturn

import click

from . import __version__
from .cli_actions import apply, report, undo
from .cli_difpy import difpy
from .config import PIXEL_LIMIT, TIME_LIMIT
from .errors import FastDiffError, UsageError
from .remote import is_remote_error

if TYPE_CHECKING:
    from distributed import Client

    from .project import FastDifPy
    from .settings import Settings

__all__ = ["main"]

# Options of a comparison that have the names of arguments.
_COMPARISON = (
    "compare",
    "mirror",
    "match_aspect_by",
    "only_matching_aspect",
    "only_matching_hash",
    "skip_matching_hash",
)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="fastdiff-dask")
def commands() -> None:
    """Find duplicate and similar images by comparing all with all, exactly."""


def _cluster_options(command: Callable[..., None]) -> Callable[..., None]:
    """Options that say where tasks run; see `_cluster_client`. The command gets those of TLS as one argument."""

    @functools.wraps(command)
    def with_tls(tls_ca_file: str | None, tls_cert: str | None, tls_key: str | None, **options: Any) -> None:
        command(tls=(tls_ca_file, tls_cert, tls_key), **options)

    for option in (
        click.option("--tls-key", metavar="FILE", help="Its key, if that is not in the same file."),
        click.option("--tls-cert", metavar="FILE", help="Certificate to show to a scheduler at tls://."),
        click.option("--tls-ca-file", metavar="FILE", help="Certificates of those who sign for the scheduler."),
        click.option("--threads", type=int, metavar="M", help="Threads to use here, in each process; default: all."),
        click.option(
            "--workers", type=int, metavar="N", help="Worker processes to start here; default: threads alone."
        ),
        click.option(
            "--scheduler-file", metavar="FILE", help="Run on the Dask cluster whose scheduler wrote this file."
        ),
        click.option("--scheduler", metavar="ADDRESS", help="Run on this Dask cluster, tcp:// or tls://host:port."),
    ):
        with_tls = option(with_tls)
    return with_tls


def _comparison_options(command: Callable[..., None]) -> Callable[..., None]:
    """Options that say what makes a pair similar, and where the result goes; see `_check_comparison`.

    The command gets those of `FastDifPy.second_loop_iteration` as one argument.
    """

    @functools.wraps(command)
    def with_comparison(threshold: float | None, no_rotations: bool, **options: Any) -> None:
        comparison = {name: options.pop(name) for name in _COMPARISON}
        comparison |= {"similarity_threshold": threshold, "rotations": not no_rotations}
        command(comparison=comparison, **options)

    for option in (
        click.option("--json", "json_path", metavar="FILE", help="Write the result as JSON; - is standard output."),
        click.option("--mirror", is_flag=True, help="Look for mirrored copies as well."),
        click.option("--no-rotations", is_flag=True, help="Do not look for turned copies."),
        click.option(
            "--match-aspect-by",
            type=float,
            metavar="F",
            help="Compare only pictures of the same size (0), or with aspect ratios within a factor (1: the same).",
        ),
        click.option("--only-matching-aspect", is_flag=True, help="The same as --match-aspect-by 1."),
        click.option(
            "--hash-shift",
            type=int,
            metavar="BITS",
            help="For hashes: bits by which values are shifted to the right.  [default: 4]",
        ),
        click.option(
            "--skip-matching-hash", is_flag=True, help="Put pictures with equal hashes into clusters uncompared."
        ),
        click.option("--only-matching-hash", is_flag=True, help="Compare only pictures with equal hashes."),
        click.option(
            "--compare",
            type=click.Choice(["mse", "ssim", "hamming"]),
            default="mse",
            show_default=True,
            help="Measure of the threshold: MSE, 1 − SSIM, or different bits of perceptual hashes.",
        ),
        click.option(
            "--threshold",
            type=float,
            help="Largest MSE of a similar pair, or value of another measure.  "
            "[default: 200; 0.1 for ssim, 10 for hamming]",
        ),
    ):
        with_comparison = option(with_comparison)
    return with_comparison


def _run_options(command: Callable[..., None]) -> Callable[..., None]:
    """Options that say what is shown of a run."""
    for option in (
        click.option("--quiet", is_flag=True, help="Print errors only."),
        click.option("--performance-report", metavar="FILE", help="Write Dask's performance report, an HTML page."),
        click.option(
            "--dashboard-address", metavar="HOST:PORT", help="Where the dashboard listens; by default on loopback."
        ),
    ):
        command = option(command)
    return command


@commands.command()
@click.argument("directories", metavar="DIR...", nargs=-1)
@click.option("--against", metavar="DIR", multiple=True, help="Compare with the images of this folder instead.")
@click.option("--config", metavar="FILE", help="TOML file of settings; what is said here goes before.")
@click.option("--store", metavar="URL", help="Folder for the work; by default one in your cache that belongs to DIR.")
@click.option("--in-memory", is_flag=True, help="Hold the work in memory; it is saved to the store every 30 seconds.")
@_comparison_options
@click.option("--no-recursive", is_flag=True, help="Do not look into sub-folders.")
@click.option("--extension", metavar=".EXT", multiple=True, help="Only files that end so; may be given several times.")
@click.option("--ignore-name", metavar="PATTERN", multiple=True, help="Skip files and folders of this name.")
@click.option("--ignore-path", metavar="PATH", multiple=True, help="Skip this file or folder.")
@click.option("--thumbnail-size", metavar="WxH", default="64x64", show_default=True, help="Pixels that are compared.")
@click.option("--block-size", type=int, default=1024, show_default=True, help="Images in a unit of work.")
@click.option("--exact-decode", is_flag=True, help="Decode JPEG at full scale: slower, a little more exact.")
@click.option(
    "--time-limit", type=float, default=TIME_LIMIT, show_default=True, help="Seconds for reading a file, 0 for any."
)
@click.option(
    "--pixel-limit", type=int, default=PIXEL_LIMIT, show_default=True, help="Largest picture to read, width × height."
)
@click.option("--gpu", is_flag=True, help="Compare on GPUs; needs CuPy.")
@click.option(
    "--gpu-tasks",
    type=click.IntRange(min=0),
    metavar="N",
    help="Tasks on each GPU at once, if not 1; the same as --gpu.",
)
@click.option("--diff-plots", metavar="DIR", help="Draw similar pairs into this folder, the most similar ones first.")
@click.option("--plot-limit", type=click.IntRange(min=1), metavar="N", help="Draw so many at most.  [default: 1000]")
@click.option("--save-config", metavar="FILE", help="Write the settings of this run to a TOML file, for --config.")
@_cluster_options
@_run_options
def find(
    directories: tuple[str, ...],
    against: tuple[str, ...],
    config: str | None,
    store: str | None,
    in_memory: bool,
    comparison: dict[str, Any],
    hash_shift: int | None,
    json_path: str | None,
    no_recursive: bool,
    extension: tuple[str, ...],
    ignore_name: tuple[str, ...],
    ignore_path: tuple[str, ...],
    thumbnail_size: str,
    block_size: int,
    exact_decode: bool,
    time_limit: float,
    pixel_limit: int,
    gpu: bool,
    gpu_tasks: int | None,
    diff_plots: str | None,
    plot_limit: int | None,
    save_config: str | None,
    scheduler: str | None,
    scheduler_file: str | None,
    tls: tuple[str | None, ...],
    workers: int | None,
    threads: int | None,
    dashboard_address: str | None,
    performance_report: str | None,
    quiet: bool,
) -> None:
    """Find the duplicates in the images below DIR, all with all.

    Stopped at any moment, the same command goes on where it was; when all is done it only lists the folders again.
    """
    from .settings import PLOT_LIMIT

    if not directories and config is None:
        raise click.UsageError("Missing argument 'DIR...'.")
    if save_config == "":
        raise UsageError("--save-config has no name of a file; name one")
    threshold: float | None = _check_comparison(comparison, hash_shift if config is None else None, json_path)
    if comparison["similarity_threshold"] is None and (config is not None or comparison["compare"] == "mse"):
        threshold = None
    width, height = _size(thumbnail_size)
    if plot_limit is not None and diff_plots is None and config is None:
        raise UsageError("--plot-limit is for --diff-plots; name a folder by that, too")
    # by the names of settings: what is said here, and under which name
    said: dict[str, tuple[str, Any]] = {
        "p_root_dir_a": ("directories", directories),
        "p_root_dir_b": ("against", against),
        "store": ("store", store),
        "in_memory": ("in_memory", in_memory),
        "thumbnail_size_x": ("thumbnail_size", width),
        "thumbnail_size_y": ("thumbnail_size", height),
        "block_size": ("block_size", block_size),
        "exact_decode": ("exact_decode", exact_decode),
        "time_limit": ("time_limit", time_limit),
        "pixel_limit": ("pixel_limit", pixel_limit),
        "recursive": ("no_recursive", not no_recursive),
        "supported_file_types": ("extension", extension),
        "ignore_names": ("ignore_name", ignore_name),
        "ignore_paths": ("ignore_path", ignore_path),
        "fl_shift_amount": ("hash_shift", 4 if hash_shift is None else hash_shift),
        "similarity_threshold": ("threshold", threshold),
        "sl_compare": ("compare", comparison["compare"]),
        "sl_rotations": ("no_rotations", comparison["rotations"]),
        "sl_mirror": ("mirror", comparison["mirror"]),
        "sl_matching_aspect": ("only_matching_aspect", comparison["only_matching_aspect"]),
        "sl_match_aspect_by": ("match_aspect_by", comparison["match_aspect_by"]),
        "sl_matching_hash": ("only_matching_hash", comparison["only_matching_hash"]),
        "sl_skip_matching_hash": ("skip_matching_hash", comparison["skip_matching_hash"]),
        "sl_gpu_proc": ("gpu" if gpu_tasks is None else "gpu_tasks", int(gpu) if gpu_tasks is None else gpu_tasks),
        "sl_make_diff_plots": ("diff_plots", diff_plots is not None),
        "sl_plot_output_dir": ("diff_plots", diff_plots),
        "sl_plot_limit": ("plot_limit", PLOT_LIMIT if plot_limit is None else plot_limit),
        "cfg_path": ("save_config", save_config),
        "retain_config": ("save_config", save_config is not None),
        "verbose": ("quiet", False if quiet else None),
    }
    settings = _settings(config, said)
    if settings.sl_gpu_proc and scheduler is None and scheduler_file is None:
        from .gpu import check_gpu

        check_gpu()
    if settings.sl_make_diff_plots and settings.sl_plot_output_dir is not None:
        from .plots import check_plots

        check_plots(settings.sl_plot_output_dir)
    from .project import FastDifPy

    db = FastDifPy.from_settings(
        settings,
        client=_cluster_client(scheduler, scheduler_file, tls, workers, threads),
        workers=workers,
        threads=threads,
        dashboard_address=dashboard_address,
        performance_report=performance_report,
    )
    by_hash = settings.fl_compute_hash or settings.sl_matching_hash or settings.sl_skip_matching_hash
    _run(db, {}, by_hash, None, json_path, quiet)


def _settings(config: str | None, said: "dict[str, tuple[str, Any]]") -> "Settings":
    """Settings of a file, with what is said on the command line in their place."""
    from dataclasses import replace

    from .settings import Settings

    if config is None:
        return Settings(**{name: value for name, (_, value) in said.items()})
    source = click.get_current_context().get_parameter_source
    default = (click.core.ParameterSource.DEFAULT, click.core.ParameterSource.DEFAULT_MAP)
    settings = Settings.read(config)
    given = {name: value for name, (option, value) in said.items() if source(option) not in default}
    if given.get("sl_compare", settings.sl_compare) != settings.sl_compare:  # with a threshold of its own
        given.setdefault("similarity_threshold", None)
    # of two options that exclude each other, that which is said here counts
    for one, other, nothing in (
        ("sl_matching_aspect", "sl_match_aspect_by", None),
        ("sl_match_aspect_by", "sl_matching_aspect", False),
        ("sl_matching_hash", "sl_skip_matching_hash", False),
        ("sl_skip_matching_hash", "sl_matching_hash", False),
    ):
        if given.get(one):
            given.setdefault(other, nothing)
    return replace(settings, **given)


@commands.command()
@click.argument("store_a")
@click.argument("store_b")
@click.option("--store", metavar="URL", help="Folder for the work; by default one in your cache that belongs to both.")
@_comparison_options
@click.option("--block-size", type=int, default=1024, show_default=True, help="Images in a unit of work.")
@_cluster_options
@_run_options
def compare(
    store_a: str,
    store_b: str,
    store: str | None,
    comparison: dict[str, Any],
    hash_shift: int | None,
    json_path: str | None,
    block_size: int,
    scheduler: str | None,
    scheduler_file: str | None,
    tls: tuple[str | None, ...],
    workers: int | None,
    threads: int | None,
    dashboard_address: str | None,
    performance_report: str | None,
    quiet: bool,
) -> None:
    """Compare the images of STORE_A with those of STORE_B, which other runs made; the pictures need not be there.

    The two stores are only read. Run again, the same command compares what is new in them.
    """
    from .project import FastDifPy

    comparison["similarity_threshold"] = _check_comparison(comparison, hash_shift, json_path)
    db = FastDifPy.from_stores(
        store_a,
        store_b,
        store=store,
        client=_cluster_client(scheduler, scheduler_file, tls, workers, threads),
        workers=workers,
        threads=threads,
        dashboard_address=dashboard_address,
        block_size=block_size,
        performance_report=performance_report,
        verbose=False if quiet else None,
    )
    _run(db, comparison, _needs_hashes(comparison), hash_shift, json_path, quiet)


@commands.command()
@click.argument("directories", metavar="DIR...", nargs=-1, required=True)
@click.option("--against", metavar="DIR", multiple=True, help="Compare with the images of this folder instead.")
@click.option("--sample", type=int, default=200, show_default=True, metavar="N", help="Files to read for it.")
@click.option("--thumbnail-size", metavar="WxH", default="64x64", show_default=True, help="Pixels that are compared.")
@_cluster_options
def estimate(
    directories: tuple[str, ...],
    against: tuple[str, ...],
    sample: int,
    thumbnail_size: str,
    scheduler: str | None,
    scheduler_file: str | None,
    tls: tuple[str | None, ...],
    workers: int | None,
    threads: int | None,
) -> None:
    """Say what a first run over DIR would take: images, bytes of the store, comparisons, time.

    Lists the folders and reads a sample of the files; writes nothing.
    """
    from .estimate import check_sample, describe_estimate
    from .project import FastDifPy

    check_sample(sample)
    width, height = _size(thumbnail_size)
    with FastDifPy(
        directories,
        against,
        client=_cluster_client(scheduler, scheduler_file, tls, workers, threads),
        workers=workers,
        threads=threads,
        thumbnail_size_x=width,
        thumbnail_size_y=height,
        verbose=False,
    ) as db:
        click.echo(describe_estimate(db.estimate(sample)))


@commands.command()
@click.argument("store")
def status(store: str) -> None:
    """Show what is done and what is left in STORE, and a map of the tiles."""
    from .status import describe_store

    click.echo(describe_store(store))


@commands.command()
@click.argument("store")
@click.option("--address", metavar="HOST:PORT", help="Where to listen; by default port 8788 of this machine alone.")
def dashboard(store: str, address: str | None) -> None:
    """Serve a page on which to watch STORE while another process works on it; Ctrl-C ends it."""
    from .dashboard import serve

    serve(store, address, lambda page: click.echo(f"Watching {store} at {page}"))


@commands.command()
@click.argument("store")
@click.argument("target")
@click.option(
    "--what",
    type=click.Choice(["images", "pairs", "clusters", "errors"]),
    help="Table to write; default: pairs in a file, all in a folder.",
)
@click.option("--format", "form", type=click.Choice(["parquet", "csv", "json"]), help="For a folder; default: parquet.")
@click.option("--threshold", type=float, help="Largest MSE, or value, of a pair; default: as it was compared.")
@click.option("--comparison", metavar="NAME", help="Which one, if the store has several; named by the error message.")
@click.option("--password-file", metavar="FILE", help="First line: the password of the database.")
@click.option("--ask-password", is_flag=True, help="Ask for the password of the database.")
@click.option("--force", is_flag=True, help="Replace a file or tables that no export wrote.")
def export(
    store: str,
    target: str,
    what: str | None,
    form: str | None,
    threshold: float | None,
    comparison: str | None,
    password_file: str | None,
    ask_password: bool,
    force: bool,
) -> None:
    """Write what is known in STORE to TARGET: a file, a folder, or a database.

    TARGET ends in .parquet, .csv or .json for one table, is a folder for several, or an address like
    sqlite:///diff.db or mysql+pymysql://user@host/database for all four. The pictures need not be there. The password
    of a database is asked for, in a file, in the environment variable FASTDIFF_DASK_SQL_PASSWORD, or in the address,
    where others on this machine can see it.
    """
    from .export import check_export, describe_counts, write_export
    from .sql import is_database, read_password
    from .tables import Tables

    check_export(target, what, form, force)
    password = None
    if ask_password:
        password = click.prompt("Password", hide_input=True, err=True)
    if is_database(target) or password_file is not None:
        password = read_password(target, password, password_file)
    tables = Tables.of_store(store, comparison, threshold)
    counts = write_export(tables, target, table=what, form=form, password=password, force=force)
    click.echo(describe_counts(counts))


commands.add_command(apply)
commands.add_command(difpy)
commands.add_command(report)
commands.add_command(undo)


def _needs_hashes(comparison: dict[str, Any]) -> bool:
    return bool(comparison["only_matching_hash"] or comparison["skip_matching_hash"])


def _check_comparison(comparison: dict[str, Any], hash_shift: int | None, json_path: str | None) -> float:
    """Say before hours of work what of a comparison cannot be done; gives the threshold."""
    from .config import CompareSettings, aspect_factor
    from .hashes import check_shift
    from .measures import default_threshold, resolve_measure

    settings = dict(comparison)
    compare, same_aspect = settings.pop("compare"), settings.pop("only_matching_aspect")
    threshold = settings.pop("similarity_threshold")
    settings["match_aspect_by"] = aspect_factor(same_aspect, settings["match_aspect_by"])
    if hash_shift is not None:
        check_shift(hash_shift)
        if not _needs_hashes(comparison):
            raise UsageError("--hash-shift is for --only-matching-hash and --skip-matching-hash; use one of them, too")
    threshold = default_threshold(compare) if threshold is None else threshold
    CompareSettings(similarity_threshold=threshold, measure=compare, **settings)
    if compare != "mse":
        resolve_measure(compare)
    if json_path is not None and json_path != "-":
        _check_output(json_path)
    return threshold


def _run(
    db: "FastDifPy",
    comparison: dict[str, Any],
    by_hash: bool,
    hash_shift: int | None,
    json_path: str | None,
    quiet: bool,
) -> None:
    """Run all stages, and write and print the result."""
    from .catalog import describe_ignored
    from .results import write_json
    from .table import print_result

    with db, db.writing():
        _say(quiet, f"Store: {db.saved_url}")
        counts = db.index_the_dirs()
        listed = counts.new + counts.changed + counts.unchanged
        _say(
            quiet,
            f"Index: {listed} images ({counts.new} new, {counts.changed} changed), {counts.vanished} vanished, "
            f"{describe_ignored(counts.ignored)}",
        )
        db.first_loop_iteration(compute_hash=by_hash, amount=hash_shift)
        db.second_loop_iteration(**comparison)
        result = db.result()
        seconds = sum(db.seconds.values())
    if json_path is not None:
        write_json(result, json_path)
    if not quiet:
        print_result(result, seconds, to_stderr=json_path == "-")


def _cluster_client(
    scheduler: str | None,
    scheduler_file: str | None,
    tls: tuple[str | None, ...],
    workers: int | None,
    threads: int | None,
) -> "Client | None":
    """The client of the named cluster; None if tasks run here."""
    from .resilience import hide_logs

    hide_logs()
    if scheduler is None and scheduler_file is None:
        if any(tls):
            raise UsageError("certificates for TLS are for a scheduler; name it by --scheduler, or leave them out")
        return None
    from .cluster import connect, connect_by_file, tls_security

    if scheduler is not None and scheduler_file is not None:
        raise UsageError("--scheduler and --scheduler-file are two ways to name one cluster; use one of them")
    if workers is not None or threads is not None:
        raise UsageError("--workers and --threads are for a cluster started here; leave them out with a scheduler")
    security = tls_security(*tls)
    return connect(scheduler, security) if scheduler is not None else connect_by_file(str(scheduler_file), security)


def _check_output(path: str) -> None:
    """Say before hours of work that their result could not be written."""
    try:
        if Path(path).is_dir():
            raise UsageError(f"{path} is a folder; name a file with --json")
        if not Path(path).absolute().parent.is_dir():
            raise UsageError(f"no folder for {path}; make it first")
        if Path(path).is_file():
            with Path(path).open("rb") as file:
                start = file.read(64).lstrip()
            if start and not start.startswith(b"{"):
                raise UsageError(f"{path} is no JSON, and stays; name another file with --json")
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}; name another file with --json") from None


def _size(text: str) -> tuple[int, int]:
    try:
        width, _, height = (text if "x" in text.lower() else f"{text}x{text}").lower().partition("x")
        return int(width), int(height)
    except ValueError:
        raise UsageError(f"thumbnail size {text!r} is not of the form 64x64") from None


def _say(quiet: bool, text: str) -> None:
    if not quiet:
        click.echo(text, err=True)


def _stopped(number: int, _: FrameType | None) -> NoReturn:
    # What is finished is committed and the rest is redone anyway, so there is nothing to wait for: neither for
    # decoders that are in the middle of a picture nor for the scheduler's farewell.
    shown = "\x1b[?25h" if sys.stderr.isatty() else ""  # the progress bar hides the cursor
    sys.stderr.write(f"{shown}\nStopped. Finished work is kept in the store; the same command goes on from there.\n")
    sys.stderr.flush()
    os._exit(128 + number)


_stopped.ends_at_once = True  # type: ignore[attr-defined]  # so that a stage may end what is in flight before, see `stopping`


def main() -> NoReturn:
    """Run the command line and exit: 0 after a run to the end, 1 if the job failed, 2 for what cannot be run at all."""
    signal.signal(signal.SIGINT, _stopped)
    signal.signal(signal.SIGTERM, _stopped)
    warnings.filterwarnings("ignore", module=r"PIL\.")  # noise about single files, whose errors are listed
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal that knows less than Unicode
    try:
        commands.main(standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        sys.exit(2)
    except (KeyboardInterrupt, click.exceptions.Abort):
        _stopped(signal.SIGINT, None)
    except SystemExit as error:
        if error.code == 128 + signal.SIGTERM:
            _stopped(signal.SIGTERM, None)
        raise
    except UsageError as error:
        _fail(str(error), 2)
    except FastDiffError as error:
        _fail(str(error), 1)
    except click.ClickException as error:
        _fail(error.format_message(), 2)
    except BrokenPipeError:
        os._exit(1)  # the reader of our output has gone; flushing to it at exit would only fail again
    except (OSError, MemoryError) as error:
        _fail(f"{type(error).__name__}: {error}; finished work is kept, the same command goes on", 1)
    except Exception as error:
        if not is_remote_error(error):
            raise
        _fail(f"{type(error).__name__}: {error}; finished work is kept, the same command goes on", 1)
    sys.exit(0)


def _fail(message: str, code: int) -> NoReturn:
    click.echo(f"fastdiff-dask: {' '.join(message.split())}", err=True)
    sys.exit(code)
