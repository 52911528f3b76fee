"""A picture of one pair for a notebook: two images of a store side by side, and where they differ."""

import os
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..config import SAME_FILE, VERDICT_NAMES, CompareSettings
from ..errors import UsageError
from ..images.decoder_pool import close_readers
from ..images.display import ShownImage, pair_html
from ..images.preview import data_url, fitted, read_listed
from ..kernels.squared_errors import transformed_squared_errors
from ..kernels.transforms import Transform, apply_transform, available_transforms
from ..results.collect import shown_paths
from ..stages.listing.roots import Root
from ..storage.derived.verdicts import read_verdicts
from ..storage.schema import FILE_NAME
from ..storage.store import Store
from ..text import file_size, printable
from ..urls import full_path

__all__ = ["Pair", "look_at_pair"]

_SHOWN = 480
_COLUMNS = ["image", "side", *FILE_NAME, "size", "mtime_ns", "current", "width", "height", "content_hash", "error"]


@dataclass(frozen=True)
class Pair:
    """A pair of images; a notebook shows both pictures and a map of their difference.

    Attributes
    ----------
    a, b
        The paths.
    mse
        The exact MSE of the thumbnails, lowest over the transforms of a: squared differences summed over channels, mean
        over pixels.
    rotation, mirrored
        Degrees counter-clockwise by which a is turned; True if it is mirrored left and right before.
    verdict
        What a second look at both files found, see `Result.pairs`.
    difference
        (height, width) int64: squared differences summed over channels; the mean is `mse`.
    """

    a: str
    b: str
    mse: float
    rotation: int
    mirrored: bool
    verdict: str
    difference: NDArray[np.int64] = field(repr=False)
    _rows: tuple[Any, Any] = field(repr=False)
    _thumbnails: NDArray[np.uint8] = field(repr=False)

    def _repr_html_(self) -> str:
        transform = Transform.of(self.rotation, self.mirrored)
        try:
            shown = [
                _shown(row, thumbnail, name, turn)
                for row, thumbnail, name, turn in zip(
                    self._rows, self._thumbnails, (self.a, self.b), (transform, Transform.IDENTITY), strict=True
                )
            ]
        finally:
            close_readers()
        turned = f", the first one turned by {self.rotation}°" if self.rotation else ""
        mirrored = f"{',' if turned else ', the first one'} mirrored" if self.mirrored else ""
        return pair_html(shown, self.difference, f"{self.verdict}, difference (MSE) {self.mse:.6g}{turned}{mirrored}")


def _shown(row: Any, thumbnail: NDArray[np.uint8], name: str, transform: Transform) -> ShownImage:
    """Read the picture of an image and turn it; an image that cannot be read is shown by its thumbnail."""
    width, height = fitted(int(row.width), int(row.height), _SHOWN)
    pixels, error = read_listed(os.fsencode(full_path(row.root, row.path, row.path_bytes)), row, _SHOWN)
    about = f"{row.width} × {row.height} pixels, {file_size(row['size'])}"
    if pixels is None:
        pixels, about = thumbnail, f"{about}; by its thumbnail: {printable(error)}"
    if transform.swaps_sides:
        width, height = height, width
    turned = apply_transform(pixels[None], transform)[0]
    return ShownImage(printable(name), about, data_url(turned), width / height)


def look_at_pair(store: Store, roots: list[Root], a: str, b: str, settings: CompareSettings) -> Pair:
    """Compare two images of a store, similar or not.

    Parameters
    ----------
    store, roots
        The store, and the folders as the user gives them now.
    a, b
        Paths as results have them. If both sides have such a path, a is on side a, and b on side b.
    settings
        The transforms that count.

    Returns
    -------
    Both images, and their value.

    Raises
    ------
    UsageError
        If the store has no image of a path, or the image could not be read.
    """
    frame = store.read_images(_COLUMNS)
    frame = frame[frame.current]
    paths = shown_paths(frame, roots)
    found = []
    for name, side in ((os.fspath(a), "a"), (os.fspath(b), "b")):
        places = [place for place, path in enumerate(paths) if path == name]
        if not places:
            raise UsageError(f"{printable(name)} is no image of this store; name it as in pairs")
        place = next((place for place in places if frame.side.iloc[place] == side), places[0])
        row = frame.iloc[place]
        if isinstance(row.error, str):
            raise UsageError(f"{printable(name)} could not be read: {printable(row.error)}")
        found.append((int(row.image), row))  # not its place: a block need not be full
    thumbnails = store.arrays.thumbnail_rows(np.array([number for number, _ in found], np.int64))
    height, width, _ = store.thumbnail_settings.shape
    transforms = available_transforms(height, width, rotations=settings.rotations, mirror=settings.mirror)
    errors, masks = transformed_squared_errors(thumbnails[:1], thumbnails[1:], transforms)
    transform = Transform.lowest(int(masks[0, 0]))
    turned = apply_transform(thumbnails[:1], transform)[0].astype(np.int64)
    difference = ((turned - thumbnails[1]) ** 2).sum(axis=2)
    mse = int(errors[0, 0]) / (height * width)
    rows = found[0][1], found[1][1]
    verdict = _verdict(store, [number for number, _ in found], [row.content_hash for row in rows])
    return Pair(a, b, mse, transform.degrees, transform.mirrored, verdict, difference, rows, thumbnails)


def _verdict(store: Store, numbers: list[int], contents: list[Any]) -> str:
    if contents[0] == contents[1]:
        return VERDICT_NAMES[SAME_FILE]
    a, b = np.array(numbers, np.int64)[:, None]
    return VERDICT_NAMES[int(read_verdicts(store).codes(a, b)[0])]
