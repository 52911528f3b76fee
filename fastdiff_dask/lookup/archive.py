"""A store as an archive that is asked for pictures: read, find what is near, look at both files."""

import hashlib
import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..config import (
    DEFAULT_THRESHOLDS,
    SAME_FILE,
    SAME_PICTURE,
    SAME_PIXELS,
    VERDICT_NAMES,
    VERIFY_SIZE,
    CompareSettings,
    ReadSettings,
)
from ..errors import FastDiffError, UsageError
from ..images.contents import lacking
from ..images.decode import open_file
from ..images.decoder_pool import reader
from ..kernels.transforms import Transform, available_transforms
from ..storage.schema import CLEANED
from ..storage.store import Store
from ..tasks.copies.looking import LOOK_COLUMNS, Looking
from ..urls import file_system, full_path, is_url
from .found import Found, Match
from .near_images import Near, NearImages
from .pictures import Picture, array_content, read_pictures

__all__ = ["DEFAULT_IMAGES", "Archive", "ArchiveSettings"]

# Images that are given for a picture, at most.
DEFAULT_IMAGES = 10
# Pictures that are read and compared together.
_TOGETHER = 16
_COLUMNS = [*LOOK_COLUMNS, "side", "current", "error", "extras"]
# Number of the picture among the images of a second look.
_PICTURE = -1
# Verdicts of copies that may lack something.
_LACKING = tuple(VERDICT_NAMES[code] for code in (SAME_PIXELS, SAME_PICTURE))
_ORDER = {name: place for place, name in enumerate(VERDICT_NAMES[SAME_FILE:])}


@dataclass(frozen=True)
class ArchiveSettings:
    """Rules of a lookup.

    Attributes
    ----------
    rotations, mirror
        Turns and mirror images of a picture count as well.
    threshold
        Largest MSE of an image that is given.
    k
        Images that are given for a picture, at most.
    size
        Pixels of the longer side at which both files are looked at again, at most.
    reading
        Limits of reading a file.
    """

    rotations: bool = True
    mirror: bool = False
    threshold: float = DEFAULT_THRESHOLDS["mse"]
    k: int = DEFAULT_IMAGES
    size: int = VERIFY_SIZE
    reading: ReadSettings = field(default_factory=ReadSettings)

    def limit(self, shape: tuple[int, int, int]) -> int:
        """Largest sum of squared errors of thumbnails (h, w, c)."""
        return CompareSettings(similarity_threshold=self.threshold).sse_limit(*shape[:2])


class Archive:
    """A store that is asked for pictures. It is only read, and may be written by another process meanwhile.

    Parameters
    ----------
    url
        Address of the store.
    settings
        Rules of the lookup.
    given
        Folders as the user names them, by side and as the store has them; others are named as the store has them.

    Raises
    ------
    UsageError
        If there is no store, or its thumbnails were removed.
    """

    def __init__(self, url: str, settings: ArchiveSettings, given: dict[tuple[str, str], str] | None = None) -> None:
        self._url, self._settings, self._given = url, settings, given or {}
        self._state: Any = None
        self.refresh()

    def refresh(self) -> None:
        """See what was added to the store since it was opened."""
        store = Store(self._url)
        if CLEANED in store.files.names():
            raise UsageError(f"the thumbnails of {self._url} were removed by clean_up; find makes them again")
        state = len(store.generations), store.finished_blocks()
        if state != self._state:
            shape, settings = store.thumbnail_settings.shape, self._settings
            options = {"rotations": settings.rotations, "mirror": settings.mirror}
            transforms = available_transforms(*shape[:2], **options)
            self._near = NearImages(store, transforms, settings.mirror)
            self._store, self._state = store, state

    def look_up(self, pictures: Sequence[Any]) -> Iterator[Found]:
        """Look up some pictures.

        Parameters
        ----------
        pictures
            Paths, URLs, or arrays (h, w, 3) uint8.

        Yields
        ------
        Found
            The answer to each, in their order; a file that cannot be read has an error.
        """
        for start in range(0, len(pictures), _TOGETHER):
            some = pictures[start : start + _TOGETHER]
            with tempfile.TemporaryDirectory(prefix="fastdiff-") as folder:
                files = [self._as_file(start + place, picture, folder) for place, picture in enumerate(some)]
                yield from self._look_up([file for file, _ in files], [name for _, name in files])

    @staticmethod
    def _as_file(place: int, picture: Any, folder: str) -> tuple[str, str]:
        """Path of a picture, and its name; an array is written to a file."""
        if isinstance(picture, str | bytes | os.PathLike):
            name = os.fsdecode(picture)
            return name, name
        name = f"array {place}"
        file = Path(folder, f"{place}.png")
        file.write_bytes(array_content(name, picture))
        return str(file), name

    def _look_up(self, files: list[str], names: list[str]) -> list[Found]:
        settings = self._settings
        with reader() as decoder:
            pictures = list(read_pictures(decoder, files, self._store.thumbnail_settings, settings.reading))
            thumbnails = [one.thumbnail for one in pictures if one.thumbnail is not None]
            near = iter(self._current(np.stack(thumbnails), settings.k) if thumbnails else [])
            found = []
            for picture, name in zip(pictures, names, strict=True):
                if picture.error:
                    found.append(Found(name, error=picture.error))
                else:
                    found.append(Found(name, self._matches(decoder, picture, *next(near))))
        return found

    def _current(self, thumbnails: Any, k: int) -> list[tuple[Near, Any]]:
        """Find what is near, of the images that are still there, with their metadata."""
        limit = self._settings.limit(self._store.thumbnail_settings.shape)
        found = []
        for thumbnail, near in zip(thumbnails, self._near.nearest(thumbnails, k, limit), strict=True):
            wanted = k
            while True:
                rows = self._store.image_rows(near.numbers, _COLUMNS).fillna({"extras": ""})
                there = np.flatnonzero(rows.current.to_numpy(bool) & rows.error.isna().to_numpy())[:k]
                if len(there) == k or len(near.numbers) < wanted:
                    break
                wanted *= 4  # vanished images are among them
                (near,) = self._near.nearest(thumbnail[None], wanted, limit)
            found.append((near.at(there), rows.iloc[there].set_axis(near.numbers[there])))
        return found

    def _matches(self, decoder: Any, picture: Picture, near: Near, images: Any) -> tuple[Match, ...]:
        rows = {row.Index: row for row in images.itertuples()}
        looking = Looking(decoder, {**rows, _PICTURE: picture.row}, self._settings.reading)
        height, width, _ = self._store.thumbnail_settings.shape
        matches = []
        for number, error, mask in zip(*(array.tolist() for array in near), strict=True):
            row, transform = rows[number], Transform.lowest(mask)
            match = Match(
                self._path(row),
                verdict := self._verdict(looking, picture, number, mask, row),
                error / (height * width),
                transform.degrees,
                transform.mirrored,
                number,
                _is_one_file(picture.row, row),
                _lacks(picture.row, row) if verdict in _LACKING else (),
            )
            matches.append(match)
        return tuple(sorted(matches, key=lambda match: (_ORDER.get(match.verdict, 3), match.mse, match.image)))

    def _verdict(self, looking: Looking, picture: Picture, number: int, mask: int, row: Any) -> str:
        if row.content_hash and row.content_hash == picture.row.content_hash:
            # what was once read may be gone, or be another picture now
            return VERDICT_NAMES[SAME_FILE if _is_as_read(row) else 0]
        try:
            look = looking.pair(_PICTURE, number, mask, self._settings.size)
        except FastDiffError:  # no decoder could be started
            look = None
        return VERDICT_NAMES[look.verdict if look is not None else 0]

    def _path(self, row: Any) -> str:
        return full_path(self._given.get((row.side, row.root), row.root), row.path, row.path_bytes)


def _name(row: Any) -> str:
    return full_path(row.root, row.path, row.path_bytes)


def _is_one_file(picture: Any, row: Any) -> bool:
    """Find whether a picture and an image are the same file, by whatever names."""
    one, other = _name(picture), _name(row)
    try:
        return one == other or os.path.samefile(one, other)  # noqa: PTH121 - names may be undecodable
    except (OSError, ValueError):  # gone, or a URL
        return False


def _is_as_read(row: Any) -> bool:
    """Find whether the file of an image still has the content that was read; its size and time alone do not tell."""
    name = _name(row)
    try:
        if is_url(name):
            fs, path = file_system(name)
            file = fs.open(path, "rb")
        elif os.path.isfile(name) and os.path.getsize(name) == row.size:  # noqa: PTH113, PTH202
            file = open_file(os.fsencode(name))
        else:
            return False
        with file:
            return hashlib.file_digest(file, "sha256").hexdigest() == row.content_hash
    except Exception:  # backends raise errors of any kind
        return False


def _lacks(picture: Any, row: Any) -> tuple[str, ...]:
    """Name what a picture has and another file of it lacks."""
    mine, theirs = (frozenset(str(one.extras or "").split(", ")) - {""} for one in (picture, row))
    more = picture.width * picture.height > row.width * row.height
    return tuple(sorted(lacking(mine, theirs) | (frozenset(("more pixels",)) if more else frozenset())))
