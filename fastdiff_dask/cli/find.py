"""The commands that search: find, compare, estimate."""

import contextlib
import shlex
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import UsageError
from ..local_files import first_bytes
from ..text import counted
from .store_argument import complete_folders
from .texts.grouped import GroupedCommand
from .texts.next_steps import next_steps

if TYPE_CHECKING:
    from distributed import Client

    from ..compat.fast_diff_py import FastDifPy
    from ..project.options import ClientOptions
    from ..project.project import Project
    from ..results.result import Result

__all__ = ["CLUSTER", "compare", "estimate", "find", "open_project"]

# Options by their names in `options`, the most used ones first.
_COMPARISON = (
    *("similarity_threshold", "similarity"),
    "sl_mirror",
    "sl_rotations",
    "sl_compare",
    "sl_match_aspect_by",
    "sl_matching_aspect",
    "sl_matching_hash",
    "sl_skip_matching_hash",
    *("sl_within_folder", "sl_across_folders"),
    "fl_shift_amount",
    *("edited", "identical", "verify", "verify_limit", "verify_size"),
)
CLUSTER = ("workers", "threads", "scheduler", "scheduler_file", "tls_ca_file", "tls_cert", "tls_key")
_DATA = ("json_path", "csv_path", "jsonl_path")
_FIND = (
    *("p_root_dir_b", "like", "recursive", "supported_file_types", "ignore_names", "ignore_paths", "config"),
    *("frames_every", "min_size", "max_size", "min_pixels", "max_pixels", "min_width", "min_height"),
    *("time_limit", "pixel_limit", *_COMPARISON, "sl_vectors", "sl_metric"),
    *("thumbnail_size", "exact_decode", *_DATA, "store"),
    *("diff_plots", "sl_plot_limit", "save_config", "performance_report", "quiet"),
    *("gpu", "gpu_tasks", *CLUSTER, "dashboard_address", "in_memory", "block_size"),
)
_COMPARE = (
    *(*_COMPARISON, "sl_vectors", "sl_metric", *_DATA, "store", "performance_report", "quiet"),
    *(*CLUSTER, "dashboard_address", "block_size"),
)


@click.command(cls=GroupedCommand, options=_FIND)
@click.argument("directories", metavar="DIR...", nargs=-1, shell_complete=complete_folders)
def find(directories: tuple[str, ...], config: str | None, quiet: bool, **options: Any) -> None:
    """Find the duplicates in the images below DIR, all with all.

    After a stop at any moment, the same command goes on. When all is done, it lists the folders again and no more.
    """
    from .options import asked_settings

    if not directories and config is None:
        raise click.UsageError("Missing argument 'DIR...'.", click.get_current_context())
    settings = asked_settings(config, **({"p_root_dir_a": directories} if directories else {}))
    written = _data_to_write(options)
    if settings.sl_gpu_proc and options["scheduler"] is None and options["scheduler_file"] is None:
        from ..kernels.cuda import check_gpu

        check_gpu()
    if settings.sl_make_diff_plots and settings.sl_plot_output_dir is not None:
        from ..outputs.plots import check_plots

        check_plots(settings.sl_plot_output_dir)
    from ..project.project import Project

    client = _client_options(**options)
    with Project(settings, client) as project:
        _tell_of_cluster(project, client, quiet)
        _run(project, written, quiet)


@click.command(cls=GroupedCommand, options=_COMPARE)
@click.argument("store_a", shell_complete=complete_folders)
@click.argument("store_b", shell_complete=complete_folders)
def compare(store_a: str, store_b: str, quiet: bool, **options: Any) -> None:
    """Compare the images of STORE_A with those of STORE_B: two stores of other runs, or folders that find has searched.

    The two stores are only read, and the pictures need not be there. The same command, run again, compares the images
    that are new in them.
    """
    from ..project.locations import store_of
    from ..project.project import Project
    from .options import asked_settings

    settings = asked_settings()
    written = _data_to_write(options)
    stores = {"a": store_of(store_a), "b": store_of(store_b)}
    client = _client_options(**options)
    with Project(settings, client, stores) as project:
        _tell_of_cluster(project, client, quiet)
        _run(project, written, quiet)


@click.command(cls=GroupedCommand, options=("p_root_dir_b", "sample", "thumbnail_size", *CLUSTER))
@click.argument("directories", metavar="DIR...", nargs=-1, required=True, shell_complete=complete_folders)
def estimate(directories: tuple[str, ...], sample: int, **options: Any) -> None:
    """Estimate a first run over DIR: images, bytes of the store, comparisons, time.

    Lists the folders and reads a sample of the files; writes nothing.
    """
    from ..outputs.terminal import describe_estimate
    from ..project.project import Project
    from ..stages.estimate import check_sample
    from .options import asked_settings

    check_sample(sample)
    settings = asked_settings(p_root_dir_a=directories, verbose=False)
    with Project(settings, _client_options(**options)) as project:
        click.echo(describe_estimate(project.estimate(sample)))


def _client_options(
    *,
    scheduler: str | None,
    scheduler_file: str | None,
    tls_ca_file: str | None,
    tls_cert: str | None,
    tls_key: str | None,
    workers: int | None,
    threads: int | None,
    dashboard_address: str | None = None,
    performance_report: str | None = None,
    **_: Any,
) -> "ClientOptions":
    """Options of the client: one of the named cluster, or one to start here."""
    from ..project.options import ClientOptions
    from ..runtime.faults import hide_logs

    hide_logs()
    client = None
    if scheduler is not None or scheduler_file is not None:
        if workers is not None or threads is not None:
            raise UsageError("--workers and --threads are for a cluster started here; leave them out with a scheduler")
        client = _connect(scheduler, scheduler_file, (tls_ca_file, tls_cert, tls_key))
    elif tls_ca_file or tls_cert or tls_key:
        raise UsageError("certificates for TLS are for a scheduler; name it by --scheduler, or leave them out")
    return ClientOptions(
        client=client,
        workers=workers,
        threads=threads,
        dashboard_address=dashboard_address,
        performance_report=performance_report,
    )


def open_project(store: str, quiet: bool, **options: Any) -> "FastDifPy":
    """Open the project of a store, by the options of a command for the client."""
    from ..compat.fast_diff_py import FastDifPy

    client = _client_options(**options)
    return FastDifPy.from_store(
        store,
        client=client.client,
        workers=client.workers,
        threads=client.threads,
        dashboard_address=client.dashboard_address,
        performance_report=client.performance_report,
        verbose=False if quiet else None,
    )


def _connect(scheduler: str | None, scheduler_file: str | None, tls: tuple[str | None, ...]) -> "Client":
    from ..runtime.connection import connect, connect_by_file, tls_security

    security = tls_security(*tls)
    if scheduler is None:
        return connect_by_file(str(scheduler_file), security)
    if scheduler_file is not None:
        raise UsageError("--scheduler and --scheduler-file are two ways to name one cluster; use one of them")
    return connect(scheduler, security)


def _tell_of_cluster(project: "Project", client: "ClientOptions", quiet: bool) -> None:
    """Tell where to watch the work on a cluster that was not started here."""
    if client.client is None:
        return
    from ..runtime.connection import dashboard_link

    with contextlib.suppress(KeyError):  # a scheduler may run without one
        _say(quiet, f"Dashboard: {dashboard_link(client.client)}")
    _say(quiet, f"Progress: fastdiff-dask dashboard {shlex.quote(project.saved_url)}")


def _data_to_write(options: dict[str, Any]) -> dict[str, str]:
    """Give the files to write by their form; refuse, before hours of work, what could not be written."""
    written = {
        form: options[f"{form}_path"] for form in ("json", "csv", "jsonl") if options[f"{form}_path"] is not None
    }
    for form, path in written.items():
        _check_output(path, form)
    if len([form for form, path in written.items() if path == "-"]) > 1:
        raise UsageError("standard output can have one of --json, --csv and --jsonl; name files for the others")
    return written


def _check_output(path: str, form: str) -> None:
    if path == "-":
        return
    try:
        if Path(path).is_dir():
            raise UsageError(f"{path} is a folder; name a file with --{form}")
        if not Path(path).absolute().parent.is_dir():
            raise UsageError(f"no folder for {path}; make it first")
        if Path(path).is_file():
            start = first_bytes(Path(path), 64).lstrip()
            if start and not start.startswith(b"a,b," if form == "csv" else b"{"):
                raise UsageError(f"{path} is no {form.upper()}, and stays; name another file with --{form}")
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}; name another file with --{form}") from None


def _run(project: "Project", written: dict[str, str], quiet: bool) -> None:
    """Run all stages, and write and print the result."""
    from ..outputs.progress_bar import waiting

    start = time.monotonic()
    with project, project.writing():  # the client ends before the result is printed
        left_out = _work(project, quiet)
        with waiting("Collecting the result", project.verbose):
            result = project.result()
    _write_data(result, written)
    if quiet:
        return
    from ..outputs.terminal import print_next_steps, print_result

    to_stderr = "-" in written.values()
    print_result(
        result,
        time.monotonic() - start,
        comparing=project.seconds.get("compare"),
        remedy="; --csv FILE or --json FILE writes all",
        to_stderr=to_stderr,
    )
    for line in _afterwards(project, result, written, left_out):
        click.echo(line, err=to_stderr)
    if not to_stderr and project.settings.like is None:
        print_next_steps(lambda: next_steps(project, result))


def _work(project: "Project", quiet: bool) -> int:
    """Run the stages; gives the number of candidates of edited copies that were not looked at."""
    from ..outputs.terminal import describe_ignored

    settings = project.settings
    _say(quiet, f"Store: {project.saved_url}")
    counts = project.index()
    listed = counts.new + counts.changed + counts.unchanged
    _say(
        quiet,
        f"Index: {counted(listed, 'image')} ({counts.new:,} new, {counts.changed:,} changed), {counts.vanished:,} "
        f"vanished, {describe_ignored(counts.ignored)}",
    )
    if settings.identical:
        project.find_identical()
        return 0
    by_hash = settings.sl_matching_hash or settings.sl_skip_matching_hash
    project.make_thumbnails(compute_hash=settings.fl_compute_hash or by_hash)
    project.compare()
    if settings.verify:
        project.verify()
    return project.find_edited()["left out"] if settings.edited else 0


def _write_data(result: "Result", written: dict[str, str]) -> None:
    from ..outputs.json_file import write_json, write_rows

    for form, path in written.items():
        if form == "json":
            write_json(result, path)
        else:
            write_rows(result, path, form)


def _afterwards(project: "Project", result: "Result", written: dict[str, str], left_out: int) -> Iterator[str]:
    """Tell what is not in the table."""
    from ..outputs.json_file import describe_left_out
    from ..outputs.terminal import describe_most

    if (many := describe_most(result)) is not None:
        measure = result.value.settings.measure
        nearer = "a higher --threshold" if measure in ("cosine", "inner") else "a lower --threshold"
        words = " or --similarity strict" if result.value.is_mse else ""
        yield f"{many}; use {nearer}{words}; fastdiff-dask thresholds shows what lies where"
    if "json" in written and not result.pairs_complete:
        yield f"JSON: {describe_left_out(result, written['json'])}"
    if left_out:
        several = "pairs that may be edited copies were not looked at (--verify-limit); run again for more."
        yield f"{left_out:,} {several}"
    elif project.settings.edited and result.edited.empty:
        yield "No edited copies were found."


def _say(quiet: bool, text: str) -> None:
    if not quiet:
        click.echo(text, err=True)
