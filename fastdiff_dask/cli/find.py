"""The commands that search: find, compare, estimate."""

from typing import TYPE_CHECKING, Any

import click

from ..config import PIXEL_LIMIT, TIME_LIMIT
from ..errors import UsageError
from .options import (
    check_comparison,
    cluster_client,
    cluster_options,
    comparison_options,
    needs_hashes,
    parse_size,
    run_options,
)

if TYPE_CHECKING:
    from ..project.options import Settings
    from ..project.project import FastDifPy

__all__ = ["compare"]


@click.command()
@click.argument("directories", metavar="DIR...", nargs=-1)
@click.option("--against", metavar="DIR", multiple=True, help="Compare with the images of this folder instead.")
@click.option("--config", metavar="FILE", help="TOML file of settings; what is said here goes before.")
@click.option("--store", metavar="URL", help="Folder for the work; by default one in your cache that belongs to DIR.")
@click.option("--in-memory", is_flag=True, help="Hold the work in memory; it is saved to the store every 30 seconds.")
@comparison_options
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
@cluster_options
@run_options
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
    from ..project.options import PLOT_LIMIT

    if not directories and config is None:
        raise click.UsageError("Missing argument 'DIR...'.")
    if save_config == "":
        raise UsageError("--save-config has no name of a file; name one")
    threshold: float | None = check_comparison(comparison, hash_shift if config is None else None, json_path)
    if comparison["similarity_threshold"] is None and (config is not None or comparison["compare"] == "mse"):
        threshold = None
    width, height = parse_size(thumbnail_size)
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
        from ..kernels.cuda import check_gpu

        check_gpu()
    if settings.sl_make_diff_plots and settings.sl_plot_output_dir is not None:
        from ..outputs.plots import check_plots

        check_plots(settings.sl_plot_output_dir)
    from ..project.project import FastDifPy

    db = FastDifPy.from_settings(
        settings,
        client=cluster_client(scheduler, scheduler_file, tls, workers, threads),
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

    from ..project.options import Settings

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


@click.command()
@click.argument("store_a")
@click.argument("store_b")
@click.option("--store", metavar="URL", help="Folder for the work; by default one in your cache that belongs to both.")
@comparison_options
@click.option("--block-size", type=int, default=1024, show_default=True, help="Images in a unit of work.")
@cluster_options
@run_options
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
    from ..project.project import FastDifPy

    comparison["similarity_threshold"] = check_comparison(comparison, hash_shift, json_path)
    db = FastDifPy.from_stores(
        store_a,
        store_b,
        store=store,
        client=cluster_client(scheduler, scheduler_file, tls, workers, threads),
        workers=workers,
        threads=threads,
        dashboard_address=dashboard_address,
        block_size=block_size,
        performance_report=performance_report,
        verbose=False if quiet else None,
    )
    _run(db, comparison, needs_hashes(comparison), hash_shift, json_path, quiet)


@click.command()
@click.argument("directories", metavar="DIR...", nargs=-1, required=True)
@click.option("--against", metavar="DIR", multiple=True, help="Compare with the images of this folder instead.")
@click.option("--sample", type=int, default=200, show_default=True, metavar="N", help="Files to read for it.")
@click.option("--thumbnail-size", metavar="WxH", default="64x64", show_default=True, help="Pixels that are compared.")
@cluster_options
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
    from ..outputs.terminal import describe_estimate
    from ..project.project import FastDifPy
    from ..stages.estimate import check_sample

    check_sample(sample)
    width, height = parse_size(thumbnail_size)
    with FastDifPy(
        directories,
        against,
        client=cluster_client(scheduler, scheduler_file, tls, workers, threads),
        workers=workers,
        threads=threads,
        thumbnail_size_x=width,
        thumbnail_size_y=height,
        verbose=False,
    ) as db:
        click.echo(describe_estimate(db.estimate(sample)))


def _run(
    db: "FastDifPy",
    comparison: dict[str, Any],
    by_hash: bool,
    hash_shift: int | None,
    json_path: str | None,
    quiet: bool,
) -> None:
    """Run all stages, and write and print the result."""
    from ..outputs.json_file import write_json
    from ..outputs.terminal import describe_ignored, print_result

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
        print_result(result, seconds, remedy="; --json FILE writes all of them", to_stderr=json_path == "-")


def _say(quiet: bool, text: str) -> None:
    if not quiet:
        click.echo(text, err=True)
