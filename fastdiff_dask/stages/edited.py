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
from ..edits.candidates import Candidates, nearest
from ..edits.families import best_pairs, pairs_by_third, star_pairs
from ..runtime.activity import stage
from ..runtime.memory import EDITED_COLUMNS, EDITED_ROWS
from ..runtime.waves import run_in_waves
from ..runtime.workers import capacity
from ..storage.derived.edited import EditedFiles
from ..storage.derived.verdicts import NOT_LOOKED_AT, SIMILAR, Verdicts, read_verdicts
from ..storage.store import Store
from ..tasks.copies.align_pairs import align_pairs
from ..tasks.copies.look_at_edited import look_at_edited_pairs
from ..tasks.copies.make_contents import make_contents
from ..tasks.copies.match_views import match_views

__all__ = ["EditedStage", "chosen_pairs", "edited_stages"]

# Rounds of looking at pairs; from the second one on, for images that are no copy of anything yet.
_ROUNDS = 4
# Confidence in a pair that is known by a third image, as a share of that in the others.
_BY_THIRD = 0.9
# Candidates that a task aligns, and pairs whose pictures it looks at.
_ALIGNED_AT_ONCE, _SEEN_AT_ONCE = 4096, 64


class EditedStage(NamedTuple):
    """One of the steps: its name, its unit, how many there are, how to do them, and how many a limit leaves out."""

    name: str
    unit: str
    total: int
    run: Callable[[], Iterator[int]]
    left_out: int = 0


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
    files = EditedFiles(store)
    tasks = _Tasks(store, client, most)
    blocks = files.unmade()
    images = sum(store.rows()[block] for block in blocks)
    yield EditedStage("contents", "images", images, lambda: tasks.run("contents", make_contents, blocks))
    block_size = store.thumbnail_settings.block_size
    rectangles = files.uncompared(max(1, EDITED_ROWS // block_size), max(1, EDITED_COLUMNS // block_size))
    rows = np.array(store.rows(), np.int64)
    compared = sum(int(rows[list(some.rows)].sum() * rows[list(some.columns)].sum()) for some in rectangles)
    yield EditedStage("views", "pairs", compared, lambda: tasks.run("views", match_views, rectangles))
    images_by_number = _images(store)
    best = _best(store, files, images_by_number)
    left = _candidates_left(files, best, len(images_by_number))
    parts = [left[start : start + _ALIGNED_AT_ONCE] for start in range(0, len(left), _ALIGNED_AT_ONCE)]
    yield EditedStage("align", "pairs", len(left), lambda: tasks.run("align", align_pairs, parts))
    fitting = _fitting(files, best, read_verdicts(store), images_by_number)
    asked = np.zeros(len(fitting), bool)
    for round_ in range(_ROUNDS):
        looks = files.read_looks()
        chosen = chosen_pairs(fitting, images_by_number, looks[looks.edited], round_)
        asked |= np.isin(_keys(fitting, len(images_by_number)), _keys(looks, len(images_by_number)))
        wanted = fitting.iloc[chosen[~asked[chosen]]]
        new = wanted.reset_index(names="place").nlargest(pairs, "score")
        asked[new.place] = True
        seen, pairs = new.sort_values("place").drop(columns="place"), pairs - len(new)
        parts_seen = [seen.iloc[start : start + _SEEN_AT_ONCE] for start in range(0, len(seen), _SEEN_AT_ONCE)]
        yield EditedStage(
            "edited",
            "pairs",
            len(seen),
            lambda parts=parts_seen: tasks.run("edited", look_at_edited_pairs, parts, size, limits),  # type: ignore[misc]
            len(wanted) - len(new),
        )
    _choose(files, fitting, chosen, len(images_by_number))


def _choose(files: EditedFiles, fitting: pd.DataFrame, chosen: NDArray[np.int64], size: int) -> None:
    """Commit which pairs are shown: those that were chosen to be looked at, and those known by a third image."""
    shown, looks = fitting.iloc[chosen], files.read_looks()
    seen = looks[looks.edited & np.isin(_keys(looks, size), _keys(shown, size))]
    left = fitting[~np.isin(np.arange(len(fitting)), chosen)]
    by_third = _pairs_by_third(left, seen)
    files.choose(pd.concat([shown[["a", "b"]].assign(via=-1, confidence=np.float32(0)), by_third]))


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


def _best(store: Store, files: EditedFiles, images: pd.DataFrame) -> Candidates:
    """Give the best candidates of each image, of those that are there."""
    with store.files.reading("the candidates of edited copies"):
        found = Candidates.of_stored(files.read_candidates())
    there = images.there.to_numpy(bool)
    return nearest(found.at(np.flatnonzero(there[found.a] & there[found.b])))


def _candidates_left(files: EditedFiles, best: Candidates, size: int) -> NDArray[np.int64]:
    """Candidates that were not aligned yet, (k, 5).

    A pair may come twice, with views of either image: sometimes only one of the two can be aligned.
    """
    known = files.read_aligned()
    new = ~np.isin(best.a * size + best.b, (known.a * size + known.b).to_numpy(np.int64))
    return best.at(np.flatnonzero(new)).stored()


def chosen_pairs(fitting: pd.DataFrame, images: pd.DataFrame, edited: pd.DataFrame, rounds: int) -> NDArray[np.int64]:
    """Choose the pairs whose pictures are looked at, by what was seen of those that are chosen before.

    First, each image with the first of its family, twice: the one that most images fit, and the oldest one. Then, round
    by round, images that are no copy of anything yet, each with the one that it fits best. What was seen of other
    pairs, on earlier days, does not matter, so that the choice is that of a new store.

    Parameters
    ----------
    fitting
        Aligned pairs, each once, columns as in `storage.derived.edited.ALIGNED`.
    images
        Width, height, mtime_ns and content_hash by the number of the image.
    edited
        The pairs a, b that were seen to be edited copies.
    rounds
        Number of rounds after the first choice.

    Returns
    -------
    Places of the chosen pairs, ascending.
    """
    size = len(images)
    a, b = fitting.a.to_numpy(np.int64), fitting.b.to_numpy(np.int64)
    fits = np.bincount(np.concatenate([a, b]), minlength=size)
    pixels = (images.width * images.height).fillna(0).to_numpy(np.float64)
    times = images.mtime_ns.fillna(0).to_numpy(np.float64)
    contents = pd.factorize(images.content_hash, sort=True)[0]
    by_fit = np.lexsort((contents, -pixels, times, -fits))
    by_age = np.lexsort((contents, -fits, -pixels, times))
    chosen = np.zeros(len(fitting), bool)
    for order in (by_fit, by_age):
        chosen[star_pairs(a, b, _ranks(order))] = True
    is_edited = np.isin(_keys(fitting, size), _keys(edited, size))
    scores = fitting.score.to_numpy()
    for _ in range(rounds):
        wanting = np.ones(size, bool)
        for ends in (a, b):
            wanting[ends[chosen & is_edited]] = False
        left = np.flatnonzero(~chosen)
        chosen[left[best_pairs(a[left], b[left], scores[left], wanting)]] = True
    return np.flatnonzero(chosen)


def _pairs_by_third(left: pd.DataFrame, seen: pd.DataFrame) -> pd.DataFrame:
    """Find the pairs that nobody looked at whose images both are edited copies of a third one.

    Which of the two is the copy, and what was done, is not known of them. They are at most `candidates.NEAREST` an
    image.

    Parameters
    ----------
    left
        Aligned pairs that were not looked at.
    seen
        Pairs that were seen to be edited copies, columns as in `storage.derived.edited.LOOKS`.

    Returns
    -------
    Columns as in `storage.derived.edited.CHOSEN`.
    """
    known = seen.a.to_numpy(np.int64), seen.b.to_numpy(np.int64), seen.confidence.to_numpy(np.float32)
    via, confidence = pairs_by_third(left.a.to_numpy(np.int64), left.b.to_numpy(np.int64), *known)
    return left[["a", "b"]].assign(via=via, confidence=np.float32(_BY_THIRD) * confidence)[via >= 0]


def _ranks(order: NDArray[np.int64]) -> NDArray[np.int64]:
    ranks = np.empty(len(order), np.int64)
    ranks[order] = np.arange(len(order))
    return ranks


def _images(store: Store) -> pd.DataFrame:
    """Give width, height, mtime_ns and content_hash by the number of each image, and which of them are there."""
    frame = store.read_images(["image", "width", "height", "mtime_ns", "content_hash", "current", "error"])
    frame = frame.assign(there=frame.current & frame.error.isna()).drop(columns=["current", "error"])
    frame = frame.set_index("image").reindex(range(store.blocks * store.thumbnail_settings.block_size))
    return frame.assign(there=frame.there.eq(True))  # numbers without an image are not there


def _fitting(files: EditedFiles, best: Candidates, verdicts: Verdicts, images: pd.DataFrame) -> pd.DataFrame:
    """Aligned candidates that fit, each pair once with its better views.

    Pairs that are the same file, or the same picture as the stage "verify" says, are no edited copies.
    """
    aligned, size = files.read_aligned(), len(images)
    is_best = np.isin((aligned.a * size + aligned.b).to_numpy(np.int64), best.a * size + best.b)
    aligned = aligned[is_best & (aligned.score >= ALIGNED)]
    aligned = aligned.assign(key=_keys(aligned, size))
    aligned = aligned.sort_values(["key", "score", "a"], ascending=[True, False, True]).drop_duplicates("key")
    a, b = aligned.a.to_numpy(np.int64), aligned.b.to_numpy(np.int64)
    contents = images.content_hash.to_numpy(object)
    kept = np.isin(verdicts.codes(a, b), [NOT_LOOKED_AT, SIMILAR]) & (contents[a] != contents[b])
    return aligned[kept].drop(columns="key").reset_index(drop=True)


def _keys(pairs: pd.DataFrame, size: int) -> NDArray[np.int64]:
    a, b = pairs.a.to_numpy(np.int64), pairs.b.to_numpy(np.int64)
    return np.minimum(a, b) * size + np.maximum(a, b)
