"""Agreement between people and what is carried out: the plan that they saw, of the images that they saw."""

import hashlib
from collections.abc import Iterable

import numpy as np

from ..actions.removal_plan import RemovalPlan
from ..storage.schema import FILE_NAME
from ..storage.store import Store
from ..urls import full_path
from .view import View

__all__ = ["are_as_shown", "digest_of"]


def digest_of(plan: RemovalPlan) -> str:
    """Give a name to what a plan takes: another one for other images, or others that are kept for them."""
    taken = sorted((one.image, one.kept_image, one.path, one.kept) for one in plan.chosen)
    return hashlib.blake2b(repr(taken).encode(), digest_size=16).hexdigest()


def are_as_shown(view: View, numbers: Iterable[int]) -> bool:
    """Tell whether the store has the paths and contents that are shown for some images, by their numbers.

    It has others if it was removed and made anew meanwhile: its numbers are those of other images then.
    """
    asked = np.array(sorted(set(numbers)), np.int64)
    index, store = view.index, Store(view.store.url)
    places = index.places(asked)
    sizes = np.array(store.rows(), np.int64)
    blocks, rows = np.divmod(asked, store.thumbnail_settings.block_size)
    if (places < 0).any() or (blocks >= len(sizes)).any() or (rows >= sizes[blocks]).any():
        return False
    found = store.image_rows(asked, [*FILE_NAME, "content_hash"])
    contents = found.content_hash.fillna("").tolist()
    paths = [full_path(row.root, row.path, row.path_bytes) for row in found.itertuples()]
    return all(
        (path, content[:16]) == (index.paths.path(place), index.contents[place])
        for path, content, place in zip(paths, contents, places.tolist(), strict=True)
    )
