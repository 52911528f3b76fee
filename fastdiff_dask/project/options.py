"""What a run is asked for, in one place: checked, recorded in the store, read from a TOML file and written to one.

The names are those of fast_diff_py's configuration, where it has the option: ``fl_`` is for the first loop, which reads
pictures, ``sl_`` for the second, which compares them.
"""

import difflib
import math
import os
import tomllib
from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from ..config import (
    DEFAULT_BLOCK_SIZE,
    PIXEL_LIMIT,
    TIME_LIMIT,
    CompareSettings,
    IndexSettings,
    ReadSettings,
    ThumbnailSettings,
    aspect_factor,
    check_whole,
)
from ..errors import StoreMismatchError, UsageError
from ..kernels.hashes import check_shift
from ..kernels.measures import MEASURES, default_threshold
from ..storage.local_files import replace_file
from ..storage.store import Store
from ..text import printable
from ..urls import is_url

__all__ = ["PLOT_LIMIT", "Settings", "record_settings", "recorded_settings"]

# Pictures of pairs that are drawn if no number is named; each takes a tenth of a second and 150 kB.
PLOT_LIMIT = 1000
_LARGEST_FILE = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Settings:
    """All options of a run; see `FastDifPy` and its stages for what they do.

    Attributes
    ----------
    p_root_dir_a, p_root_dir_b
        Folders to search, and to compare them with.
    thumbnail_size_x, thumbnail_size_y, block_size, exact_decode
        How an image becomes a thumbnail, see `ThumbnailSettings`.
    time_limit, pixel_limit
        What reading a file may cost, see `ReadSettings`.
    recursive, supported_file_types, ignore_names, ignore_paths
        Which files are images, see `IndexSettings`.
    verbose
        Show progress bars: as asked, or, if None, on a terminal only.
    fl_compute_thumbnails
        Read pictures in the first loop; else the second one does it when it begins.
    fl_compute_hash, fl_shift_amount
        Compute hashes of thumbnails, of values shifted by so many bits.
    fl_cpu_proc, sl_cpu_proc
        Tasks of a loop that run at once, at most; by default as many as there are threads.
    sl_gpu_proc
        Tasks of the second loop that run on each GPU at once.
    sl_compare, similarity_threshold, sl_rotations, sl_mirror
        What makes a pair similar, see `CompareSettings`; the threshold is by default that of the measure.
    sl_matching_aspect, sl_match_aspect_by, sl_matching_hash, sl_skip_matching_hash
        Which pairs are compared.
    sl_make_diff_plots, sl_plot_output_dir, sl_plot_limit
        Draw similar pairs; the folder for that; and how many at most.
    store, in_memory, update_timeout
        Where the work is kept; hold it in memory, saved there every so many seconds.
    cfg_path, retain_config
        TOML file of these settings, and whether to write it.

    Raises
    ------
    UsageError
        If a value cannot be used.
    """

    p_root_dir_a: tuple[str, ...] = ()
    p_root_dir_b: tuple[str, ...] = ()
    thumbnail_size_x: int = 64
    thumbnail_size_y: int = 64
    block_size: int = DEFAULT_BLOCK_SIZE
    exact_decode: bool = False
    time_limit: float = TIME_LIMIT
    pixel_limit: int = PIXEL_LIMIT
    recursive: bool = True
    supported_file_types: tuple[str, ...] = ()
    ignore_names: tuple[str, ...] = ()
    ignore_paths: tuple[str, ...] = ()
    verbose: bool | None = None
    fl_compute_thumbnails: bool = True
    fl_compute_hash: bool = False
    fl_shift_amount: int = 4
    fl_cpu_proc: int | None = None
    similarity_threshold: float | None = None
    sl_compare: str = "mse"
    sl_rotations: bool = True
    sl_mirror: bool = False
    sl_matching_aspect: bool = False
    sl_match_aspect_by: float | None = None
    sl_matching_hash: bool = False
    sl_skip_matching_hash: bool = False
    sl_cpu_proc: int | None = None
    sl_gpu_proc: int = 0
    sl_make_diff_plots: bool = False
    sl_plot_output_dir: str | None = None
    sl_plot_limit: int = PLOT_LIMIT
    store: str | None = None
    in_memory: bool = False
    update_timeout: float = 30.0
    cfg_path: str | None = None
    retain_config: bool = False

    def __post_init__(self) -> None:
        for name in ("p_root_dir_a", "p_root_dir_b", "supported_file_types", "ignore_names", "ignore_paths"):
            value = getattr(self, name)
            value = (value,) if isinstance(value, str) else tuple(value) if isinstance(value, list) else value
            object.__setattr__(self, name, value)
        for name in ("p_root_dir_a", "p_root_dir_b"):
            if not isinstance(getattr(self, name), tuple) or not all(
                isinstance(one, str) for one in getattr(self, name)
            ):
                raise UsageError(f"{name} is {getattr(self, name)!r}; it must be a folder or a list of folders")
        for name in ("p_root_dir_a", "p_root_dir_b", "ignore_paths", "store", "cfg_path", "sl_plot_output_dir"):
            value = getattr(self, name)
            for place in value if isinstance(value, tuple) else (value,):
                if isinstance(place, str) and (not place or "\0" in place):
                    what = "with a zero character" if place else "that is empty"
                    raise UsageError(f"{name} has a name {what}; name a place, . is the current folder")
        for name in ("recursive", "fl_compute_thumbnails", "fl_compute_hash", "sl_rotations", "sl_mirror", "in_memory",
                     "sl_make_diff_plots", "retain_config"):  # fmt: skip
            if not isinstance(getattr(self, name), bool):
                raise UsageError(f"{name} is {getattr(self, name)!r}; it must be True or False")
        if self.verbose not in (None, True, False):
            raise UsageError(f"verbose is {self.verbose!r}; it must be True, False or None")
        for name, lowest in (("fl_cpu_proc", 1), ("sl_cpu_proc", 1), ("sl_gpu_proc", 0), ("sl_plot_limit", 1)):
            value = getattr(self, name)
            if value is not None or not name.endswith("cpu_proc"):
                check_whole(name, value, lowest)
        for name in ("sl_plot_output_dir", "store", "cfg_path"):
            if not isinstance(getattr(self, name), str | None):
                raise UsageError(f"{name} is {getattr(self, name)!r}; it must be the name of a place")
        # that of a function is as `user_functions.function_name` makes it
        if not isinstance(self.sl_compare, str) or (self.sl_compare not in MEASURES and "." not in self.sl_compare):
            raise UsageError(f"sl_compare is {self.sl_compare!r}; use {', '.join(map(repr, MEASURES))}")
        seconds = self.update_timeout
        if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 < seconds < math.inf:
            raise UsageError(f"update_timeout is {seconds!r}; it must be seconds, more than 0")
        if self.retain_config and self.cfg_path is None:
            raise UsageError("retain_config writes the settings to a file; name it by cfg_path")
        check_shift(self.fl_shift_amount)
        # each of these checks the rest
        _ = self.thumbnails, self.reading, self.index, self.comparison

    @cached_property
    def thumbnails(self) -> ThumbnailSettings:
        """How an image becomes a thumbnail."""
        return ThumbnailSettings(
            width=self.thumbnail_size_x,
            height=self.thumbnail_size_y,
            block_size=self.block_size,
            exact_decode=self.exact_decode,
        )

    @cached_property
    def reading(self) -> ReadSettings:
        """What reading a file may cost."""
        return ReadSettings(time_limit=self.time_limit, pixel_limit=self.pixel_limit)

    @cached_property
    def index(self) -> IndexSettings:
        """Which files are images."""
        return IndexSettings(
            recursive=self.recursive,
            extensions=self.supported_file_types,
            ignore_names=self.ignore_names,
            ignore_paths=self.ignore_paths,
        )

    @cached_property
    def comparison(self) -> CompareSettings:
        """What makes a pair similar; how hashes were made is left open."""
        threshold = self.similarity_threshold
        return CompareSettings(
            similarity_threshold=default_threshold(self.sl_compare) if threshold is None else threshold,
            measure=self.sl_compare,
            rotations=self.sl_rotations,
            mirror=self.sl_mirror,
            match_aspect_by=aspect_factor(self.sl_matching_aspect, self.sl_match_aspect_by),
            only_matching_hash=self.sl_matching_hash,
            skip_matching_hash=self.sl_skip_matching_hash,
        )

    # -- as values, and as a file ------------------------------------------------------------------------------------

    def to_values(self) -> dict[str, Any]:
        """Plain values of what was set: those of JSON and TOML, without those that are None."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
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
        known = [field.name for field in fields(cls)]
        for name in values:
            if name not in known:
                near = difflib.get_close_matches(name, known, 1)
                hint = f"; did you mean {near[0]}?" if near else f"; there are {', '.join(known)}"
                raise UsageError(f"no setting {printable(name)!r}{hint}")
        return cls(**values)

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> Self:
        """Read settings from a TOML file; names of folders and files are relative to its folder.

        Raises
        ------
        UsageError
            If there is no such file, or it is not understood.

        Examples
        --------
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     file = Path(folder, "photos.toml")
        ...     _ = file.write_text('p_root_dir_a = ["photos"]\\nsimilarity_threshold = 50')
        ...     settings = Settings.read(file)
        >>> settings.similarity_threshold, Path(settings.p_root_dir_a[0]).name
        (50, 'photos')
        """
        file = Path(path)
        try:
            with file.open("rb") as opened:
                content = opened.read(_LARGEST_FILE + 1)
            if len(content) > _LARGEST_FILE:
                raise UsageError(f"{path} is too large for settings; name a TOML file")
            values = tomllib.loads(content.decode())
        except OSError as error:
            raise UsageError(f"the settings in {path} cannot be read: {error.strerror}; name a TOML file") from None
        except ValueError as error:  # no TOML, or no UTF-8
            reason = " ".join(str(error).split())
            raise UsageError(f"the settings in {path} are no TOML: {reason}") from None
        try:
            settings = cls.from_values(values)
        except UsageError as error:
            raise UsageError(f"in {path}: {error}") from None
        return settings.placed(file.absolute().parent)

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write the settings as a TOML file, in place of a former one.

        Raises
        ------
        UsageError
            If it cannot be written.
        """
        import tomli_w

        values = self.placed(Path.cwd()).to_values()
        # who reads it does not write it
        values = {name: value for name, value in values.items() if name not in ("cfg_path", "retain_config")}
        try:
            replace_file(Path(path), tomli_w.dumps(values).encode())
        except OSError as error:
            raise UsageError(f"the settings cannot be written to {path}: {error.strerror}; name another file") from None
        except UnicodeEncodeError:
            raise UsageError(f"the settings cannot be written to {path}: a name in them is not UTF-8") from None

    def check_target(self) -> None:
        """See before any work that the settings can be written to `cfg_path`, and that nothing else is lost by it.

        Raises
        ------
        UsageError
            If there is a file of something else, or none can be.
        """
        path = Path(str(self.cfg_path))
        folder, there = path.absolute().parent, path.exists()
        why_not = None
        if path.is_dir() or not folder.is_dir():
            why_not = "it is no file in a folder"
        elif not os.access(path if there else folder, os.W_OK):
            why_not = "Permission denied"
        if why_not is not None:
            raise UsageError(f"the settings cannot be written to {path}: {why_not}; name another file")
        if there:
            try:
                type(self).read(path)
            except UsageError:
                raise UsageError(f"{path} has no settings, and stays; name another file for them") from None

    def placed(self, folder: Path) -> Self:
        """The same with names of places that are not relative any more."""

        def place(name: str) -> str:
            return name if is_url(name) else str(folder / os.path.expanduser(name))  # noqa: PTH111

        several = {
            name: tuple(map(place, getattr(self, name))) for name in ("p_root_dir_a", "p_root_dir_b", "ignore_paths")
        }
        single = {
            name: place(value)
            for name in ("sl_plot_output_dir", "store", "cfg_path")
            if (value := getattr(self, name)) is not None
        }
        return replace(self, **several, **single)  # type: ignore[arg-type]


def record_settings(store: Store, settings: Settings, sources: dict[str, str]) -> None:
    """Keep the settings of a run in its store, and the addresses of the stores that it compares, if it does."""
    store.records.write_settings({"settings": settings.to_values(), "stores": sources})


def recorded_settings(store: Store) -> tuple[Settings, dict[str, str]]:
    """Settings of the last run, and the addresses of the stores that it compared.

    A store may come from someone else: of where to write nothing is taken over, and which folders it is about is known
    from itself. They have the names that the user gave where these are the same folders still.

    Raises
    ------
    StoreMismatchError
        If they are damaged.
    """
    found = store.records.read_settings()
    made = store.thumbnail_settings
    try:
        values = dict(found.get("settings", {}))
        sources = {str(side): str(url) for side, url in dict(found.get("stores", {})).items()}
        if sources and set(sources) != {"a", "b"}:
            raise ValueError("its stores are not two")
        settings = Settings.from_values(values)
    except (UsageError, ValueError, TypeError) as error:
        reason = printable(" ".join(str(error).split()))[:200]
        raise StoreMismatchError(
            f"the store at {store.url} has damaged settings ({reason}); remove settings.json from it to go on with the "
            f"usual ones"
        ) from None
    folders = (*settings.p_root_dir_a, *settings.p_root_dir_b)
    given = {os.path.realpath(os.path.expanduser(name)): name for name in folders}  # noqa: PTH111 - or URLs
    names = {side: tuple(given.get(folder, folder) for folder in store.roots[side]) for side in ("a", "b")}
    settings = replace(
        settings,
        p_root_dir_a=() if sources else names["a"],
        p_root_dir_b=() if sources else names["b"],
        thumbnail_size_x=made.width,
        thumbnail_size_y=made.height,
        block_size=made.block_size,
        exact_decode=made.exact_decode,
        sl_make_diff_plots=False,
        sl_plot_output_dir=None,
        cfg_path=None,
        retain_config=False,
    )
    return settings, sources
