"""The recorded comparisons of a store: their plans, and the tiles that are finished.

::

    arrays.zarr/comparisons/<comparison>/   attributes: what makes a pair similar
      generations-<g>-<h>/                  a part: the images of generations g to h − 1
        order-a, order-b                    (image) int64: numbers of the images, neighbours alike
        signatures-a, signatures-b          (image, value) float32: their signatures in that order
        compared                            (tile, count) int64: see `TileCounts`; attributes: the plan
        pairs-<tile>                        (pair, field) int64: a, b, value, transforms

What counts as finished, and is written last: a plan, the metadata of its ``compared``; a tile, its chunk of
``compared``, whose numbers are not the fill value −1 (after its ``pairs``).
"""

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import zarr
from numpy.typing import NDArray

from .config import CompareSettings
from .grid import Axis, Tile, plan_tiles
from .search import SearchCounts
from .signatures import signature_length
from .store import FLAT_KEYS, Store

__all__ = ["Comparison", "PairWriter", "Part", "Plan"]

_UNFINISHED = -1
_PAIRS_CHUNK = 1 << 18
_ORDER_CHUNK = 1 << 14
_FIELDS = ["a", "b", "value", "transforms"]


def _order_chunk(images: int) -> int:
    return min(max(images, 1), _ORDER_CHUNK)


class Part(NamedTuple):
    """What of a collection is planned at once.

    Attributes
    ----------
    generations
        The generations whose images are new in it.
    images_a, images_b
        Images of either side that take part in the comparison.
    sub_block
        Images in a sub-block.
    tile_side
        Sub-blocks along the side of a tile.
    """

    generations: range
    images_a: int
    images_b: int
    sub_block: int
    tile_side: int

    @property
    def folder(self) -> str:
        """Name of its folder."""
        return f"generations-{self.generations.start}-{self.generations.stop}"


class Plan(NamedTuple):
    """The tiles of a part, and how far they are.

    Attributes
    ----------
    part
        The part.
    rows, columns
        The axes of the tiles: this part and all before it.
    tiles
        The tiles.
    counts
        (tiles, k) int64: −1 where a tile is not finished; else the similar pairs found, and the `SearchCounts`.
    """

    part: Part
    rows: Axis
    columns: Axis
    tiles: list[Tile]
    counts: NDArray[np.int64]

    def pending(self) -> list[int]:
        """Numbers of the tiles that are not finished."""
        return np.flatnonzero(self.counts[:, 0] < 0).tolist()

    def pairs(self, number: int) -> int:
        """Pairs of images in a tile."""
        tile = self.tiles[number]
        rows = self.rows.images(tile.rows)
        return rows * (rows - 1) // 2 if tile.triangular else rows * self.columns.images(tile.columns)


class Comparison:
    """One comparison of a store, begun or not.

    Parameters
    ----------
    store
        The store of the images.
    settings
        What makes a pair similar; decides the name under which the comparison is kept.
    """

    def __init__(self, store: Store, settings: CompareSettings) -> None:
        self.store = store
        self.settings = settings
        rotations = "-rotations" if settings.rotations else ""
        mirror = "-mirror" if settings.mirror else ""
        self.name = f"{settings.measure}-{settings.similarity_threshold!r}{rotations}{mirror}"

    @classmethod
    def all_in(cls, store: Store) -> list["Comparison"]:
        """All comparisons that were begun."""
        found = []
        for name in sorted(store.files.names("arrays.zarr/comparisons")):
            # a folder alone was left by a process that was killed before it began
            if name != "zarr.json" and "zarr.json" in store.files.names(f"arrays.zarr/comparisons/{name}"):
                with store.reading(f"comparison {name}"):
                    group = zarr.open_group(store.zarr(), path=f"comparisons/{name}", mode="r")
                    values: Any = group.attrs["settings"]
                    found.append(cls(store, CompareSettings.from_json(values)))
        return found

    # -- plans -------------------------------------------------------------------------------------------------------

    def _folder(self, part: Part) -> str:
        return f"comparisons/{self.name}/{part.folder}"

    def _array(self, part: Part, name: str) -> zarr.Array:
        return zarr.open_array(self.store.zarr(), path=f"{self._folder(part)}/{name}", mode="r")

    def part_names(self) -> set[str]:
        """Names of the folders of parts, recorded or not; from one listing."""
        names = self.store.files.names(f"arrays.zarr/comparisons/{self.name}")
        return {name for name in names if re.fullmatch(r"generations-\d+-\d+", name)}

    def parts(self) -> list[Part]:
        """The recorded parts, oldest first: together they cover the first generations of the store."""
        folder = f"comparisons/{self.name}"
        stops: dict[int, list[int]] = {}
        for name in self.store.files.names(f"arrays.zarr/{folder}"):
            match = re.fullmatch(r"generations-(\d+)-(\d+)", name)
            # without it the plan was not finished
            if match and "zarr.json" in self.store.files.names(f"arrays.zarr/{folder}/{name}/compared"):
                stops.setdefault(int(match[1]), []).append(int(match[2]))
        parts: list[Part] = []
        while start := stops.get(parts[-1].generations.stop if parts else 0):
            generations = range(parts[-1].generations.stop if parts else 0, max(start))
            part = Part(generations, 0, 0, 0, 0)
            with self.store.reading(f"the plan of {folder}/{part.folder}"):
                plan: Any = self._array(part, "compared").attrs["plan"]
                parts.append(Part(generations, *(int(plan[name]) for name in Part._fields[1:])))
        return parts

    def plans(self) -> list[Plan]:
        """The recorded parts, with their tiles and how far they are."""
        parts, plans = self.parts(), []
        for number, part in enumerate(parts):
            rows, columns, tiles = self.tiles(parts[: number + 1])
            with self.store.reading(f"the tiles of {self._folder(part)}"):
                counts = np.asarray(self._array(part, "compared")[:])
                if len(counts) != len(tiles):
                    raise ValueError(f"{len(counts)} tiles were recorded, {len(tiles)} were planned")
            plans.append(Plan(part, rows, columns, tiles, counts))
        return plans

    def tiles(self, parts: list[Part]) -> tuple[Axis, Axis, list[Tile]]:
        """Axes and tiles of the last of some parts."""

        def axis(several: list[Part], side: str) -> Axis:
            images = [part.images_a if side == "a" else part.images_b for part in several]
            return Axis(tuple((n, part.sub_block) for n, part in zip(images, several, strict=True)))

        rows, old_rows = axis(parts, "a"), axis(parts[:-1], "a").sub_blocks()
        if not self.store.two_sides:
            return rows, rows, plan_tiles((old_rows, rows.sub_blocks()), None, parts[-1].tile_side)
        columns, old_columns = axis(parts, "b"), axis(parts[:-1], "b").sub_blocks()
        both = (old_rows, rows.sub_blocks()), (old_columns, columns.sub_blocks())
        return rows, columns, plan_tiles(*both, parts[-1].tile_side)

    def begin(self, part: Part) -> None:
        """Record the settings, and remove what a process left that was killed before it recorded this part."""
        settings: Any = {"settings": self.settings.to_json()}
        zarr.open_group(self.store.zarr(), path=f"comparisons/{self.name}", mode="a", attributes=settings)
        self.store.files.remove(f"arrays.zarr/{self._folder(part)}")

    def write_order(
        self, part: Part, side: str, order: NDArray[np.int64], signatures: Iterator[NDArray[np.float32]]
    ) -> None:
        """Write the order of the images of one side of a part, and their signatures (none, or in that order)."""
        for name, shape, dtype, parts in (
            (f"order-{side}", (), "int64", iter([order])),
            (f"signatures-{side}", None, "float32", signatures),
        ):
            array, done = None, 0
            for values in parts:
                if array is None:
                    shape = values.shape[1:]
                    array = zarr.create_array(
                        self.store.zarr(),
                        name=f"{self._folder(part)}/{name}",
                        shape=(len(order), *shape),
                        chunks=(_order_chunk(len(order)), *shape),
                        dtype=dtype,
                        compressors=None,
                        chunk_key_encoding=FLAT_KEYS,
                        dimension_names=("image", "value")[: 1 + len(shape)],
                        # of a single image, number 0, all would be the fill value
                        config={"write_empty_chunks": True},
                    )
                array[done : done + len(values)] = values
                done += len(values)

    def record_part(self, part: Part) -> None:
        """Record a part, so that a resumed run uses the same tiles; its orders are written."""
        plan = {name: getattr(part, name) for name in Part._fields[1:]}
        _, _, tiles = self.tiles([*self.parts(), part])
        counts = ["similar", *SearchCounts.names()]
        # the plan is in the metadata of this array, which is written at once: it is there as a whole or not at all
        zarr.create_array(
            self.store.zarr(),
            name=f"{self._folder(part)}/compared",
            shape=(len(tiles), len(counts)),
            chunks=(1, len(counts)),
            dtype="int64",
            fill_value=_UNFINISHED,
            compressors=None,
            chunk_key_encoding=FLAT_KEYS,
            dimension_names=("tile", "count"),
            attributes={"plan": plan, "counts": counts},
        )

    def read_order(self, part: Part, side: str, places: range) -> NDArray[np.int64]:
        """Numbers of the images at some places of the order of a side of a part."""
        return self._read_ordered(part, f"order-{side}", places, (), "int64")

    def read_signatures(self, part: Part, side: str, places: range) -> NDArray[np.float32]:
        """Signatures of these images: (n, values) float32."""
        shape = (signature_length(*self.store.thumbnail_settings.shape),)
        return self._read_ordered(part, f"signatures-{side}", places, shape, "float32")

    def _read_ordered(self, part: Part, name: str, places: range, shape: tuple[int, ...], dtype: str) -> NDArray[Any]:
        """Rows of an array that `write_order` wrote."""
        images = part.images_a if name.endswith("a") else part.images_b
        size = _order_chunk(images)
        result = np.empty((len(places), *shape), dtype)
        done = 0
        while done < len(places):
            chunk, row = divmod(places[done], size)
            rows = range(row, min(size, row + len(places) - done))
            values = self.store.read_plain(f"{self._folder(part)}/{name}", chunk, rows, shape, dtype)
            result[done : done + len(rows)] = values
            done += len(rows)
        return result

    # -- tiles -------------------------------------------------------------------------------------------------------

    def finished_tiles(self, part: Part) -> set[int]:
        """Numbers of the finished tiles of a part, from one listing."""
        return self.store.stored_chunks(f"{self._folder(part)}/compared")

    def tile_counts(self, part: Part, tile: int) -> tuple[int, int]:
        """Similar pairs found, and pairs compared, in a finished tile: one small file is read."""
        name = f"{self._folder(part)}/compared"
        counts = self.store.read_plain(name, tile, range(1), (1 + len(SearchCounts.names()),), "int64")
        return int(counts[0, 0]), int(counts[0, 1])

    def committed(self, part: Part, tile: int) -> tuple[int, int] | None:
        """Pairs compared and similar pairs found in a tile, if it is finished."""
        with self.store.reading(f"the tiles of {self._folder(part)}"):
            counts = np.asarray(self._array(part, "compared")[tile])
        return None if counts[0] < 0 else (int(counts[1]), int(counts[0]))

    def pair_writer(self, part: Part, tile: int) -> "PairWriter":
        """Write the similar pairs of a tile."""
        return PairWriter(self.store, self._folder(part), tile)

    def read_pairs(self, plan: Plan) -> Iterator[NDArray[np.int64]]:
        """Similar pairs (n, 4) int64 of the finished tiles, at most 2¹⁸ at a time: a, b, value, transforms."""
        folder = self._folder(plan.part)
        for tile, similar in enumerate(plan.counts[:, 0].tolist()):
            for start in range(0, similar, _PAIRS_CHUNK):
                with self.store.reading(f"the pairs of tile {tile} of {folder}"):
                    array = self._array(plan.part, f"pairs-{tile}")
                    if array.shape[0] != similar:
                        raise ValueError(f"{similar} pairs were written, {array.shape[0]} are there")
                    pairs = np.asarray(array[start : start + _PAIRS_CHUNK])
                    # a chunk that is gone reads as zeros, and every pair has a transform
                    if not (pairs[:, 3] > 0).all():
                        raise ValueError("some are gone")
                yield pairs


class PairWriter:
    """Writes the similar pairs of a tile as they are found, so that memory does not grow with their number.

    Pairs of a tile that was not committed do not count, and are overwritten.
    """

    def __init__(self, store: Store, folder: str, tile: int) -> None:
        self._store, self._folder, self._tile = store, folder, tile
        self._array: zarr.Array | None = None
        self._waiting: list[NDArray[np.int64]] = []
        self._rows = 0
        self.similar = 0

    def add(self, pairs: NDArray[np.int64]) -> None:
        """Take pairs (n, 4) int64: a, b, value, transforms."""
        self._waiting.append(pairs)
        self._rows += len(pairs)
        self.similar += len(pairs)
        if self._rows >= _PAIRS_CHUNK:
            self._write(self._rows - self._rows % _PAIRS_CHUNK)

    def _write(self, rows: int) -> None:
        """Write so many of the waiting pairs."""
        if not rows:
            return
        pairs = np.concatenate(self._waiting)
        self._waiting, self._rows = [pairs[rows:]], len(pairs) - rows
        done = 0 if self._array is None else self._array.shape[0]
        if self._array is None:
            self._array = zarr.create_array(
                self._store.zarr(),
                name=f"{self._folder}/pairs-{self._tile}",
                shape=(rows, 4),
                chunks=(min(rows, _PAIRS_CHUNK), 4),
                dtype="int64",
                chunk_key_encoding=FLAT_KEYS,
                dimension_names=("pair", "field"),
                attributes={"fields": _FIELDS},
                overwrite=True,  # left behind by a process that was killed before it committed the tile
            )
        else:
            self._array.resize((done + rows, 4))
        self._array[done:] = pairs[:rows]

    def commit(self, counts: SearchCounts) -> None:
        """Write the rest, and then the mark of the tile."""
        self._write(self._rows)
        row = [self.similar, *(getattr(counts, name) for name in counts.names())]
        self._store.write_plain(f"{self._folder}/compared", self._tile, np.array([row], np.int64))
