"""Put the images of a store in an order in which neighbours are alike, before their neighbours are found."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...config import CompareSettings
from ...errors import FastDiffError
from ...kernels.bounds import BOX_VALUES
from ...kernels.grid import SUB_BLOCK, kd_order
from ...kernels.nearest.leading import leading_rows
from ...kernels.signatures import as_mirrored, leading_values
from ...runtime.activity import recorded
from ...runtime.faults import retried
from ...storage.derived.neighbour_files import NeighbourFiles, NeighbourSettings, images_with_neighbours
from ...storage.store import Store
from ...vectors.nearest_pairs import largest_norm
from ..vector_signatures import make_projection, usable_images, vector_signatures

__all__ = ["order_images"]

# Images whose signatures are read to find their leading values.
_AT_ONCE = 1 << 15


@retried
def order_images(url: str, settings: NeighbourSettings, digest: str, run: str) -> int:
    """Put the images of a store in an order in which neighbours are alike, and record it with their signatures.

    Memory: 300 bytes an image, and 256 MB.

    Parameters
    ----------
    url, settings
        The store, and the question.
    digest
        That of the images.
    run
        The run that `activity.stage` gave.

    Returns
    -------
    Number of images that have neighbours.
    """
    store = Store(url, run)
    files = NeighbourFiles(store, settings, digest)
    images = images_with_neighbours(store, settings)
    if NeighbourFiles.digest_of(images, settings.identity(store)) != digest:
        raise FastDiffError("the images of the store have changed meanwhile; run it again")
    with recorded(store.files, run, "neighbours") as amounts:
        if settings.vectors:
            _order_vectors(files, images)
        else:
            for side in ("a", "b"):
                _order_thumbnails(files, side, images[side])
        amounts.images = len(images["a"]) + len(images["b"])
    return len(images["a"])


def _order_thumbnails(files: NeighbourFiles, side: str, images: NDArray[np.int64]) -> None:
    store, mirror = files.store, files.settings.mirror
    parts = [images[start : start + _AT_ONCE] for start in range(0, len(images), _AT_ONCE)]
    leading = [leading_rows(_signatures(store, mirror, some), np.ones(len(some), bool)) for some in parts]
    values = np.concatenate(leading) if leading else np.zeros((0, 2), np.float32)
    places = kd_order(values[:, :-1], SUB_BLOCK)
    order = images[places]
    files.write_leading(side, values[places])
    files.write_signatures(
        side, (_signatures(store, mirror, order[p.start : p.stop]) for p in files.signature_parts(len(order)))
    )
    files.write_order(side, order)


def _signatures(store: Store, mirror: bool, images: NDArray[np.int64]) -> NDArray[np.float32]:
    rows = store.arrays.signature_rows(images)
    return as_mirrored(rows, *store.thumbnail_settings.shape) if mirror else rows


def _order_vectors(files: NeighbourFiles, images: dict[str, NDArray[np.int64]]) -> None:
    store, settings = files.store, files.settings
    comparison = CompareSettings(
        similarity_threshold=0.0, measure=settings.metric, vectors=settings.vectors, rotations=False
    )
    kept = {side: usable_images(store, comparison, numbers) for side, numbers in images.items()}
    if settings.metric == "hamming" or not any(map(len, kept.values())):
        for side in ("a", "b"):
            files.write_order(side, kept[side])
        return
    projection = make_projection(store, settings.vectors, settings.metric, max(kept.values(), key=len))
    for side in ("a", "b"):
        signatures = vector_signatures(store, comparison, projection, kept[side])
        leading = [leading_values(rows, BOX_VALUES) for rows in signatures]
        values = np.concatenate(leading) if leading else np.zeros((0, 1), np.float32)
        order = kept[side][kd_order(np.minimum(values, np.float32(2**60)), SUB_BLOCK)]  # some may be infinite
        norms = [np.zeros(0)]
        parts = _parts_of(files, vector_signatures(store, comparison, projection, order), order)
        files.write_signatures(side, _with_norms(parts, norms))
        if not store.two_sides:
            files.write_norm(largest_norm(np.concatenate(norms), settings.metric))
        files.write_order(side, order)


def _with_norms(
    parts: Iterator[NDArray[np.float32]], norms: list[NDArray[np.float64]]
) -> Iterator[NDArray[np.float32]]:
    """Give some rows as they are, and list their norms."""
    for rows in parts:
        with np.errstate(all="ignore"):
            norms.append(np.sqrt(np.vecdot(rows.astype(np.float64), rows.astype(np.float64))))
        yield rows


def _parts_of(files: NeighbourFiles, rows: Iterator[Any], order: NDArray[np.int64]) -> Iterator[NDArray[np.float32]]:
    """Cut rows that come some at a time into the parts that are stored."""
    waiting: list[Any] = []
    for part in files.signature_parts(len(order)):
        while sum(map(len, waiting)) < len(part):
            waiting.append(next(rows))
        every = np.concatenate(waiting)
        yield every[: len(part)]
        waiting = [every[len(part) :]]
