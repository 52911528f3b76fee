"""Options that several commands share."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import UsageError

if TYPE_CHECKING:
    from distributed import Client

__all__ = [
    "check_comparison",
    "cluster_client",
    "cluster_options",
    "comparison_options",
    "needs_hashes",
    "parse_size",
    "run_options",
]

# Options of a comparison that have the names of arguments.
_COMPARISON = (
    "compare",
    "mirror",
    "match_aspect_by",
    "only_matching_aspect",
    "only_matching_hash",
    "skip_matching_hash",
)


def cluster_options(command: Callable[..., None]) -> Callable[..., None]:
    """Options that say where tasks run; see `cluster_client`. The command gets those of TLS as one argument."""

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


def comparison_options(command: Callable[..., None]) -> Callable[..., None]:
    """Options that say what makes a pair similar, and where the result goes; see `check_comparison`.

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


def run_options(command: Callable[..., None]) -> Callable[..., None]:
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


def needs_hashes(comparison: dict[str, Any]) -> bool:
    return bool(comparison["only_matching_hash"] or comparison["skip_matching_hash"])


def check_comparison(comparison: dict[str, Any], hash_shift: int | None, json_path: str | None) -> float:
    """Say before hours of work what of a comparison cannot be done; gives the threshold."""
    from ..config import CompareSettings, aspect_factor
    from ..kernels.hashes import check_shift
    from ..kernels.measures import default_threshold, resolve_measure

    settings = dict(comparison)
    compare, same_aspect = settings.pop("compare"), settings.pop("only_matching_aspect")
    threshold = settings.pop("similarity_threshold")
    settings["match_aspect_by"] = aspect_factor(same_aspect, settings["match_aspect_by"])
    if hash_shift is not None:
        check_shift(hash_shift)
        if not needs_hashes(comparison):
            raise UsageError("--hash-shift is for --only-matching-hash and --skip-matching-hash; use one of them, too")
    threshold = default_threshold(compare) if threshold is None else threshold
    CompareSettings(similarity_threshold=threshold, measure=compare, **settings)
    if compare != "mse":
        resolve_measure(compare)
    if json_path is not None and json_path != "-":
        _check_output(json_path)
    return threshold


def cluster_client(
    scheduler: str | None,
    scheduler_file: str | None,
    tls: tuple[str | None, ...],
    workers: int | None,
    threads: int | None,
) -> "Client | None":
    """The client of the named cluster; None if tasks run here."""
    from ..runtime.faults import hide_logs

    hide_logs()
    if scheduler is None and scheduler_file is None:
        if any(tls):
            raise UsageError("certificates for TLS are for a scheduler; name it by --scheduler, or leave them out")
        return None
    from ..runtime.connection import connect, connect_by_file, tls_security

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


def parse_size(text: str) -> tuple[int, int]:
    try:
        width, _, height = (text if "x" in text.lower() else f"{text}x{text}").lower().partition("x")
        return int(width), int(height)
    except ValueError:
        raise UsageError(f"thumbnail size {text!r} is not of the form 64x64") from None
