"""Neighbours of all images of one side by their vectors, each pair compared once: strip by strip, then block by block.

1. `limit_strip`: a sample of all vectors tells for each of a strip how far its neighbours are at most.
2. `compare_strip`: a strip is compared with itself and all strips after it, and leaves candidates for each.
3. `decide_strip`: the candidates of a strip, from all strips before it, are compared to the bit.
"""

from collections.abc import Iterator
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...kernels.device import Device
from ...runtime.activity import recorded
from ...runtime.blas import SINGLE_THREADED_BLAS
from ...runtime.faults import retried
from ...storage.derived.neighbour_files import NeighbourFiles, NeighbourSettings
from ...storage.store import Store
from ...vectors.nearest_pairs import (
    CANDIDATE,
    CrowdedError,
    Scale,
    Strip,
    candidates_of_strips,
    first_limits,
    kept_candidates,
    nearest_of_candidates,
    sample_size,
)
from ...vectors.search import float_rows
from ..vector_signatures import read_projection
from .held import held_by_process
from .vector_block import neighbours_of, read_vectors

__all__ = ["compare_strip", "decide_strip", "limit_strip"]


class _Vectors(NamedTuple):
    """Vectors as they are stored, and bytes of them."""

    rows: NDArray[Any]
    nbytes: int


class _Strips:
    """The strips of a question, as a task reads them."""

    def __init__(self, url: str, settings: NeighbourSettings, digest: str, bytes_per_task: int, run: str) -> None:
        self.store = Store(url, run)
        self.files = NeighbourFiles(self.store, settings, digest)
        self.order = self.files.read_order("a")
        self.places = self.files.strips()
        self._projection = read_projection(self.store, settings.vectors, settings.metric)
        self.scale = Scale(self._projection, self.files.read_norm())
        self._held: Device = held_by_process(bytes_per_task)
        self._name = (url, digest, settings, run)

    def strip(self, number: int) -> Strip:
        """Read the vectors of a strip as they are measured."""
        strip: Strip = self._held.cached((*self._name, "strip", number), partial(self._strip, number))
        return strip

    def _strip(self, number: int) -> Strip:
        places = self.places[number]
        return Strip(places.start, self.files.read_signatures("a", places), self.floats(places))

    def floats(self, places: Any) -> NDArray[np.float32]:
        """Read some vectors as they are measured."""
        numbers = self.order[places.start : places.stop] if isinstance(places, range) else self.order[places]
        floats: NDArray[np.float32] = float_rows(self._projection, read_vectors(self.files, numbers))
        return floats

    def vectors(self, number: int) -> NDArray[Any]:
        """Read the vectors of a strip as they are stored."""

        def read() -> _Vectors:
            places = self.places[number]
            rows = read_vectors(self.files, self.order[places.start : places.stop])
            return _Vectors(rows, rows.nbytes)

        rows: NDArray[Any] = self._held.cached((*self._name, "vectors", number), read).rows
        return rows


@retried
def limit_strip(url: str, settings: NeighbourSettings, digest: str, number: int, bytes_per_task: int, run: str) -> int:
    """Find the limits of a strip, see `nearest_pairs.first_limits`, and commit them; parameters as of `nearest_block`.

    Memory: the vectors of the strip and of the sample, in float32; 20 MB.
    """
    strips = _Strips(url, settings, digest, bytes_per_task, run)
    if number not in strips.files.finished_limits():
        images = len(strips.order)
        sample = np.unique(np.linspace(0, images - 1, sample_size(images, settings.k)).astype(np.int64))
        with SINGLE_THREADED_BLAS:
            floats = strips.floats(sample)
            limits = first_limits(strips.scale, strips.strip(number), floats, sample, settings.k)
        strips.files.write_limits(number, limits)
    return 0


@retried
def compare_strip(
    url: str, settings: NeighbourSettings, digest: str, number: int, bytes_per_task: int, run: str
) -> bool:
    """Compare a strip with itself and all after it, and commit what they are to each other.

    Parameters as of `nearest_block`. Memory: two strips in float32 and as they are stored, what is held, and 200 MB.

    Returns
    -------
    False if there are too many candidates, which is recorded.
    """
    strips = _Strips(url, settings, digest, bytes_per_task, run)
    files, last = strips.files, len(strips.places)
    if number in files.finished_strips():
        return True
    others = [partial(strips.strip, other) for other in range(number + 1, last)]
    with recorded(strips.store.files, run, "neighbours", strip=number):
        try:
            with SINGLE_THREADED_BLAS:
                found = candidates_of_strips(
                    strips.scale, strips.strip(number), others, files.read_limits(), settings.k
                )
                for owner, make in zip([*range(number + 1, last), number], found, strict=True):
                    files.write_candidates(number, owner, make())
        except CrowdedError:
            files.give_up_strips()
            return False
    return True


@retried
def decide_strip(url: str, settings: NeighbourSettings, digest: str, number: int, bytes_per_task: int, run: str) -> int:
    """Find the neighbours of the images of a strip among their candidates, and commit them block by block.

    Parameters as of `nearest_block`. Memory: two strips as they are stored, what is held, and 200 MB.

    Returns
    -------
    Number of images.
    """
    strips = _Strips(url, settings, digest, bytes_per_task, run)
    files, places = strips.files, strips.places[number]
    parts = [files.read_candidates(one, number, CANDIDATE) for one in range(number + 1)]
    candidates = kept_candidates(np.concatenate(parts), settings.k, strips.scale.margin)
    with recorded(strips.store.files, run, "neighbours", strip=number) as amounts, SINGLE_THREADED_BLAS:
        found, values = nearest_of_candidates(
            settings.metric, settings.k, strips.order, places, _by_strips(strips, number, candidates)
        )
        rows = neighbours_of(found, values)
        for block, inside in enumerate(files.blocks()):
            if places.start <= inside.start < places.stop:
                files.write_block(block, rows[inside.start - places.start : inside.stop - places.start])
        amounts.images = len(places)
    return len(places)


def _by_strips(strips: _Strips, number: int, candidates: NDArray[Any]) -> Iterator[tuple[NDArray[Any], Any, int, Any]]:
    """Give the candidates of a strip among each strip, with the vectors of both."""
    for other, places in enumerate(strips.places):
        some = candidates[(candidates["other"] >= places.start) & (candidates["other"] < places.stop)]
        if len(some):
            yield some, strips.vectors(number), places.start, strips.vectors(other)
