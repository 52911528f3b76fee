"""Estimate a run over some folders: images, bytes of the store, comparisons, seconds. Writes nothing."""

import hashlib
import math
import os
import time
import uuid
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from distributed import Client
from numpy.typing import NDArray

from ..config import DEFAULT_SAMPLE, CompareSettings, IndexSettings, ReadSettings, ThumbnailSettings, check_whole
from ..images.decoder_pool import close_readers, reader
from ..images.decoder_process import ListedFile, Request
from ..images.display import facts_html
from ..kernels.bounds import BOX_VALUES, SearchCounts, SearchSide, candidate_pairs, search_radius
from ..kernels.grid import SUB_BLOCK, kd_order, pairs_within
from ..kernels.hashes import DIGEST_BYTES, thumbnail_digests
from ..kernels.signatures import leading_values, signature_length, signatures
from ..kernels.similarity import SquaredErrorLimit, listed_pairs
from ..kernels.transforms import available_transforms
from ..runtime.blas import SINGLE_THREADED_BLAS
from ..runtime.waves import run_in_waves
from ..runtime.workers import capacity, check_visible, is_embedded
from ..storage.arrays import row_array_bytes
from ..storage.records import encode_partition
from ..storage.store import Store
from ..text import counted, file_size, printable, titled
from ..urls import full_path
from .index import list_images, unread_rows
from .listing.roots import Root
from .listing.walk_local import ListedImage

__all__ = ["Estimate", "check_sample", "estimate_job", "thumbnail_bytes"]

# Files of the sample in a task: enough that its clock counts, few enough that all threads are busy.
_LARGEST_GROUP = 16
# Thumbnails of the sample that are compared.
_COMPARED = 200
# Images of the made-up collection whose comparison is timed (0.05 s). Beyond that number, time grows with this power of
# the number of images: measured 1.4 from 16,000 to 65,000, 1.3 to 240,000 and 2 to a million.
_MADE_UP, _POWER = 16_384, 1.5
# Fewer thumbnails do not tell how pictures differ. A recorded rate is used instead: pairs a second and thread, measured
# with 4,000 to 16,000 images.
_FEWEST, _RECORDED_RATE = 16, 1e9
# Times that a sample does not show, in seconds, recorded on two cores of an AMD EPYC with a local disk: of a stage with
# its tasks and files, of committing a block, and of an image in the plan of the comparison.
_STAGE, _COMMIT, _PLANNED = 0.05, 0.03, 8e-6


@dataclass(frozen=True)
class Estimate:
    """Estimate of a run over some folders.

    Attributes
    ----------
    images
        Number of images below the folders, as the index lists them: unreadable ones are included.
    sides
        Number of images of side "a" and of side "b".
    store_bytes
        Bytes of the store in all, the sum of `bytes_by_part`. Only the metadata is compressed.
    bytes_by_part
        Bytes of "thumbnails", "signatures" (once in the order of the images and once in that of the comparison),
        "digests" and "metadata". Blocks have an index each, so that this is a little more than a number a picture.
    comparisons
        Number of pairs of images.
    seconds
        Seconds of each stage: "index", "thumbnails", "compare". For a cluster that does nothing else, MSE, and the
        threshold 200.
    sample, sample_errors
        Number of files that were read for the estimate, and of those that could not be read.
    scaled_by
        Extrapolation of the time of the sample: by "bytes" of the files or by their "number"; see `estimate_job`.
    """

    images: int
    sides: dict[str, int]
    store_bytes: int
    bytes_by_part: dict[str, int]
    comparisons: int
    seconds: dict[str, float]
    sample: int
    sample_errors: int
    scaled_by: str

    def __repr__(self) -> str:
        return titled("Estimate", self._lines())

    def _repr_html_(self) -> str:
        parts = [(f"{name} (store)", file_size(size)) for name, size in self.bytes_by_part.items()]
        times = [(name, f"{seconds:.3g} s") for name, seconds in self.seconds.items()]
        return facts_html(self._lines(), [*times, *parts])

    def _lines(self) -> list[str]:
        total = sum(self.seconds.values())
        errors = f", {self.sample_errors} of them errors" if self.sample_errors else ""
        return [
            f"{counted(self.images, 'image')}, {counted(self.comparisons, 'pair')}",
            f"about {total:.3g} s, and {file_size(self.store_bytes)} for the store",
            f"from a sample of {counted(self.sample, 'file')}{errors}",
        ]


class _Group(NamedTuple):
    """Measurements from some files of the sample.

    Attributes
    ----------
    files, size
        Number of files, and their bytes in all.
    seconds, start
        Seconds of reading, and before that of starting a decoder if there was none.
    errors
        Number of files that could not be read.
    thumbnails
        Thumbnails of the other files, (n, h, w, 3) uint8.
    """

    files: int
    size: int
    seconds: float
    start: float
    errors: int
    thumbnails: NDArray[np.uint8]


def check_sample(sample: int) -> None:
    """Refuse a sample that is no number of files.

    Raises
    ------
    UsageError
        If it is no whole number from 1.
    """
    check_whole("sample", sample, unit=" of files")


def estimate_job(
    client: Client,
    roots: list[Root],
    index: IndexSettings,
    thumbnails: ThumbnailSettings,
    limits: ReadSettings,
    *,
    sample: int = DEFAULT_SAMPLE,
    own: str | None = None,
) -> Estimate:
    """Estimate a run over some folders: list them, read a sample of the files, compare the thumbnails of the sample.

    Tasks of this cluster read the sample, as many at a time as it has threads. Large pictures and slow disks take time
    by the bytes of a file; small files take most of it to be opened. So the time is extrapolated by the bytes or by the
    number of files, whichever fits the groups of the sample better (least squares).

    Parameters
    ----------
    client
        Client of the cluster; its workers see the files under the same paths.
    roots, index, thumbnails, limits
        The folders and the settings of the run.
    sample
        Number of files to read; all if there are fewer.
    own
        Folder of the store, if there is one: it is left out.

    Returns
    -------
    Images, bytes and seconds of the run, with the sample that tells them.

    Raises
    ------
    UsageError
        If `sample` is no whole number from 1, or a worker does not see the files.
    """
    check_sample(sample)
    start = time.perf_counter()
    rows = list_images(roots, index, own)
    listing = time.perf_counter() - start
    readable = [row for row in rows if row.size >= 0]
    _check_seen(client, readable)
    threads = capacity(client).threads
    chosen = [readable[place] for place in _spread(len(readable), sample)]
    groups = _read_sample(client, threads, chosen, thumbnails, limits)

    sides = {side: sum(row.side == side for row in rows) for side in "ab"}
    two_sides = any(root.side == "b" for root in roots)
    comparisons = sides["a"] * sides["b"] if two_sides else pairs_within(sides["a"])
    blocks = sum(-(-number // thumbnails.block_size) for number in sides.values())
    metadata, encoding = _metadata(rows, thumbnails.block_size)
    parts = _bytes_by_part(thumbnails, sides, metadata)
    scaled_by, reading = _reading_seconds(groups, readable, blocks, threads)
    read = np.concatenate([np.zeros((0, *thumbnails.shape), np.uint8), *(group.thumbnails for group in groups)])
    comparing = _comparing_seconds(client, threads, read, len(rows), comparisons)
    return Estimate(
        images=len(rows),
        sides=sides,
        store_bytes=sum(parts.values()),
        bytes_by_part=parts,
        comparisons=comparisons,
        seconds={
            "index": round(listing + encoding + _STAGE, 3),
            "thumbnails": round(reading, 3),
            "compare": round(comparing, 3),
        },
        sample=len(chosen),
        sample_errors=sum(group.errors for group in groups),
        scaled_by=scaled_by,
    )


def _check_seen(client: Client, readable: list[ListedImage]) -> None:
    """Refuse a cluster whose workers do not see the folders, or not the first file of each."""
    if not is_embedded(client):
        first = {row.root: full_path(row.root, row.path, row.path_bytes) for row in reversed(readable)}
        check_visible(client, None, [*first, *first.values()])


def _reading_seconds(groups: list[_Group], readable: list[ListedImage], blocks: int, threads: int) -> tuple[str, float]:
    """Extrapolate the time of the sample to all files: by "bytes" or by "number", and seconds."""
    if not groups:
        return "number", 0.0
    scaled_by, each = _rate(groups)
    amount = sum(row.size for row in readable) if scaled_by == "bytes" else len(readable)
    begin = float(np.median([group.start for group in groups[:threads]]))
    return scaled_by, _STAGE + begin + (amount * each + blocks * _COMMIT) / min(threads, len(readable))


def _comparing_seconds(
    client: Client, threads: int, thumbnails: NDArray[np.uint8], images: int, comparisons: int
) -> float:
    """Estimate the seconds of the stage "compare", from the thumbnails of the sample."""
    if not comparisons:
        return 0.0
    some = thumbnails[_spread(len(thumbnails), _COMPARED)]
    (work,) = _submit(client, "estimate-compare", _comparing, [(some, images, comparisons)], 1)
    return _STAGE + images * _PLANNED + work / threads


def _spread(total: int, wanted: int) -> NDArray[np.int64]:
    """Choose the places of a sample, spread evenly: a random one in each of equal parts, the same ones each time.

    Each k-th would not do: files often alternate, as a picture and its small copy.
    """
    if wanted >= total:
        return np.arange(total)
    edges = np.arange(wanted + 1) * total // wanted
    return np.random.default_rng(0).integers(edges[:-1], edges[1:])


def _metadata(rows: list[ListedImage], block_size: int) -> tuple[int, float]:
    """Estimate the bytes of the metadata, and the seconds to encode it, from the first block of rows."""
    if not rows:
        return 0, 0.0
    frame = unread_rows(pd.DataFrame(rows[:block_size], columns=ListedImage._fields), 0)
    start = time.perf_counter()
    encode_partition(frame)
    seconds = time.perf_counter() - start
    # digests cannot be compressed; those of the names stand for those of the files
    names = (hashlib.sha256(full_path(row.root, row.path).encode(errors="replace")) for row in rows[:block_size])
    frame = frame.assign(content_hash=[name.hexdigest() for name in names], width=1, height=1, format="JPEG")
    share = len(rows) / len(frame)
    return round(len(encode_partition(frame)) * share), seconds * share


def _bytes_by_part(thumbnails: ThumbnailSettings, sides: dict[str, int], metadata: int) -> dict[str, int]:
    each = 4 * signature_length(*thumbnails.shape)

    def arrays(row_bytes: int) -> int:
        return sum(row_array_bytes(images, thumbnails.block_size, row_bytes) for images in sides.values())

    return {
        "thumbnails": arrays(math.prod(thumbnails.shape)),
        "signatures": arrays(each) + sum(sides.values()) * (each + 8),
        "digests": arrays(4 * DIGEST_BYTES),
        "metadata": metadata,
    }


def _submit(client: Client, name: str, function: Any, items: Iterable[tuple[Any, ...]], in_flight: int) -> list[Any]:
    run = uuid.uuid4().hex[:8]
    numbered = enumerate(items)
    futures = run_in_waves(
        client,
        numbered,
        lambda item: [client.submit(function, *item[1], key=f"{name}-{run}-{item[0]}")],
        in_flight,
    )
    return [future.result() for future in futures]


def _read_sample(
    client: Client, threads: int, chosen: list[ListedImage], thumbnails: ThumbnailSettings, limits: ReadSettings
) -> list[_Group]:
    """Read files in groups of similar size, a task a group."""
    if not chosen:
        return []
    ordered = sorted(chosen, key=lambda row: row.size, reverse=True)
    files = [
        ListedFile(os.fsencode(full_path(row.root, row.path, row.path_bytes)), row.size, row.mtime_ns)
        for row in ordered
    ]
    size = min(-(-len(files) // (4 * threads)), _LARGEST_GROUP)
    arguments = (thumbnails, limits.pixel_limit, limits.time_limit)
    try:
        # the smallest file, once a thread: with its first picture a decoder loads its code
        warm = [([files[-1]], *arguments)] * min(threads, len(files))
        started = _submit(client, "estimate-start", _read_group, warm, threads)
        work = [(files[first : first + size], *arguments) for first in range(0, len(files), size)]
        groups = _submit(client, "estimate-read", _read_group, work, 2 * threads)
    finally:
        with suppress(OSError, TimeoutError, ValueError):
            client.run(close_readers, on_error="ignore")
    begin = max(group.start + group.seconds for group in started)
    return [group._replace(start=begin) for group in groups]


def _read_group(files: list[ListedFile], thumbnails: ThumbnailSettings, pixel_limit: int, time_limit: float) -> _Group:
    """Read files, and compute from their thumbnails all that `read_block.read_part` computes."""
    settings = (thumbnails.width, thumbnails.height, thumbnails.exact_decode, pixel_limit, time_limit)
    found = [np.zeros((0, *thumbnails.shape), np.uint8)]
    errors = 0
    with reader() as decoder:
        start = time.perf_counter()
        # a file that does not exist starts the decoder, and nothing is read
        list(decoder.read(Request([ListedFile(b"", 0, 0)], *settings)))
        begin = time.perf_counter()
        for answer in decoder.read(Request(files, *settings, at_once=len(files))):
            readable = sum(not record.error for record in answer.records)
            errors += len(answer.records) - readable
            some = np.frombuffer(answer.thumbnails, np.uint8).reshape(readable, *thumbnails.shape)
            if readable:
                with SINGLE_THREADED_BLAS:
                    signatures(some)
                thumbnail_digests(some)
            found.append(some)
        end = time.perf_counter()
    size = sum(file.size for file in files)
    return _Group(len(files), size, end - begin, begin - start, errors, np.concatenate(found))


def _rate(groups: list[_Group]) -> tuple[str, float]:
    """Choose "number" or "bytes", whichever fits the time of the groups better; give seconds for one, on one thread."""
    seconds = np.array([group.seconds for group in groups])
    fits = []
    for name, amounts in (("number", [group.files for group in groups]), ("bytes", [group.size for group in groups])):
        if sum(amounts):
            # the quotient of the sums gives the time of the sample exactly, which the best line need not
            each = float(seconds.sum() / sum(amounts))
            fits.append((float(((seconds - each * np.array(amounts)) ** 2).sum()), name, each))
    _, name, each = min(fits, key=lambda fit: fit[0])
    return name, each


def _comparing(thumbnails: NDArray[np.uint8], images: int, comparisons: int) -> float:
    """Time the comparison of some thumbnails on one thread; give the seconds for all images."""
    _, first = np.unique(thumbnail_digests(thumbnails)[:, 0], axis=0, return_index=True)
    distinct = thumbnails[first]
    if len(distinct) < _FEWEST:
        return comparisons / _RECORDED_RATE
    height, width, channels = distinct.shape[1:]
    settings = CompareSettings()
    radius = search_radius(settings.sse_limit(height, width), (height, width, channels))
    some = min(images, _MADE_UP)
    with SINGLE_THREADED_BLAS:
        known = signatures(distinct)
        bounds = _seconds_of_bounds(known, some, radius)
        near, exact = _seconds_of_exact_pairs(distinct, known, settings, radius)
    return bounds * (images / some) ** _POWER + near * comparisons * exact


def _seconds_of_bounds(known: NDArray[np.float32], images: int, radius: float) -> float:
    """Time the search for candidate pairs in a made-up collection of so many images.

    Its signatures, sums of three of the known ones, have the mean and the covariance of these.
    """
    rng = np.random.default_rng(0)
    mean = known.mean(axis=0)
    parts = [known[rng.integers(len(known), size=images)] - mean for _ in range(3)]
    made_up = np.asarray(sum(parts) / math.sqrt(3) + mean, np.float32)
    start = time.perf_counter()
    made_up = made_up[kd_order(leading_values(made_up, BOX_VALUES), SUB_BLOCK)]
    cuts = [range(at, min(at + SUB_BLOCK, images)) for at in range(0, images, SUB_BLOCK)]
    side = SearchSide(made_up, cuts, np)
    for _ in candidate_pairs(side, side, radius=radius, counts=SearchCounts(), triangular=True):
        pass
    return time.perf_counter() - start


def _seconds_of_exact_pairs(
    distinct: NDArray[np.uint8], known: NDArray[np.float32], settings: CompareSettings, radius: float
) -> tuple[float, float]:
    """Give the share of pairs that need an exact comparison, and the seconds that one such comparison takes."""
    height, width, _ = distinct.shape[1:]
    i, j = np.triu_indices(len(distinct), k=1)
    apart = known[i] - known[j]
    near = float((np.vecdot(apart, apart) <= radius**2).mean())
    transforms = available_transforms(height, width, rotations=settings.rotations, mirror=settings.mirror)
    timed = slice(None, None, -(-len(i) // 500))
    start = time.perf_counter()
    limit = settings.sse_limit(height, width)
    masks = np.full(len(i[timed]), sum(1 << transform for transform in transforms), np.uint8)
    options: Any = {"limit": SquaredErrorLimit(limit), "transforms": transforms}
    listed_pairs(distinct, distinct, i[timed], j[timed], masks, **options)
    return near, (time.perf_counter() - start) / len(i[timed])


def thumbnail_bytes(
    store: Store, roots: list[Root], settings: ThumbnailSettings, *, print_results: bool
) -> tuple[int, int]:
    """Count the bytes of the thumbnails of all images in the index, of side a and of side b.

    Parameters
    ----------
    store, roots
        The store, and its folders as the user wrote them.
    settings
        How an image becomes a thumbnail.
    print_results
        Print them, with the numbers of images and of comparisons.

    Returns
    -------
    Bytes of side a, and of side b.
    """
    frame = store.read_images(["side", "current"])
    each = math.prod(settings.shape)
    images = {side: int((frame.current & (frame.side == side)).sum()) for side in ("a", "b")}
    if print_results:
        for side, number in images.items():
            for_roots = ", ".join(printable(root.given) for root in roots if root.side == side)
            if for_roots:
                print(f"{for_roots}: {number} images, {file_size(number * each)} of thumbnails")
        a, b = images["a"], images["b"]
        print(f"{a * b if store.two_sides else pairs_within(a)} comparisons")
    return images["a"] * each, images["b"] * each
