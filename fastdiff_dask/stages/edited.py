"""The stage "edited": views of all images compared with all → candidates → aligned → what their pictures show."""

import uuid
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from distributed import Client, Future
from numpy.typing import NDArray

from ..config import ReadSettings
from ..edits.alignment import ALIGNED
from ..edits.candidates import CONTENT_BYTES, Candidates, nearest
from ..edits.families import best_pairs, star_pairs
from ..runtime.activity import stage
from ..runtime.memory import EDITED_COLUMNS, EDITED_ROWS
from ..runtime.waves import run_in_waves
from ..runtime.workers import capacity
from ..storage.edited import EditedFiles
from ..storage.store import Store
from ..storage.verdicts import NOT_LOOKED_AT, SIMILAR, read_verdicts
from ..tasks.align_pairs import align_pairs
from ..tasks.look_at_edited import look_at_edited_pairs
from ..tasks.make_contents import make_contents
from ..tasks.match_views import match_views

__all__ = ["EditedStage", "edited_stages", "pairs_to_see"]

# Rounds of looking at pairs; from the second one on, for images that are no copy of anything yet.
_ROUNDS = 4
# Candidates that a task aligns, and pairs whose pictures it looks at.
_ALIGNED_AT_ONCE, _SEEN_AT_ONCE = 4096, 64


class EditedStage(NamedTuple):
    """One of the steps: its name, its unit, how many there are of it, and how to do them."""

    name: str
    unit: str
    total: int
    run: Callable[[], Iterator[int]]


def edited_stages(
    store: Store, client: Client, size: int, limits: ReadSettings, most: int | None, pairs: int
) -> Iterator[EditedStage]:
    """Give the steps that find edited copies, one after the other, each as far as it is not done yet.

    Every task commits what it found. Time: views grow with the square of the number of images, 0.1 µs for each two on a
    core of 2021; the rest with the candidates, at most `candidates.NEAREST` an image, of which one takes 0.15 ms, and
    with the pairs that are looked at, of which one takes 50 ms.

    Parameters
    ----------
    store
        The store, locked for writing; its thumbnails are made.
    client
        Client of the cluster.
    size
        Pixels of the longer side of a picture that is looked at, at most.
    limits
        Limits of reading a file.
    most
        Largest number of tasks at once; by default the number of threads.
    pairs
        Largest number of pairs whose pictures are looked at.

    Yields
    ------
    EditedStage
        A step; the next one is known when all of it is done.
    """
    files = EditedFiles(store, CONTENT_BYTES)
    tasks = _Tasks(store, client, most)
    blocks = files.unmade()
    images = sum(store.rows()[block] for block in blocks)
    yield EditedStage("contents", "images", images, lambda: tasks.run("contents", make_contents, blocks))
    block_size = store.thumbnail_settings.block_size
    rectangles = files.uncompared(max(1, EDITED_ROWS // block_size), max(1, EDITED_COLUMNS // block_size))
    rows = np.array(store.rows(), np.int64)
    compared = sum(int(rows[list(some.rows)].sum() * rows[list(some.columns)].sum()) for some in rectangles)
    yield EditedStage("views", "pairs", compared, lambda: tasks.run("views", match_views, rectangles))
    left = _candidates_left(store, files)
    parts = [left[start : start + _ALIGNED_AT_ONCE] for start in range(0, len(left), _ALIGNED_AT_ONCE)]
    yield EditedStage("align", "pairs", len(left), lambda: tasks.run("align", align_pairs, parts))
    for round_ in range(_ROUNDS):
        seen = pairs_to_see(store, files, first=not round_).head(pairs)
        pairs -= len(seen)
        looks = [seen.iloc[start : start + _SEEN_AT_ONCE] for start in range(0, len(seen), _SEEN_AT_ONCE)]
        yield EditedStage(
            "edited",
            "pairs",
            len(seen),
            lambda looks=looks: tasks.run("edited", look_at_edited_pairs, looks, size, limits),  # type: ignore[misc]
        )


class _Tasks:
    """Runs the tasks of a step in waves."""

    def __init__(self, store: Store, client: Client, most: int | None) -> None:
        self._store, self._client, self._most = store, client, most

    def run(self, name: str, task: Callable[..., int], works: Sequence[Any], *more: Any) -> Iterator[int]:
        """Run a task for each piece of work; gives what they return."""
        keys = uuid.uuid4().hex[:8]
        with stage(self._store.files, name) as run:

            def submit(place: int) -> list[Future]:
                arguments = self._store.url, works[place], *more, run
                return [self._client.submit(task, *arguments, key=f"{name}-{keys}-{place}")]

            in_flight = 2 * capacity(self._client).threads
            for future in run_in_waves(self._client, range(len(works)), submit, in_flight=in_flight, most=self._most):
                yield int(future.result())


def _candidates_left(store: Store, files: EditedFiles) -> NDArray[np.int64]:
    """Candidates that were not aligned yet, (k, 5): the best ones of each image that is there.

    A pair may come twice, with views of either image: sometimes only one of the two can be aligned.
    """
    found = Candidates.of_stored(files.read_candidates())
    there = _current(store)
    best = nearest(found.at(np.flatnonzero(there[found.a] & there[found.b])))
    known = files.read_aligned()
    new = ~np.isin(best.a * len(there) + best.b, (known.a * len(there) + known.b).to_numpy(np.int64))
    return best.at(np.flatnonzero(new)).stored()


def pairs_to_see(store: Store, files: EditedFiles, *, first: bool) -> pd.DataFrame:
    """Aligned pairs whose pictures are to be looked at next, columns as in `storage.edited.ALIGNED`.

    In the first round, each image is looked at with the first of its family, twice: the one that most images fit, and
    the oldest one. Later, images that are no copy of anything yet are looked at with the one that they fit best. What
    the stage "verify" called the same picture is no edited copy.

    Parameters
    ----------
    store, files
        The store.
    first
        True in the first round.

    Returns
    -------
    The pairs, each once, those of one image one after the other.
    """
    frame = store.read_images(["image", "current", "error", "width", "height", "mtime_ns", "content_hash"])
    frame = frame.set_index("image").reindex(range(store.blocks * store.thumbnail_settings.block_size))
    aligned, seen = _fitting(store, files, frame.content_hash), files.read_looks()
    size = len(frame)
    known = np.isin(_keys(aligned, size), _keys(seen, size))
    a, b = aligned.a.to_numpy(np.int64), aligned.b.to_numpy(np.int64)
    if first:
        fits = np.bincount(np.concatenate([a, b]), minlength=size)
        pixels = (frame.width * frame.height).fillna(0).to_numpy(np.float64)
        times = frame.mtime_ns.fillna(0).to_numpy(np.float64)
        by_fit = np.lexsort((np.arange(size), -pixels, times, -fits))
        by_age = np.lexsort((np.arange(size), -fits, -pixels, times))
        places = np.union1d(star_pairs(a, b, _ranks(by_fit)), star_pairs(a, b, _ranks(by_age)))
        places = places[~known[places]]
    else:
        wanting = np.ones(size, bool)
        wanting[seen[seen.edited][["a", "b"]].to_numpy(np.int64).ravel()] = False
        left = np.flatnonzero(~known)
        places = left[best_pairs(a[left], b[left], aligned.score.to_numpy()[left], wanting)]
    return aligned.iloc[places]


def _ranks(order: NDArray[np.int64]) -> NDArray[np.int64]:
    ranks = np.empty(len(order), np.int64)
    ranks[order] = np.arange(len(order))
    return ranks


def _fitting(store: Store, files: EditedFiles, contents: pd.Series) -> pd.DataFrame:
    """Aligned pairs that fit, each once with its better views, but for those that are the same file or picture."""
    aligned, there = files.read_aligned(), _current(store)
    aligned = aligned[(aligned.score >= ALIGNED) & there[aligned.a] & there[aligned.b]]
    aligned = aligned.assign(key=_keys(aligned, len(there)))
    aligned = aligned.sort_values(["key", "score", "a"], ascending=[True, False, True]).drop_duplicates("key")
    a, b = aligned.a.to_numpy(np.int64), aligned.b.to_numpy(np.int64)
    codes = read_verdicts(store).codes(a, b)
    equal = contents.to_numpy(object)[a] == contents.to_numpy(object)[b]
    return aligned[np.isin(codes, [NOT_LOOKED_AT, SIMILAR]) & ~equal].drop(columns="key")


def _keys(pairs: pd.DataFrame, size: int) -> NDArray[np.int64]:
    a, b = pairs.a.to_numpy(np.int64), pairs.b.to_numpy(np.int64)
    return np.minimum(a, b) * size + np.maximum(a, b)


def _current(store: Store) -> NDArray[np.bool_]:
    frame = store.read_images(["image", "current", "error"])
    there = np.zeros(store.blocks * store.thumbnail_settings.block_size, bool)
    there[frame.image[frame.current & frame.error.isna()].to_numpy(np.int64)] = True
    return there
