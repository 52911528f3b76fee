"""The options of a run, each declared once: name, type, check, default, help, and its names elsewhere.

From these declarations come the options of the command line (`cli.options`), the names of a TOML file
(`saved_settings`), the checks and defaults of `FastDifPy`, and the table in the manual (`compat.option_table`).

Names are those of fast_diff_py's configuration, where it has the option: ``fl_`` is for the first loop, which reads
pictures, ``sl_`` for the second, which compares them. No library of the work is imported here: ``--help`` needs it.
"""

import math
import os
import re
from collections.abc import Callable
from dataclasses import Field, dataclass, field, fields, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from ..config import (
    DEFAULT_BLOCK_SIZE,
    DEFAULT_THRESHOLDS,
    METRIC_THRESHOLDS,
    METRICS,
    PIXEL_LIMIT,
    TIME_LIMIT,
    VERIFY_SIZE,
    CompareSettings,
    IndexSettings,
    ReadSettings,
    ThumbnailSettings,
    aspect_factor,
    check_flag,
    check_shift,
    check_vectors_name,
    check_whole,
    default_threshold,
)
from ..errors import UsageError

if TYPE_CHECKING:
    from distributed import Client

__all__ = [
    "GROUPS",
    "NEEDLESS",
    "RECORDED",
    "ClientOptions",
    "Option",
    "Settings",
    "declarations",
    "excluded_by",
    "renamed",
]

# Headings of the options in --help.
GROUPS = LOOK, COMPARE, WRITE, RUN = "What to look at", "How to compare", "What to write", "Where to run"


# Options of fast_diff_py that have no use here, and why.
NEEDLESS = {
    "sl_use_special_b_algo": "one plan of tiles is for one side and for two",
    "sl_base_a": "one plan of tiles is for one side and for two",
    "max_queue_size": "tasks are submitted in waves, some for each thread",
    "retry_limit": "thumbnails are rows of an array, not files that need names",
}
# Values of its configuration that are read from the store.
RECORDED = frozenset(
    (
        *("state", "database", "retain_db", "less_optimized", "cli_args", "has_dir_b", "thumb_dir_a", "thumb_dir_b"),
        *("enough_images_to_compare", "fl_errors", "fl_inserted_counter", "fl_use_workers", "sl_use_workers"),
        *("sl_has_thumb", "sl_queue_status"),
    )
)

# Two settings that exclude each other, and the value that turns the second one off.
_EXCLUSIVE = (
    ("sl_matching_aspect", "sl_match_aspect_by", None),
    ("sl_match_aspect_by", "sl_matching_aspect", False),
    ("sl_matching_hash", "sl_skip_matching_hash", False),
    ("sl_skip_matching_hash", "sl_matching_hash", False),
    ("sl_within_folder", "sl_across_folders", False),
    ("sl_across_folders", "sl_within_folder", False),
)


class Option(NamedTuple):
    """Declaration of an option, beside its type and its default.

    Attributes
    ----------
    help
        One sentence, for ``--help`` and the manual.
    argument
        Name as an argument of `FastDifPy` or of a stage, if it is not that of the setting.
    theirs
        fast_diff_py has the option under the name of the setting.
    flag, metavar, group
        Name on the command line without dashes, "" for none; its placeholder; its heading.
    flag_help
        Help on the command line, if it is another one.
    shown_default
        Text of the default, where its value does not tell.
    place
        The values name folders or files.
    lowest
        Smallest value of a whole number.
    choices
        The values on the command line.
    check
        Refuses a value, given the name and the value.
    """

    help: str
    argument: str = ""
    theirs: bool = False
    flag: str = ""
    metavar: str | None = None
    group: str = ""
    flag_help: str = ""
    shown_default: str = ""
    place: bool = False
    lowest: int | None = None
    choices: tuple[str, ...] = ()
    check: Callable[[str, Any], None] | None = None


def _option(default: Any, help: str, **more: Any) -> Any:
    return field(default=default, metadata={"option": Option(help=help, **more)})


def declarations(kind: type) -> dict[str, tuple[Field[Any], Option]]:
    """Fields of `Settings` or `ClientOptions` by name, each with its declaration."""
    return {one.name: (one, one.metadata["option"]) for one in fields(kind)}


def _check_measure(name: str, value: object) -> None:
    # that of a function has a dot, as `user_functions.function_name` makes it
    if not isinstance(value, str) or (value not in DEFAULT_THRESHOLDS and "." not in value):
        raise UsageError(f"{name}={value!r} cannot be used; use {', '.join(map(repr, DEFAULT_THRESHOLDS))}")


def _check_vectors(name: str, value: object) -> None:
    if value != "":
        check_vectors_name(value)


def _check_metric(name: str, value: object) -> None:
    if value not in METRICS:
        raise UsageError(f"{name}={value!r} cannot be used; use {', '.join(map(repr, METRICS))}")


def _check_seconds(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
        raise UsageError(f"{name}={value!r} cannot be used; use seconds, more than 0")


def _check_folders(name: str, value: object) -> None:
    if not isinstance(value, tuple) or not all(isinstance(one, str) for one in value):
        shown = list(value) if isinstance(value, tuple) else value
        raise UsageError(f"{name}={shown!r} cannot be used; use a folder or a list of folders")


def _limit_of_vectors(metric: str, threshold: object) -> float:
    """Largest distance of a similar pair of vectors, for the threshold that people give."""
    from ..vectors.metrics import limit_of

    if threshold is None:
        threshold = METRIC_THRESHOLDS.get(metric)
    if threshold is None:
        raise UsageError(f"metric={metric!r} has no usual threshold; give one by threshold=")
    number = isinstance(threshold, int | float) and not isinstance(threshold, bool) and math.isfinite(threshold)
    low, high = {"cosine": (-1.0, 1.0), "inner": (-math.inf, math.inf)}.get(metric, (0.0, math.inf))
    if not number or not low <= threshold <= high:  # type: ignore[operator]
        allowed = "from -1 to 1" if metric == "cosine" else "from 0" if low == 0 else "that is finite"
        raise UsageError(f"threshold={threshold!r} cannot be used with metric={metric!r}; use a number {allowed}")
    return limit_of(metric, float(threshold))  # type: ignore[arg-type]


# as "200; 0.1 for ssim, 6 for hamming, 0.95 for cosine"
_SHOWN_THRESHOLDS = f"{DEFAULT_THRESHOLDS['mse']:g}; " + ", ".join(
    f"{value:g} for {name}"
    for name, value in (DEFAULT_THRESHOLDS | METRIC_THRESHOLDS).items()
    if name in ("correlation", "ssim", "hamming", "cosine")
)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """All options of a run; they are recorded in its store.

    Raises
    ------
    UsageError
        If a value cannot be used.
    """

    p_root_dir_a: tuple[str, ...] = _option(
        (), "Folders to search.", argument="directory_a", theirs=True, place=True, check=_check_folders
    )
    p_root_dir_b: tuple[str, ...] = _option(
        (),
        "Compare with the images of this folder, or with this file, instead.",
        argument="directory_b",
        theirs=True,
        flag="against",
        metavar="DIR|FILE",
        group=LOOK,
        place=True,
        check=_check_folders,
    )
    like: str | None = _option(
        None,
        "Give only the copies of this file, which may lie in the folders or elsewhere.",
        flag="like",
        metavar="FILE",
        group=LOOK,
        place=True,
    )
    thumbnail_size_x: int = _option(64, "Width of a thumbnail in pixels.", theirs=True)
    thumbnail_size_y: int = _option(64, "Height of a thumbnail in pixels.", theirs=True)
    block_size: int = _option(DEFAULT_BLOCK_SIZE, "Images in a unit of work.", flag="block-size", group=RUN)
    exact_decode: bool = _option(
        False, "Decode JPEG at full scale: slower, a little more exact.", flag="exact-decode", group=COMPARE
    )
    time_limit: float = _option(TIME_LIMIT, "Seconds for reading a file, 0 for any.", flag="time-limit", group=LOOK)
    pixel_limit: int = _option(PIXEL_LIMIT, "Largest picture to read, width × height.", flag="pixel-limit", group=LOOK)
    recursive: bool = _option(
        True, "Look into sub-folders.", flag="no-recursive", flag_help="Do not look into sub-folders.", group=LOOK
    )
    supported_file_types: tuple[str, ...] = _option(
        (),
        "Only files that end so; may be given several times.",
        argument="extensions",
        theirs=True,
        flag="extension",
        metavar=".EXT",
        group=LOOK,
        shown_default="all that can be decoded",
    )
    ignore_names: tuple[str, ...] = _option(
        (), "Skip files and folders of this name.", theirs=True, flag="ignore-name", metavar="PATTERN", group=LOOK
    )
    ignore_paths: tuple[str, ...] = _option(
        (), "Skip this file or folder.", theirs=True, flag="ignore-path", metavar="PATH", group=LOOK, place=True
    )
    frames_every: float = _option(
        0.0,
        "Compare frames of films and animations as images, one each so many seconds.",
        flag="frames-every",
        metavar="SECONDS",
        group=LOOK,
        shown_default="films are left out",
    )
    min_size: int | str | None = _option(
        None, "Leave out smaller files: bytes, or 100KB, 2MiB.", flag="min-size", metavar="SIZE", group=LOOK
    )
    max_size: int | str | None = _option(
        None, "Leave out larger files: bytes, or 100KB, 2MiB.", flag="max-size", metavar="SIZE", group=LOOK
    )
    min_pixels: int | str | None = _option(
        None,
        "Leave out images with fewer pixels, width × height: a number, or 0.5MP.",
        flag="min-pixels",
        metavar="PIXELS",
        group=LOOK,
    )
    max_pixels: int | str | None = _option(
        None,
        "Leave out images with more pixels: a number, or 0.5MP.",
        flag="max-pixels",
        metavar="PIXELS",
        group=LOOK,
    )
    min_width: int | None = _option(
        None, "Leave out images that are less wide.", flag="min-width", metavar="PIXELS", group=LOOK, lowest=1
    )
    min_height: int | None = _option(
        None, "Leave out images that are less high.", flag="min-height", metavar="PIXELS", group=LOOK, lowest=1
    )
    verbose: bool | None = _option(
        None, "Show progress bars.", theirs=True, shown_default="on a terminal and in notebooks"
    )
    fl_compute_thumbnails: bool = _option(
        True,
        "Read pictures in the first loop; if False, the second one begins with it.",
        theirs=True,
        argument="compute_thumbnails",
    )
    fl_compute_hash: bool = _option(False, "Compute hashes of thumbnails.", argument="compute_hash", theirs=True)
    fl_shift_amount: int = _option(
        4,
        "For hashes: bits by which values are shifted to the right.",
        argument="amount",
        theirs=True,
        flag="hash-shift",
        metavar="BITS",
        group=COMPARE,
        check=lambda name, value: check_shift(value, name),
    )
    fl_cpu_proc: int | None = _option(
        None,
        "Tasks of the first loop at once, at most.",
        argument="cpu_proc",
        theirs=True,
        lowest=1,
        shown_default="all threads",
    )
    similarity_threshold: float | None = _option(
        None,
        "Largest difference (MSE) of a similar pair, or value of another measure.",
        theirs=True,
        flag="threshold",
        group=COMPARE,
        shown_default=_SHOWN_THRESHOLDS,
    )
    sl_compare: str = _option(
        "mse",
        "Measure of the threshold: MSE, 1 − correlation, 1 − SSIM, or different bits of perceptual hashes: hamming or "
        "dhash, phash, ahash, whash; phash-16 has 16 × 16 bits, phash-32 more; pdq has 256.",
        argument="compare",
        flag="compare",
        metavar="mse|correlation|ssim|hamming|phash|...",
        group=COMPARE,
        choices=tuple(DEFAULT_THRESHOLDS),
        check=_check_measure,
    )
    sl_vectors: str = _option(
        "",
        "Compare vectors of this name, which encode has made, in place of thumbnails.",
        argument="on",
        flag="on",
        metavar="NAME",
        group=COMPARE,
        shown_default="thumbnails",
        check=_check_vectors,
    )
    sl_metric: str = _option(
        "cosine",
        "Metric of vectors. Of cosine and inner, the threshold is the least similarity, else the largest distance.",
        argument="metric",
        flag="metric",
        group=COMPARE,
        choices=METRICS,
        check=_check_metric,
    )
    sl_rotations: bool = _option(
        True,
        "Look for turned copies.",
        argument="rotations",
        flag="no-rotations",
        flag_help="Do not look for turned copies.",
        group=COMPARE,
    )
    sl_mirror: bool = _option(
        False, "Look for mirrored copies as well.", argument="mirror", flag="mirror", group=COMPARE
    )
    sl_matching_aspect: bool = _option(
        False,
        "Compare only pictures of the same aspect ratio.",
        argument="only_matching_aspect",
        theirs=True,
        flag="only-matching-aspect",
        group=COMPARE,
    )
    sl_match_aspect_by: float | None = _option(
        None,
        "Compare only pictures of the same size (0), or with aspect ratios within a factor (1: the same).",
        argument="match_aspect_by",
        flag="match-aspect-by",
        metavar="F",
        group=COMPARE,
    )
    sl_matching_hash: bool = _option(
        False,
        "Compare only pictures with equal hashes.",
        argument="only_matching_hash",
        theirs=True,
        flag="only-matching-hash",
        group=COMPARE,
    )
    sl_skip_matching_hash: bool = _option(
        False,
        "Put pictures with equal hashes into clusters uncompared.",
        argument="skip_matching_hash",
        flag="skip-matching-hash",
        group=COMPARE,
    )
    sl_within_folder: bool = _option(
        False,
        "Compare only pictures of one folder; sub-folders are folders of their own.",
        argument="within_folder",
        flag="within-folder",
        group=COMPARE,
    )
    sl_across_folders: bool = _option(
        False,
        "Compare only pictures of two folders.",
        argument="across_folders",
        flag="across-folders",
        group=COMPARE,
    )
    sl_cpu_proc: int | None = _option(
        None,
        "Tasks of the second loop at once, at most.",
        argument="cpu_proc",
        theirs=True,
        lowest=1,
        shown_default="all threads",
    )
    sl_gpu_proc: int = _option(
        0, "Tasks of the second loop on each GPU at once.", argument="gpu_proc", theirs=True, lowest=0
    )
    sl_make_diff_plots: bool = _option(False, "Draw similar pairs.", argument="make_diff_plots", theirs=True)
    sl_plot_output_dir: str | None = _option(
        None,
        "Folder for the plots.",
        argument="diff_location",
        theirs=True,
        place=True,
        shown_default="plots in the store",
    )
    # each takes a tenth of a second and 150 kB
    sl_plot_limit: int = _option(
        1000, "Draw so many at most.", argument="plot_limit", flag="plot-limit", metavar="N", group=WRITE, lowest=1
    )
    edited: bool = _option(
        False,
        "Look for edited copies as well: crops, borders, other colours, captions, small turns.",
        flag="edited",
        group=COMPARE,
    )
    identical: bool = _option(
        False,
        "Look for files that are equal byte for byte, and for nothing else: no picture is decoded.",
        flag="identical",
        group=COMPARE,
    )
    verify: bool = _option(
        True,
        "Look at similar pairs once more, at both files.",
        flag="no-verify",
        flag_help="Do not look at similar pairs once more.",
        group=COMPARE,
    )
    verify_limit: int = _option(
        100_000,
        "Look at so many pairs at most.",
        argument="limit",
        flag="verify-limit",
        metavar="N",
        group=COMPARE,
        lowest=0,
    )
    verify_size: int = _option(
        VERIFY_SIZE,
        "Pixels of the longer side for that look, at most.",
        argument="size",
        flag="verify-size",
        metavar="N",
        group=COMPARE,
        lowest=16,
    )
    store: str | None = _option(
        None,
        "Folder for the work.",
        flag="store",
        metavar="URL",
        group=WRITE,
        place=True,
        shown_default="one in your cache that belongs to what is searched",
    )
    in_memory: bool = _option(
        False, "Hold the work in memory; it is saved to the store every 30 seconds.", flag="in-memory", group=RUN
    )
    update_timeout: float = _option(
        30.0, "Seconds between two saves of a store in memory.", theirs=True, check=_check_seconds
    )
    cfg_path: str | None = _option(None, "TOML file for the settings.", theirs=True, place=True)
    retain_config: bool = _option(False, "Write the settings to that file.", theirs=True)

    def __post_init__(self) -> None:
        for name, (declared, option) in declarations(type(self)).items():
            value = getattr(self, name)
            if isinstance(declared.default, tuple):
                value = (value,) if isinstance(value, str) else tuple(value) if isinstance(value, list) else value
                object.__setattr__(self, name, value)
            _check(name, value, declared, option)
        if self.sl_within_folder and self.p_root_dir_b:
            raise UsageError("within_folder= leaves no pair between two collections; use it with one, or leave it out")
        if self.retain_config and self.cfg_path is None:
            raise UsageError("retain_config writes the settings to a file; name it by cfg_path")
        # each of these checks the rest
        _ = self.thumbnails, self.reading, self.index, self.comparison

    @cached_property
    def thumbnails(self) -> ThumbnailSettings:
        """Making of thumbnails and blocks."""
        return ThumbnailSettings(
            width=self.thumbnail_size_x,
            height=self.thumbnail_size_y,
            block_size=self.block_size,
            exact_decode=self.exact_decode,
        )

    @cached_property
    def reading(self) -> ReadSettings:
        """Limits of time and pixels for reading a file."""
        return ReadSettings(time_limit=self.time_limit, pixel_limit=self.pixel_limit)

    @cached_property
    def index(self) -> IndexSettings:
        """Rules for the files that are images."""
        return IndexSettings(
            recursive=self.recursive,
            extensions=self.supported_file_types,
            ignore_names=self.ignore_names,
            ignore_paths=self.ignore_paths,
            frames_every=self.frames_every,
            min_size=self.min_size,
            max_size=self.max_size,
            min_pixels=self.min_pixels,
            max_pixels=self.max_pixels,
            min_width=self.min_width,
            min_height=self.min_height,
            films=self.identical,
        )

    @cached_property
    def comparison(self) -> CompareSettings:
        """Rules for a similar pair; the kind of hashes is left open."""
        threshold = self.similarity_threshold
        if self.sl_vectors:
            limit = _limit_of_vectors(self.sl_metric, threshold)
        else:
            limit = default_threshold(self.sl_compare) if threshold is None else threshold
        return CompareSettings(
            similarity_threshold=limit,
            measure=self.sl_metric if self.sl_vectors else self.sl_compare,
            vectors=self.sl_vectors,
            rotations=self.sl_rotations and not self.sl_vectors,
            mirror=self.sl_mirror,
            match_aspect_by=aspect_factor(self.sl_matching_aspect, self.sl_match_aspect_by),
            only_matching_hash=self.sl_matching_hash,
            skip_matching_hash=self.sl_skip_matching_hash,
            within_folder=self.sl_within_folder,
            across_folders=self.sl_across_folders,
        )

    def to_values(self) -> dict[str, Any]:
        """Plain values, as for JSON and TOML, of all settings that are not None."""
        values = {one.name: getattr(self, one.name) for one in fields(self)}
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in values.items()
            if value is not None
        }

    @classmethod
    def from_values(cls, values: dict[str, Any]) -> Self:
        """Make settings from plain values.

        Raises
        ------
        UsageError
            If there is no such setting, or a value cannot be used.
        """
        import difflib

        from ..text import printable

        known = [one.name for one in fields(cls)]
        if "threshold" in values:  # as an argument, and on the command line
            if "similarity_threshold" in values:
                raise UsageError("threshold= and similarity_threshold= are two names of one thing; give one of them")
            values = {{"threshold": "similarity_threshold"}.get(name, name): value for name, value in values.items()}
        for name in values:
            if name in NEEDLESS:
                raise UsageError(f"{name} is of no use here: {NEEDLESS[name]}; leave it out")
            if name in RECORDED:
                raise UsageError(f"{name} is no setting: it is read from the store, as db.config.{name}; leave it out")
            if name not in known:
                near = difflib.get_close_matches(name, known, 1)
                hint = f"; did you mean {near[0]}?" if near else f"; there are {', '.join(known)}"
                raise UsageError(f"no setting {printable(name)!r}{hint}")
        return cls(**values)

    def placed(self, folder: Path) -> Self:
        """The same settings, with absolute names of folders and files.

        Parameters
        ----------
        folder
            The folder that relative names are relative to.

        Returns
        -------
        The settings.
        """

        from ..urls import is_url

        def place(name: str) -> str:
            return name if is_url(name) else str(folder / os.path.expanduser(name))  # noqa: PTH111

        changed: dict[str, Any] = {}
        for name, (_, option) in declarations(type(self)).items():
            value = getattr(self, name)
            if option.place and value is not None:
                changed[name] = tuple(map(place, value)) if isinstance(value, tuple) else place(value)
        return replace(self, **changed)


@dataclass(frozen=True, kw_only=True)
class ClientOptions:
    """The Dask client of a project: one to use, or how to start one; checked when a project begins."""

    client: "Client | None" = _option(  # noqa: RUF009 - a field
        None, "Dask client to use.", shown_default="the current one, else one that is started here"
    )
    workers: int | None = _option(
        None,
        "Worker processes to start here.",
        flag="workers",
        metavar="N",
        group=RUN,
        shown_default="threads alone",
    )
    threads: int | None = _option(
        None, "Threads to use here, in each process.", flag="threads", metavar="M", group=RUN, shown_default="all"
    )
    dashboard_address: str | None = _option(
        None,
        "Address at which the dashboard listens.",
        flag="dashboard-address",
        metavar="HOST:PORT",
        group=RUN,
        shown_default="a port of this machine alone",
    )
    performance_report: str | os.PathLike[str] | None = _option(  # noqa: RUF009 - a field
        None,
        "Write Dask's performance report, an HTML page.",
        flag="performance-report",
        metavar="FILE",
        group=WRITE,
    )


def renamed(message: str, names: dict[str, str]) -> str:
    """Name arguments in a message otherwise: each as ``name=``.

    Examples
    --------
    >>> renamed("sl_cpu_proc=0 cannot be used", {"sl_cpu_proc": "cpu_proc"})
    'cpu_proc=0 cannot be used'
    """
    return re.sub(r"(?<![\w.])([a-z]\w*)(?==)", lambda match: names.get(match[1], match[1]), message)


def excluded_by(given: dict[str, Any]) -> dict[str, Any]:
    """Values of other settings that turn these off where the given ones exclude them.

    Examples
    --------
    >>> excluded_by({"sl_match_aspect_by": 1.5, "sl_matching_hash": True, "sl_skip_matching_hash": True})
    {'sl_matching_aspect': False}
    """
    return {
        other: off
        for one, other, off in _EXCLUSIVE
        if one in given and other not in given and (given[one] is not False or one == "sl_matching_aspect")
    }


def _check(name: str, value: Any, declared: Field[Any], option: Option) -> None:
    """Refuse a value that is not of the declared kind."""
    kind = declared.type
    if option.check is not None:
        option.check(name, value)
    if kind is bool:
        check_flag(name, value)
    if kind == bool | None and value is not None:
        check_flag(name, value)
    if option.lowest is not None and (value is not None or declared.default is not None):
        check_whole(name, value, option.lowest)
    if not option.place:
        return
    if not isinstance(value, tuple | str | None):
        raise UsageError(f"{name}={value!r} cannot be used; use the name of a place")
    for place in value if isinstance(value, tuple) else (value,):
        if isinstance(place, str) and (not place or "\0" in place):
            what = "with a zero character" if place else "that is empty"
            raise UsageError(f"{name}= has a name {what}; name a place, . is the current folder")
