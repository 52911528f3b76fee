"""The recorded comparisons of a store: their plans, and the tiles that are finished.

::

    arrays.zarr/comparisons/<comparison>/   attributes: what makes a pair similar
      generations-<g>-<h>/                  a part: the images of generations g to h − 1
        order-a, order-b                    (image) int64: numbers of the images, neighbours alike
        signatures-a, signatures-b          (image, value) float32: their signatures in that order
        keys-a, keys-b                      (image, value) int64: of pair filters, see `pair_filters.picture_keys`
        compared                            (tile, count) int64: see `TileCounts`; attributes: the plan
        pairs-<tile>                        (pair, field) int64: a, b, value, transforms; see `pairs`

What counts as finished, and is written last: a plan, the metadata of its ``compared``; a tile, its chunk of
``compared``, whose numbers are not the fill value −1 (after its ``pairs``).

With new pictures every day there are hundreds of parts with a few tiles each. So what is small is not compressed, and
read as the plain files that it is: Zarr takes milliseconds for each array. What is recorded is never changed, only
added to, and is read once by each `Comparison`.
"""

import hashlib
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..config import CompareSettings
from ..kernels.bounds import SearchCounts
from ..kernels.pair_filters import PairFilters
from ..kernels.signatures import signature_length
from ..text import printable
from .plans import Part, Plan, axes_and_tiles
from .schema import ARRAYS, COMPARISONS, FLAT_KEYS
from .store import Store
from .validation import MOST_TILES, check_plan, stored_array

__all__ = ["Comparison"]

_UNFINISHED = -1
# Small files that are read at the same time.
_FILES_AT_ONCE = 256
_ORDER_CHUNK = 1 << 14
_COUNTS = 1 + len(SearchCounts.names())
# Counts of a tile before low frequencies were counted: such parts keep theirs.
_FEWER_COUNTS = 6


def _order_chunk(images: int) -> int:
    return min(max(images, 1), _ORDER_CHUNK)


def _is_begun(store: Store, name: str) -> bool:
    # a folder alone was left by a process that was killed before it began
    return "zarr.json" in store.files.names(f"{ARRAYS}/{COMPARISONS}/{name}")


def _counts_of(content: bytes) -> NDArray[np.int64]:
    """Counts of a tile: (k,) int64; 0 for those that were not counted yet when it was written."""
    found = np.frombuffer(content, "<i8")
    if len(found) not in (_COUNTS, _FEWER_COUNTS):
        raise ValueError(f"{len(found)} counts are there, {_COUNTS} are written")
    return np.concatenate([found, np.zeros(_COUNTS - len(found), np.int64)])


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
        aspect = "" if settings.match_aspect_by is None else f"-aspect{settings.match_aspect_by!r}"
        made = hashlib.blake2b(settings.hashes.encode(errors="surrogatepass"), digest_size=4).hexdigest()
        hashes = f"-samehash-{made}" if settings.only_matching_hash else ""
        hashes = f"-otherhash-{made}" if settings.skip_matching_hash else hashes
        measure = f"{settings.measure}-of-{settings.vectors}" if settings.vectors else settings.measure
        folders = "-withinfolder" if settings.within_folder else "-acrossfolders" if settings.across_folders else ""
        self.name = f"{measure}-{settings.similarity_threshold!r}{rotations}{mirror}{aspect}{hashes}{folders}"
        self._group = f"{COMPARISONS}/{self.name}"
        self._known: dict[str, tuple[Part, int]] = {}
        self._plans: list[Plan] = []

    @classmethod
    def all_in(cls, store: Store) -> list["Comparison"]:
        """All comparisons that were begun."""
        found = []
        for name in sorted(store.files.names(f"{ARRAYS}/{COMPARISONS}")):
            if name != "zarr.json" and _is_begun(store, name):
                attributes = store.arrays.attributes(f"{COMPARISONS}/{name}")
                with store.files.reading(f"comparison {printable(name)}"):
                    comparison = cls(store, CompareSettings.from_json(attributes["settings"]))
                    # a name from a listing leads nowhere else; one that is made from settings could
                    if comparison.name != name or printable(name) != name:
                        raise ValueError(f"its settings are those of {printable(comparison.name)}")
                    found.append(comparison)
        return found

    def is_begun(self) -> bool:
        """Tell whether it is recorded."""
        return _is_begun(self.store, self.name)

    # -- plans -------------------------------------------------------------------------------------------------------

    def folder(self, part: Part) -> str:
        """Name of the group of a part."""
        return f"{self._group}/{part.folder}"

    def mark(self, part: Part, tile: int) -> str:
        """Name of the file whose presence says that a tile is finished."""
        return f"{ARRAYS}/{self.folder(part)}/compared/c.{tile}.0"

    def part_names(self) -> set[str]:
        """Names of the folders of parts, recorded or not; from one listing."""
        names = self.store.files.names(f"{ARRAYS}/{self._group}")
        return {name for name in names if re.fullmatch(r"generations-\d{1,9}-\d{1,9}", name)}

    def parts(self) -> list[Part]:
        """The recorded parts, oldest first: together they cover the first generations of the store."""
        stops: dict[int, list[tuple[int, Part]]] = {}
        for name in sorted(self.part_names()):
            if name not in self._known:
                recorded = self._read_plan(name)
                if recorded is None:
                    continue
                self._known[name] = recorded
            part = self._known[name][0]
            stops.setdefault(part.generations.start, []).append((part.generations.stop, part))
        parts: list[Part] = []
        while found := stops.get(parts[-1].generations.stop if parts else 0):
            parts.append(max(found)[1])
        return parts

    def _read_plan(self, name: str) -> tuple[Part, int] | None:
        """A part by the name of its folder, and the number of its tiles; None if its plan was not finished."""
        path = f"{self._group}/{name}"
        try:
            content = self.store.files.read(f"{ARRAYS}/{path}/compared/zarr.json")
        except FileNotFoundError:
            return None
        with self.store.files.reading(f"the plan of {path}"):
            array = stored_array(content, "int64")
            if array.chunks not in {(1, _COUNTS), (1, _FEWER_COUNTS)} or array.shape[0] > MOST_TILES:
                raise ValueError(f"its shape is {array.shape}, in chunks of {array.chunks}")
            start, stop = (int(number) for number in name.split("-")[1:])
            if not start < stop:
                raise ValueError("it has no generations")
            if stop > len(self.store.generations):
                return None  # planned after the store was opened
            new = self.store.generations[start:stop]
            images = sum(one.images_a for one in new), sum(one.images_b for one in new)
            return Part(range(start, stop), *check_plan(array.attributes["plan"], images)), array.shape[0]

    def plans(self) -> list[Plan]:
        """The recorded parts, with their tiles and how far they are."""
        parts = self.parts()
        known = [plan.part for plan in self._plans]
        same = next((n for n, (old, new) in enumerate(zip(known, parts, strict=False)) if old != new), len(known))
        plans = self._plans[: min(same, len(parts))]
        for number in range(len(plans), len(parts)):
            with self.store.files.reading(f"the plan of {self.folder(parts[number])}"):
                rows, columns, tiles = axes_and_tiles(parts[: number + 1], self.store.two_sides)
            counts = np.full((len(tiles), _COUNTS), _UNFINISHED, np.int64)
            plans.append(Plan(parts[number], rows, columns, tiles, counts))
        missing: list[tuple[int, int]] = []
        for number, plan in enumerate(plans):
            pending = plan.pending()
            if not pending:
                continue
            recorded = self._known[plan.part.folder][1]
            with self.store.files.reading(f"the tiles of {self.folder(plan.part)}"):
                if recorded != len(plan.tiles):
                    raise ValueError(f"{recorded} tiles were recorded, {len(plan.tiles)} were planned")
            finished = self.finished_tiles(plan.part)
            missing += [(number, tile) for tile in pending if tile in finished]
            plans[number] = plan._replace(counts=plan.counts.copy())
        self._read_marks(plans, missing)
        self._plans = plans
        return list(plans)

    def _read_marks(self, plans: list[Plan], missing: list[tuple[int, int]]) -> None:
        """Read what is recorded of finished tiles: (number of the plan, number of the tile)."""
        for start in range(0, len(missing), _FILES_AT_ONCE):
            some = missing[start : start + _FILES_AT_ONCE]
            paths = [self.mark(plans[number].part, tile) for number, tile in some]
            with self.store.files.reading(f"the tiles of {self.folder(plans[some[0][0]].part)} and later"):
                for (number, tile), content in zip(some, self.store.files.read_several(paths), strict=True):
                    plans[number].counts[tile] = _counts_of(content)

    def begin(self, part: Part) -> None:
        """Record the settings, and remove what a process left that was killed before it recorded this part."""
        import zarr

        self.store.files.check_run()
        settings: Any = {"settings": self.settings.to_json()}
        place = self.store.arrays.zarr(self._group)
        zarr.open_group(place, mode="a", zarr_format=3, use_consolidated=False, attributes=settings)
        self.store.files.remove(f"{ARRAYS}/{self.folder(part)}")

    def write_order(
        self,
        part: Part,
        side: str,
        order: NDArray[np.int64],
        signatures: Iterator[NDArray[np.float32]],
        keys: NDArray[np.int64] | None = None,
    ) -> None:
        """Write the order of the images of one side of a part, and their signatures and keys (none, or so ordered)."""
        import zarr

        for name, shape, dtype, parts in (
            (f"order-{side}", (), "int64", iter([order])),
            (f"signatures-{side}", None, "float32", signatures),
            (f"keys-{side}", None, "int64", iter([] if keys is None else [keys])),
        ):
            array, done = None, 0
            for values in parts:
                self.store.files.check_run()
                if array is None:
                    shape = values.shape[1:]
                    array = zarr.create_array(
                        self.store.arrays.zarr(f"{self.folder(part)}/{name}"),
                        zarr_format=3,
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
        import zarr

        plan = {name: getattr(part, name) for name in Part._fields[1:]}
        _, _, tiles = axes_and_tiles([*self.parts(), part], self.store.two_sides)
        counts = ["similar", *SearchCounts.names()]
        self.store.files.check_run()
        # the plan is in the metadata of this array, which is written at once: it is there as a whole or not at all
        zarr.create_array(
            self.store.arrays.zarr(f"{self.folder(part)}/compared"),
            zarr_format=3,
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
        images = self._read_ordered(part, f"order-{side}", places, (), "int64")
        stop = self.store.blocks * self.store.thumbnail_settings.block_size
        with self.store.files.reading(f"{ARRAYS}/{self.folder(part)}/order-{side}"):
            if len(images) and not 0 <= images.min() <= images.max() < stop:
                raise ValueError("it has images that are not there")
        return images

    def read_signatures(self, part: Part, side: str, places: range, values: int = 0) -> NDArray[np.float32]:
        """Signatures of these images: (n, values) float32; so many values as those of thumbnails have by default."""
        shape = (values or signature_length(*self.store.thumbnail_settings.shape),)
        return self._read_ordered(part, f"signatures-{side}", places, shape, "float32")

    def read_keys(self, part: Part, side: str, places: range) -> NDArray[np.int64]:
        """Keys of these images, of a comparison with pair filters: (n, k) int64."""
        shape = (PairFilters.of(self.settings).key_values,)
        return self._read_ordered(part, f"keys-{side}", places, shape, "int64")

    def _read_ordered(self, part: Part, name: str, places: range, shape: tuple[int, ...], dtype: str) -> NDArray[Any]:
        """Rows of an array that `write_order` wrote."""
        images = part.images_a if name.endswith("a") else part.images_b
        size = _order_chunk(images)
        result = np.empty((len(places), *shape), dtype)
        done = 0
        while done < len(places):
            chunk, row = divmod(places[done], size)
            rows = range(row, min(size, row + len(places) - done))
            values = self.store.arrays.read_plain(f"{self.folder(part)}/{name}", chunk, rows, shape, dtype)
            result[done : done + len(rows)] = values
            done += len(rows)
        return result

    # -- tiles -------------------------------------------------------------------------------------------------------

    def finished_tiles(self, part: Part) -> set[int]:
        """Numbers of the finished tiles of a part, from one listing."""
        return self.store.arrays.stored_chunks(f"{self.folder(part)}/compared")

    def tile_counts(self, part: Part, tiles: list[int]) -> NDArray[np.int64]:
        """Similar pairs found, and pairs compared, in some finished tiles: (tiles, 2) int64; a small file each."""
        with self.store.files.reading(f"the tiles of {self.folder(part)}"):
            contents = self.store.files.read_several([self.mark(part, tile) for tile in tiles])
            return np.stack([_counts_of(content)[:2] for content in contents])

    def committed(self, part: Part, tile: int) -> tuple[int, int] | None:
        """Pairs compared and similar pairs found in a tile, if it is finished."""
        try:
            content = self.store.files.read(self.mark(part, tile))
        except FileNotFoundError:
            return None
        with self.store.files.reading(f"tile {tile} of {self.folder(part)}"):
            counts = _counts_of(content)
            return int(counts[1]), int(counts[0])

    def write_counts(self, part: Part, tile: int, counts: list[int]) -> None:
        """Record what was found in a tile, which finishes it: similar pairs, and the `SearchCounts`."""
        name = f"{self.folder(part)}/compared"
        recorded = self.store.arrays.described(name, "int64").shape[1]
        self.store.arrays.write_plain(name, tile, np.array([counts[:recorded]], np.int64))
