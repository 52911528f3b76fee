"""Search in the terms of difPy: its settings, the structure of its results, and the images that may go.

difPy 4.2.1's MSE is the mean over pixels and channels, a third of ours, of thumbnails made by the plain bicubic filter;
a project gives the same with ``exact_decode``. Its groups are stars: each image belongs to the first one, by path,
that it is similar to.
"""

import json
import math
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..actions.removals import Removal, Seen
from ..config import check_whole
from ..errors import UsageError
from ..images.opening import image_extensions
from ..project.locations import default_store
from ..project.options import ClientOptions, Settings
from ..project.project import Project
from ..results.result import Result
from ..stages.listing.roots import resolve_roots
from ..storage.store import Store
from ..urls import is_url
from .difpy_groups import CHANNELS, choose_removals, find_matches

__all__ = ["DifPySearch", "DifPySettings", "search", "write_files"]

_SIMILARITIES = {"duplicates": 0, "similar": 5}
# Settings in the statistics.
_BUILDING = ("recursive", "in_folder", "limit_extensions", "px_size", "processes")
_SEARCHING = ("rotate", "same_dim", "processes", "chunksize")
# Longest thumbnail side that is compared; difPy's own limit, 5,000 pixels, is 75 MB an image.
_PX_SIZES = (10, 1024)
_UNSUPPORTED = "Unsupported file type"
Groups = dict[str, list[list[Any]]]


@dataclass(frozen=True, kw_only=True)
class DifPySettings:
    """Settings under difPy's names and with its defaults.

    Attributes
    ----------
    directory
        Folders to search.
    recursive
        Look into sub-folders.
    in_folder
        Compare only images that are below the same one of the folders, sub-folders included.
    limit_extensions
        Read only files whose names end like those of images; else every file is tried.
    px_size
        Side of the thumbnails in pixels, 10 to 1,024.
    similarity
        "duplicates" (0), "similar" (5), or the largest MSE of a pair: the mean over pixels and channels.
    rotate
        Compare in all four quarter turns.
    same_dim
        Compare only images of the same width and height; with `rotate`, up to a quarter turn.
    show_progress
        Say what is done.
    processes
        Tasks at a time, threads of this process with a decoder process each; by default as many as there are cores.
    chunksize
        Without effect, as tiles fit the memory by themselves; kept in the statistics.
    skip
        Folders that are not searched.
    """

    directory: tuple[str, ...]
    recursive: bool = True
    in_folder: bool = False
    limit_extensions: bool = True
    px_size: int = 50
    similarity: float | str = "duplicates"
    rotate: bool = True
    same_dim: bool = True
    show_progress: bool = True
    processes: int = field(default_factory=lambda: os.cpu_count() or 1)
    chunksize: int | None = None
    skip: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        folders = sorted(path if is_url(path) or not path else os.path.normpath(path) for path in self.directory)
        for first, second in pairwise(folders):
            if first == second:
                raise UsageError(f"folder {first!r} is named twice; name it once")
        object.__setattr__(self, "directory", tuple(folders))
        cores = os.cpu_count() or 1
        check_whole("px_size", self.px_size, *_PX_SIZES)
        check_whole("processes", self.processes, 1, cores)
        if self.chunksize is not None:
            check_whole("chunksize", self.chunksize, 1, 2**62)
        object.__setattr__(self, "similarity", _similarity(self.similarity))


def _similarity(value: float | str) -> float:
    if isinstance(value, str) and value in _SIMILARITIES:
        return _SIMILARITIES[value]
    try:
        number = float(value)
    except ValueError:
        number = -1.0
    if not 0 <= number < math.inf:
        raise UsageError(f"similarity={value!r} cannot be used; use duplicates, similar, or an MSE from 0, as 20")
    return number + 0.0  # −0.0 becomes 0.0


@dataclass(frozen=True)
class DifPySearch:
    """The outcome in difPy's structure.

    Attributes
    ----------
    result
        Path → [[path, MSE], ...]; with ``in_folder``, that for each folder.
    removals
        Images that may go, each with the image that is kept for it.
    stats
        As difPy's.
    """

    result: dict[str, Any]
    removals: list[Removal]
    stats: dict[str, Any]

    @property
    def lower_quality(self) -> list[str]:
        """Paths of images that may go, sorted."""
        return sorted(removal.file.path for removal in self.removals)


class _Part(NamedTuple):
    """Result of folders that are compared with each other."""

    groups: Groups
    quality: dict[str, int]
    seen: dict[str, Seen]
    compared: int
    invalid: dict[str, str]
    times: tuple[datetime, datetime, datetime]


def search(settings: DifPySettings) -> DifPySearch:
    """Search as difPy does. After a stop at any moment, the same call goes on.

    The work is in a store in the user's cache, one for the folders and thumbnail size, and with ``in_folder`` one for
    each folder.

    Raises
    ------
    UsageError
        If a folder cannot be searched.
    """
    together = [(folder,) for folder in settings.directory] if settings.in_folder else [settings.directory]
    for folders in together:  # all of them before any work
        resolve_roots({"a": list(folders)})
    parts = [_search_part(folders, settings) for folders in together]
    seen = {path: known for part in parts for path, known in part.seen.items()}
    quality = {path: size for part in parts for path, size in part.quality.items()}
    groups = [[first, *(other for other, _ in others)] for part in parts for first, others in part.groups.items()]
    removals = [Removal(seen[path], seen[kept]) for path, kept in sorted(choose_removals(groups, quality).items())]
    result: dict[str, Any] = parts[0].groups
    if settings.in_folder:
        result = {folders[0]: part.groups for folders, part in zip(together, parts, strict=True) if part.groups}
    return DifPySearch(result, removals, _statistics(settings, parts))


def _search_part(folders: tuple[str, ...], settings: DifPySettings) -> _Part:
    similarity = float(settings.similarity)
    begin = datetime.now()
    with Project(_project_settings(folders, settings), ClientOptions(threads=settings.processes)) as project:
        with project.writing():
            project.index()
            project.make_thumbnails()
            built = datetime.now()
            project.compare()
            result = project.result()
        matches = find_matches(result, similarity)
        paths = list(result.images.index)
        groups: Groups = {}
        for match in matches:
            groups.setdefault(paths[match.first], []).append([paths[match.image], match.mse])
        used = sorted({row for match in matches for row in (match.image, match.first)})
        images = result.images.iloc[used]
        modified = _modified(project.store, images["image"].to_numpy())
    found = list(zip(images.index, images["width"], images["height"], images["size"], modified, strict=True))
    return _Part(
        groups,
        {path: int(width + height) for path, width, height, _, _ in found},
        {path: Seen(path, int(size), int(mtime)) for path, _, _, size, mtime in found},
        result.files["compared"],
        _invalid_files(folders, settings, result),
        (begin, built, datetime.now()),
    )


def _project_settings(folders: tuple[str, ...], settings: DifPySettings) -> Settings:
    similarity = float(settings.similarity)
    place = default_store(resolve_roots({"a": list(folders)}))
    return Settings(
        p_root_dir_a=folders,
        # find's own store is of another thumbnail size
        store=f"{place}-difpy-{settings.px_size}",
        thumbnail_size_x=settings.px_size,
        thumbnail_size_y=settings.px_size,
        exact_decode=True,
        recursive=settings.recursive,
        supported_file_types=() if settings.limit_extensions else (".*",),
        ignore_paths=settings.skip,
        verbose=None if settings.show_progress else False,
        # the products are rounded; what is above is left out by `find_matches`
        similarity_threshold=math.nextafter(CHANNELS * similarity, math.inf) if similarity else 0.0,
        sl_rotations=settings.rotate,
        sl_match_aspect_by=0 if settings.same_dim else None,
    )


def _invalid_files(folders: tuple[str, ...], settings: DifPySettings, result: Result) -> dict[str, str]:
    """Files that were not compared, each with the reason."""
    invalid = dict(zip(result.errors["path"], result.errors["error"], strict=True))
    for link in result.links.itertuples():
        invalid[link.path] = f"another name of {link.same_file_as}"
    if settings.limit_extensions:
        invalid |= dict.fromkeys(_unsupported(folders, settings), _UNSUPPORTED)
    return invalid


def _modified(store: Store, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
    """Times of modification of some images, in nanoseconds, as they were listed."""
    times = np.zeros(len(numbers), np.int64)
    blocks, rows = np.divmod(numbers, store.thumbnail_settings.block_size)
    for block in np.unique(blocks).tolist():
        here = blocks == block
        times[here] = store.read_partition(block, ["mtime_ns"]).mtime_ns.to_numpy()[rows[here]]
    return times


def _unsupported(folders: Iterable[str], settings: DifPySettings) -> list[str]:
    """Files of local folders that are no images by their extensions."""
    extensions = image_extensions()
    skipped = {os.path.realpath(path) for path in settings.skip}
    found: list[str] = []
    for folder in folders:
        if is_url(folder):
            continue
        for place, below, names in os.walk(folder):
            below[:] = [name for name in below if os.path.realpath(Path(place, name)) not in skipped]
            if not settings.recursive:
                below.clear()
            found += [str(Path(place, name)) for name in names if Path(name).suffix.lower() not in extensions]
    return found


def _statistics(settings: DifPySettings, parts: list[_Part]) -> dict[str, Any]:
    invalid = {path: reason for part in parts for path, reason in part.invalid.items()}
    compared = sum(part.compared for part in parts)
    found = [mse for part in parts for others in part.groups.values() for _, mse in others]
    duplicates = sum(mse == 0 for mse in found)
    values = asdict(settings)
    begin, end = parts[0].times[0], parts[-1].times[2]
    # of several folders one after the other, the sum of what each took
    building = sum((part.times[1] - part.times[0] for part in parts), begin - begin)
    return {
        "directory": list(settings.directory),
        "total_files": compared + len(invalid),
        "invalid_files": {"count": len(invalid), "logs": invalid},
        "process": {
            "build": {
                "duration": _duration(begin, begin + building),
                "parameters": {name: values[name] for name in _BUILDING},
            },
            "search": {
                "duration": _duration(begin + building, end),
                "parameters": {
                    "similarity_mse": settings.similarity,
                    **{name: values[name] for name in _SEARCHING},
                },
                "files_searched": compared,
                "matches_found": {"duplicates": duplicates, "similar": len(found) - duplicates},
            },
        },
    }


def _duration(start: datetime, end: datetime) -> dict[str, Any]:
    return {
        "start": start.isoformat(),
        "end": end.isoformat(),
        "seconds_elapsed": round((end - start).total_seconds(), 4),
    }


def write_files(found: DifPySearch, folder: str | os.PathLike[str], stamp: str) -> list[str]:
    """Write ``difPy_<stamp>_results.json``, ``..._lower_quality.json`` and ``..._stats.json``, and give their names.

    Raises
    ------
    UsageError
        If a file cannot be written.
    """
    contents = {"results": found.result, "lower_quality": found.lower_quality, "stats": found.stats}
    names = []
    for name, content in contents.items():
        names.append(f"difPy_{stamp}_{name}.json")
        try:
            with Path(folder, names[-1]).open("x") as file:
                json.dump(content, file)
        except OSError as error:
            raise UsageError(f"cannot write {names[-1]} in {folder}: {error.strerror}; name another folder") from None
    return names
