"""The nearest neighbours of all images in a store: their order, and the neighbours of a block of images after another.

::

    neighbours/1/<name>/leading-<side>.npy         (image, value) float32: leading values, in the order of the images
                        signatures-<side>-<n>.npy  (image, value) float32: their signatures, so many places a file
                        norm.npy                   (1) float64: bound of the norms of vectors, see `nearest_pairs`
                        limits-<n>.npy             (image) float32: products up to which others may be neighbours
                        strip-<m>-<n>.npy          candidates of the places of file n among those of file m < n
                        strip-<n>-<n>.npy          candidates of the places of file n among these and all after them
                        crowded.npy                candidates were too many: blocks are found one by one
                        order-<side>.npy           (image) int64: numbers of the images in the order; b is written last
                        block-<n>.npy              (image, k, 3) int64: number, value and transforms of each neighbour

`norm`, `limits` and `strip` are there for vectors of one side alone: places of a file of signatures are a strip.

The images of side a have neighbours; these are among side b, or also on side a if there is one side. The name tells the
images, so that an order is never that of others. A block is finished when its file is there; blocks have a fixed number
of images, so that all of this is the same to the byte whoever computes it.
"""

import hashlib
import io
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...config import METRICS
from ..schema import NEIGHBOURS
from ..store import Store
from .vectors import Vectors

__all__ = [
    "BLOCK_IMAGES",
    "NEIGHBOUR_PLACES",
    "NeighbourFiles",
    "NeighbourSettings",
    "images_with_neighbours",
    "remove_neighbours",
]

# Another way to find neighbours is another version.
_FOLDER = f"{NEIGHBOURS}/1"
# Images of a block, and places in a file of signatures.
BLOCK_IMAGES, NEIGHBOUR_PLACES = 1024, 1 << 14
# Beginnings of the names of files that are not needed any more when all blocks are finished.
_NEEDED_BY_TASKS = ("leading", "signatures", "norm", "limits", "strip", "crowded")


@dataclass(frozen=True)
class NeighbourSettings:
    """The question whose answer neighbours are.

    Attributes
    ----------
    k
        Neighbours of an image.
    rotations, mirror
        Transforms of an image that count, of thumbnails.
    vectors, metric
        Name of the vectors that are compared and their metric, see `config.METRICS`; empty for thumbnails by MSE.
    """

    k: int
    rotations: bool = True
    mirror: bool = False
    vectors: str = ""
    metric: str = ""

    def identity(self, store: Store) -> Any:
        """Give what the answer depends on beside the images: the vectors, as they were made."""
        return Vectors(store, self.vectors).made() if self.vectors else None


def images_with_neighbours(store: Store, settings: NeighbourSettings) -> dict[str, NDArray[np.int64]]:
    """Numbers of the images by side, ascending, that are there, were read, and have a vector if these are compared."""
    size = store.thumbnail_settings.block_size
    found: dict[str, list[NDArray[np.int64]]] = {"a": [np.zeros(0, np.int64)], "b": [np.zeros(0, np.int64)]}
    for generation in store.generations:
        for block in generation.blocks:
            frame = store.read_partition(block, ["current", "error"])
            rows = np.flatnonzero(frame.current & frame.error.isna())
            found["a" if block in generation.a else "b"].append(rows + block * size)
    images = {side: np.concatenate(parts) for side, parts in found.items()}
    if settings.vectors:
        images = {side: some[Vectors(store, settings.vectors).there(some)] for side, some in images.items()}
    return images


def remove_neighbours(store: Store, vectors: str) -> None:
    """Remove the neighbours that were found by vectors of a name; the store is locked for writing."""
    begun = tuple(f"{metric}-of-{vectors}-k" for metric in METRICS)
    for name in store.files.names(_FOLDER):
        if name.startswith(begun):
            store.files.remove(f"{_FOLDER}/{name}")


class NeighbourFiles:
    """The files of the neighbours of some images.

    Parameters
    ----------
    store
        The store.
    settings
        The question.
    digest
        What `digest_of` gave for the images.
    """

    def __init__(self, store: Store, settings: NeighbourSettings, digest: str) -> None:
        self.store, self.settings, self.digest = store, settings, digest
        self._files = store.files
        what = f"{settings.metric}-of-{settings.vectors}" if settings.vectors else "mse"
        turns = "-rotations" * settings.rotations + "-mirror" * settings.mirror
        self._kind = f"{what}-k{settings.k}{'' if settings.vectors else turns}"
        self._folder = f"{_FOLDER}/{self._kind}-{digest}"

    @staticmethod
    def digest_of(images: dict[str, NDArray[np.int64]], more: Any = None) -> str:
        """Digest of the images, and of what else the answer depends on, as 16 hexadecimal digits."""
        digest = hashlib.blake2b(repr(more).encode(errors="surrogatepass"), digest_size=8)
        for side in ("a", "b"):
            digest.update(len(images[side]).to_bytes(8, "little") + images[side].astype("<i8").tobytes())
        return digest.hexdigest()

    # -- order -------------------------------------------------------------------------------------------------------

    @property
    def other_side(self) -> str:
        """Side on which the neighbours are."""
        return "b" if self.store.two_sides else "a"

    def is_ordered(self) -> bool:
        """Tell whether the order is recorded."""
        return "order-b.npy" in self._files.names(self._folder)

    def write_order(self, side: str, order: NDArray[np.int64]) -> None:
        """Record the order of a side, side b last."""
        self._write(f"order-{side}.npy", order)

    def read_order(self, side: str) -> NDArray[np.int64]:
        """Numbers of the images of a side, in their order."""
        order = self._read(f"order-{side}.npy", "<i8", 1)
        with self._files.reading(f"{self._folder}/order-{side}.npy"):
            stop = self.store.blocks * self.store.thumbnail_settings.block_size
            if len(order) and not 0 <= order.min() <= order.max() < stop:
                raise ValueError("it has images that are not there")
        return order

    def write_leading(self, side: str, rows: NDArray[np.float32]) -> None:
        """Record the leading values of a side in its order."""
        self._write(f"leading-{side}.npy", rows)

    def read_leading(self, side: str) -> NDArray[np.float32]:
        """Leading values of a side in its order."""
        return self._read(f"leading-{side}.npy", "<f4", 2)

    def write_signatures(self, side: str, parts: Iterator[NDArray[np.float32]]) -> None:
        """Record the signatures of a side in its order, each part as many as `signature_parts` says."""
        for number, rows in enumerate(parts):
            self._write(f"signatures-{side}-{number}.npy", rows)

    @staticmethod
    def signature_parts(images: int) -> Iterator[range]:
        """Places whose signatures are in a file each."""
        return (range(start, min(start + NEIGHBOUR_PLACES, images)) for start in range(0, images, NEIGHBOUR_PLACES))

    def read_signatures(self, side: str, places: range) -> NDArray[np.float32]:
        """Signatures at consecutive places of the order of a side, within one file: (n, values) float32."""
        number, first = divmod(places.start, NEIGHBOUR_PLACES)
        name = f"{self._folder}/signatures-{side}-{number}.npy"
        with self._files.reading(name):
            head = io.BytesIO(self._files.read(name, 256))
            shape, offset = _shape_of(head, "<f4", 2)
            if first + len(places) > shape[0]:
                raise ValueError(f"it has {shape[0]} rows")
            row_bytes = 4 * shape[1]
            # the largest pieces of which the head of the file and a row are whole numbers
            piece = math.gcd(offset, row_bytes)
            start, stop = (offset + row * row_bytes for row in (first, first + len(places)))
            content = self._files.read_rows(name, piece, np.arange(start // piece, stop // piece))
            return content.reshape(-1).view("<f4").reshape(len(places), shape[1])

    # -- strips ------------------------------------------------------------------------------------------------------

    def write_norm(self, norm: float) -> None:
        """Record a bound of the norms of all vectors; infinite where there is none that helps."""
        self._write("norm.npy", np.array([norm]))

    def read_norm(self) -> float:
        """Bound of the norms; infinite if none was recorded, or candidates were too many."""
        names = self._files.names(self._folder)
        known = "norm.npy" in names and "crowded.npy" not in names
        return float(self._read("norm.npy", "<f8", 1)[0]) if known else math.inf

    def give_up_strips(self) -> None:
        """Record that candidates are too many."""
        self._write("crowded.npy", np.zeros(1))

    def strips(self) -> list[range]:
        """Places of the images of each strip."""
        return list(self.signature_parts(len(self.read_order("a"))))

    def finished_limits(self) -> set[int]:
        """Numbers of the strips whose limits are there."""
        return self._numbers(r"limits-(\d{1,9})\.npy")

    def write_limits(self, strip: int, limits: NDArray[np.float32]) -> None:
        """Commit the limits of a strip."""
        self._write(f"limits-{strip}.npy", limits)

    def read_limits(self) -> NDArray[np.float32]:
        """Limits of all images, in their order."""
        parts = [self._read(f"limits-{strip}.npy", "<f4", 1) for strip in range(len(self.strips()))]
        return np.concatenate([np.zeros(0, np.float32), *parts])

    def finished_strips(self) -> set[int]:
        """Numbers of the strips whose candidates are there, of themselves and of all strips after them."""
        return self._numbers(r"strip-(\d{1,9})-\1\.npy")

    def decided_strips(self) -> set[int]:
        """Numbers of the strips all of whose blocks are finished."""
        left = {self.blocks()[block].start for block in set(range(len(self.blocks()))) - self.finished()}
        return {number for number, places in enumerate(self.strips()) if not any(start in places for start in left)}

    def write_candidates(self, strip: int, owner: int, candidates: NDArray[Any]) -> None:
        """Record the candidates of the images of a strip, `owner`, among those of `strip`.

        Those of the strip itself, among it and all strips after it, are recorded last.
        """
        self._write(f"strip-{strip}-{owner}.npy", candidates.view("<i4").reshape(-1, 3))

    def read_candidates(self, strip: int, owner: int, dtype: np.dtype[Any]) -> NDArray[Any]:
        """Candidates as `write_candidates` got them."""
        name = f"strip-{strip}-{owner}.npy"
        found = self._read(name, "<i4", 2)
        with self._files.reading(f"{self._folder}/{name}"):
            strips, places = self.strips(), found[:, :2]
            of = strips[owner]
            among = range(of.start, strips[-1].stop) if owner == strip else strips[strip]
            if found.shape[1] != 3 or (
                len(found)
                and not (
                    of.start <= places[:, 0].min() <= places[:, 0].max() < of.stop
                    and among.start <= places[:, 1].min() <= places[:, 1].max() < among.stop
                )
            ):
                raise ValueError("it has images that are not there")
        return found.reshape(-1).view(dtype)

    def _numbers(self, pattern: str) -> set[int]:
        names = self._files.names(self._folder)
        return {int(match[1]) for name in names if (match := re.fullmatch(pattern, name))}

    # -- blocks ------------------------------------------------------------------------------------------------------

    def blocks(self) -> list[range]:
        """Places of the images of each block in the order of side a."""
        images = len(self.read_order("a"))
        return [range(start, min(start + BLOCK_IMAGES, images)) for start in range(0, images, BLOCK_IMAGES)]

    def finished(self) -> set[int]:
        """Numbers of the finished blocks."""
        return self._numbers(r"block-(\d{1,9})\.npy")

    def is_finished(self) -> bool:
        """Tell whether the neighbours of all images are there."""
        return self.is_ordered() and self.finished() >= set(range(len(self.blocks())))

    def write_block(self, number: int, found: NDArray[np.int64]) -> None:
        """Commit the neighbours of the images of a block: (n, k, 3) int64, −1 where there are fewer than k."""
        self._write(f"block-{number}.npy", found)

    def read_block(self, number: int) -> NDArray[np.int64]:
        """Neighbours of the images of a block, as `write_block` got them."""
        found = self._read(f"block-{number}.npy", "<i8", 3)
        with self._files.reading(f"{self._folder}/block-{number}.npy"):
            if found.shape[1:] != (self.settings.k, 3):
                raise ValueError(f"its shape is {found.shape}")
        return found

    def forget(self) -> None:
        """Remove what finished blocks do not need, and the neighbours that the same question had before."""
        for name in self._files.names(self._folder):
            if name.startswith(_NEEDED_BY_TASKS):
                self._files.remove(f"{self._folder}/{name}")
        for name in self._files.names(_FOLDER):
            if re.fullmatch(re.escape(self._kind) + r"-[0-9a-f]{16}", name) and name != f"{self._kind}-{self.digest}":
                self._files.remove(f"{_FOLDER}/{name}")

    # -- files -------------------------------------------------------------------------------------------------------

    def _write(self, name: str, values: NDArray[Any]) -> None:
        file = io.BytesIO()
        plain = np.ascontiguousarray(values, values.dtype.newbyteorder("<"))
        header = {"descr": plain.dtype.str, "fortran_order": False, "shape": plain.shape}
        np.lib.format.write_array_header_1_0(file, header)
        self._files.write(f"{self._folder}/{name}", file.getvalue(), plain.reshape(-1).view(np.uint8).data)

    def _read(self, name: str, dtype: str, axes: int) -> NDArray[Any]:
        with self._files.reading(f"{self._folder}/{name}"):
            content = self._files.read(f"{self._folder}/{name}")
            shape, offset = _shape_of(io.BytesIO(content), dtype, axes)
            return np.frombuffer(content, dtype, offset=offset).reshape(shape)


def _shape_of(file: io.BytesIO, dtype: str, axes: int) -> tuple[tuple[int, ...], int]:
    """Shape of an array in NumPy's format, and where its values begin."""
    if np.lib.format.read_magic(file) != (1, 0):
        raise ValueError("it is of another version")
    shape, by_columns, found = np.lib.format.read_array_header_1_0(file)
    if by_columns or found != np.dtype(dtype) or len(shape) != axes:
        raise ValueError(f"it is an array {shape} of {found}")
    return shape, file.tell()
