"""Calibrations in a store: the thumbnails of copies that were made of some images, and what they were compared with.

::

    calibration/<kinds>/copies-<image>.npy           (kinds, h, w, c) uint8: the copies of an image
    calibration/<kinds>/<images>/block-<block>.npz   measured against the images of a block, see `Measured`

Digests stand for the kinds, and for the images that are copied and compared. Each file is written as a whole, and is
not made again.
"""

import hashlib
import io
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..schema import CALIBRATION
from ..store import Store

__all__ = ["CalibrationFiles", "Measured"]


class Measured(NamedTuple):
    """Copies against the images of a block, by MSE and by correlation, the measures m.

    Attributes
    ----------
    copies
        (k,) int64: places, kind by kind and image by image, of the copies whose originals are in the block.
    own
        (k, m) float64: their distances from these.
    wrong
        (kinds, m, t) int64: pairs of a copy and another image, up to each threshold.
    nearest
        (kinds, m) float64: smallest distance of such a pair; infinity if there is none.
    pairs
        (kinds,) int64: such pairs in all.
    """

    copies: NDArray[np.int64]
    own: NDArray[np.float64]
    wrong: NDArray[np.int64]
    nearest: NDArray[np.float64]
    pairs: NDArray[np.int64]


class CalibrationFiles:
    """The files of one calibration.

    Parameters
    ----------
    store
        The store.
    kinds
        Names of the kinds of copies.
    images
        (n,) int64: numbers of the images that are copied.
    """

    def __init__(self, store: Store, kinds: Sequence[str], images: NDArray[np.int64]) -> None:
        self.kinds, self.images = tuple(kinds), images
        self._store, self._files = store, store.files
        self._shape = (len(self.kinds), *store.thumbnail_settings.shape)
        self._folder = f"{CALIBRATION}/{_digest(self.kinds)}"

    def uncopied(self) -> NDArray[np.int64]:
        """Numbers of the images whose copies are not made yet."""
        names = self._files.names(self._folder)
        return np.array([image for image in self.images.tolist() if f"copies-{image}.npy" not in names], np.int64)

    def compared(self, block: int) -> NDArray[np.int64]:
        """Numbers of the images of a block that copies are compared with: the current ones that could be read."""
        frame = self._store.read_partition(block, ["image", "current", "error"])
        return frame.image[frame.current & frame.error.isna()].to_numpy(np.int64)

    def _measured(self, block: int) -> str:
        compared = self.images.tolist(), self.compared(block).tolist()
        return f"{self._folder}/{_digest(compared)}/block-{block}.npz"

    def unmeasured(self) -> list[int]:
        """Numbers of the blocks that were not compared yet."""
        paths = [PurePosixPath(self._measured(block)) for block in range(self._store.blocks)]
        return [n for n, path in enumerate(paths) if path.name not in self._files.names(str(path.parent))]

    def write_copies(self, image: int, copies: NDArray[np.uint8]) -> None:
        """Commit the copies of an image, (kinds, h, w, c) uint8; none if the image cannot be read any more."""
        content = io.BytesIO()
        np.save(content, copies)
        self._files.write(f"{self._folder}/copies-{image}.npy", content.getvalue())

    def read_copies(self, image: int) -> NDArray[np.uint8] | None:
        """Read the copies of an image; None if it could not be read."""
        name = f"{self._folder}/copies-{image}.npy"
        with self._files.reading(name):
            copies = np.load(io.BytesIO(self._files.read(name)))
            if copies.dtype != np.uint8 or copies.shape not in (self._shape, (0, *self._shape[1:])):
                raise ValueError(f"its shape is {copies.shape}")
        return copies if len(copies) else None

    def write_measured(self, block: int, measured: Measured) -> None:
        """Commit what was measured against a block."""
        content = io.BytesIO()
        np.savez(content, **measured._asdict())
        self._files.write(self._measured(block), content.getvalue())

    def read_measured(self, block: int) -> Measured:
        """Read what was measured against a block."""
        name = self._measured(block)
        with (
            self._files.reading(name),
            np.load(io.BytesIO(self._files.read(name))) as arrays,
        ):
            return Measured(**{field: arrays[field] for field in Measured._fields})


def _digest(values: object) -> str:
    return hashlib.blake2b(repr(values).encode(), digest_size=8).hexdigest()
