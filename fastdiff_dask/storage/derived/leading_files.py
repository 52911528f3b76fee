"""Leading values of all signatures in some large files, by which a lookup finds the few images that are near.

::

    lookup/1/leading-<first>-<end>.npy      (image, value) float32: a row for each place of these blocks, see
                                            `nearest.leading.leading_rows`; NaN where there is no image

A file has the blocks of a fixed span, or the first of them until the others are there. What a block has is never
changed, so that files need no lock: two processes write the same bytes. Without them, signatures are read.
"""

import contextlib
import io
import re
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...errors import FastDiffError
from ...kernels.grid import split
from ...kernels.nearest.leading import leading_length, leading_rows
from ..schema import CLEANED, LOOKUP
from ..store import Store

__all__ = ["LeadingFiles", "LeadingPart"]

# Another way to make the values is another version.
_FOLDER = f"{LOOKUP}/1"
# Places in a file: 4 MB.
_PLACES = 1 << 16


class LeadingPart(NamedTuple):
    """Leading values of consecutive images.

    Attributes
    ----------
    first
        Number of the first image.
    rows
        (n, k) float32; NaN where there is no image.
    """

    first: int
    rows: NDArray[np.float32]


class LeadingFiles:
    """The files of leading values of a store.

    Parameters
    ----------
    store
        The store, which may be written at the same time: blocks that are finished now are read.
    """

    def __init__(self, store: Store) -> None:
        self._store, self._files = store, store.files
        self._size = store.thumbnail_settings.block_size
        self._span = max(1, _PLACES // self._size)
        self._values = leading_length(store.thumbnail_settings.shape)
        self._finished: set[int] | None = None

    def spans(self) -> list[range]:
        """Blocks of each file."""
        return split(range(self._store.blocks), self._span)

    def missing(self) -> list[range]:
        """Spans whose files are not there, or not to the end."""
        stored = self._stored()
        return [span for span in self.spans() if stored.get(span.start, 0) < span.stop]

    def parts(self) -> Iterator[LeadingPart]:
        """Read the leading values of all finished blocks; what is missing is made, and kept if that is possible."""
        stored = self._stored()
        for span in self.spans():
            yield LeadingPart(span.start * self._size, self._span_rows(span, stored.get(span.start, span.start)))

    def complete(self, span: range) -> None:
        """Make the file of a span whose blocks are finished."""
        self._span_rows(span, self._stored().get(span.start, span.start))

    def _stored(self) -> dict[int, int]:
        """First blocks of the files that are there, and the ends of the longest ones."""
        found: dict[int, int] = {}
        for name in self._files.names(_FOLDER):
            if match := re.fullmatch(r"leading-(\d{1,9})-(\d{1,9})\.npy", name):
                start, stop = int(match[1]), int(match[2])
                found[start] = max(stop, found.get(start, 0))
        return found

    def _span_rows(self, span: range, stored: int) -> NDArray[np.float32]:
        rows = None
        if stored > span.start:
            with contextlib.suppress(OSError, ValueError, EOFError):  # replaced meanwhile, or damaged: made again
                rows = self._read(range(span.start, stored))[: len(span) * self._size]
        if rows is None:
            rows, stored = np.zeros((0, self._values), np.float32), span.start
        if stored >= span.stop:
            return rows
        if self._finished is None:
            self._finished = self._store.finished_blocks()
        left = range(stored, span.stop)
        rows = np.concatenate([rows, *map(self._made, left)])
        if self._finished.issuperset(left):
            self._keep(span, stored, rows)
        return rows

    def _read(self, blocks: range) -> NDArray[np.float32]:
        content = self._files.read(self._name(blocks))
        file = io.BytesIO(content)
        if np.lib.format.read_magic(file) != (1, 0):
            raise ValueError("it is of another version")
        shape, by_columns, dtype = np.lib.format.read_array_header_1_0(file)
        if by_columns or dtype != np.dtype("<f4") or shape != (len(blocks) * self._size, self._values):
            raise ValueError(f"its shape is {shape}")
        # without a copy, which would take as long as reading
        return np.frombuffer(content, "<f4", offset=file.tell()).reshape(shape)

    def _made(self, block: int) -> NDArray[np.float32]:
        """Make the rows of a block from its signatures."""
        rows = np.full((self._size, self._values), np.nan, np.float32)
        if self._finished is not None and block in self._finished:
            numbers = np.arange(self._store.rows()[block]) + block * self._size
            there = np.asarray(self._store.arrays.digest_rows(numbers).any(axis=(1, 2)))
            rows[: len(numbers)] = leading_rows(self._store.arrays.signature_rows(numbers), there)
        return rows

    def _keep(self, span: range, stored: int, rows: NDArray[np.float32]) -> None:
        """Write the file of a span in place of a shorter one, unless nobody may write here."""
        if CLEANED in self._files.names():
            return
        file = io.BytesIO()
        header = {"descr": "<f4", "fortran_order": False, "shape": rows.shape}
        np.lib.format.write_array_header_1_0(file, header)
        content = np.ascontiguousarray(rows, "<f4").view(np.uint8).data
        with contextlib.suppress(OSError, FastDiffError):
            self._files.write(self._name(span), file.getvalue(), content)
            if stored > span.start:
                self._files.remove(self._name(range(span.start, stored)))

    @staticmethod
    def _name(blocks: range) -> str:
        return f"{_FOLDER}/leading-{blocks.start}-{blocks.stop}.npy"
