"""Random images and groups of them, with all similar pairs and connected images by brute force."""

import itertools
from typing import NamedTuple

import numpy as np
from hypothesis import strategies as st
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from fastdiff_dask.kernels.hashes import Copies, find_copies, thumbnail_digests
from fastdiff_dask.kernels.transforms import available_transforms
from fastdiff_dask.results.groups import Groups


def turned(image: np.ndarray, transform: int) -> np.ndarray:
    """Transform number t of one image, in NumPy's words."""
    return np.rot90(np.fliplr(image) if transform >= 4 else image, transform % 4)


def brute_force(a: np.ndarray, b: np.ndarray, transforms: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Smallest squared error of all pairs, and the mask of the transforms of a that reach it."""
    each = []
    for transform in transforms:
        forms = np.stack([turned(image, transform) for image in a]).astype(np.int64)
        each.append(((forms[:, None] - b.astype(np.int64)[None]) ** 2).sum(axis=(2, 3, 4)))
    smallest = np.min(each, axis=0)
    masks = sum((one == smallest).astype(np.int64) << t for t, one in zip(transforms, each, strict=True))
    return smallest, masks


def components(a: list[int] | np.ndarray, b: list[int] | np.ndarray) -> list[list[int]]:
    """Images that pairs connect, all at once, by SciPy."""
    images, nodes = np.unique(np.concatenate([a, b]).astype(np.int64), return_inverse=True)
    edges = coo_array((np.ones(len(a)), (nodes[: len(a)], nodes[len(a) :])), shape=(len(images), len(images)))
    count, labels = connected_components(edges, directed=False) if len(a) else (0, nodes)
    return sorted(images[labels == label].tolist() for label in range(count))


class Drawn(NamedTuple):
    """Images that are often equal, equal after a turn, or symmetric; the turns and all transforms; a limit."""

    images: np.ndarray
    turns: tuple[int, ...]
    transforms: tuple[int, ...]
    limit: int


@st.composite
def drawn(draw: st.DrawFn) -> Drawn:
    height, width = draw(st.sampled_from([(2, 2), (3, 3), (2, 3), (4, 4)]))
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    rotations = draw(st.booleans())
    turns = available_transforms(height, width, rotations=rotations)
    transforms = available_transforms(height, width, rotations=rotations, mirror=draw(st.booleans()))
    kinds = rng.integers(0, draw(st.integers(2, 3)), (draw(st.integers(1, 6)), height, width, 1), dtype=np.uint8)
    for kind in range(len(kinds)):
        if rng.random() < 0.3:  # the same after a half turn, and not always after a quarter turn
            kinds[kind] = np.maximum(kinds[kind], np.rot90(kinds[kind], 2))
    images = []
    for kind in rng.integers(len(kinds), size=draw(st.integers(1, 16))):
        # turns that do not count as equal are drawn as well
        turn = rng.integers(4) if height == width else 2 * rng.integers(2)
        images.append(np.rot90(kinds[kind], turn))
    return Drawn(np.stack(images), turns, transforms, draw(st.integers(0, 3)))


class Expanded(NamedTuple):
    """Groups, and all similar pairs by brute force: (a, b) → value, mask."""

    groups: Groups
    pairs: dict[tuple[int, int], tuple[int, int]]


def groups_of(case: Drawn, split: int, names: np.ndarray) -> Expanded:
    """Groups as a result has them: originals compared with originals, and the rest told by `find_copies`.

    Images before `split` are side a, the others side b; all are one side if it is 0.
    """
    images, digests = case.images, thumbnail_digests(case.images)
    sides = [np.arange(split), np.arange(split, len(images))] if split else [np.arange(len(images))]
    members, group_of, turns, symmetries, originals = [], [], [], [], []
    for rows in sides:
        copies: Copies = find_copies(digests[rows], case.turns)
        offset = sum(map(len, originals))
        group = np.arange(len(copies.representatives)) + offset
        members += [rows[copies.representatives], rows[copies.copies]]
        group_of += [group, np.searchsorted(copies.representatives, copies.originals) + offset]
        turns += [np.zeros(len(group), np.int64), copies.turns]
        symmetries.append(copies.symmetries)
        originals.append(rows[copies.representatives])
    named, numbers = names[np.concatenate(members)], np.concatenate(group_of)
    order = np.lexsort((named, numbers))
    values, masks = brute_force(images[originals[0]], images[originals[-1]], case.transforms)
    similar = values <= case.limit
    first, second = np.nonzero(similar if split else np.triu(similar, k=1))
    groups = Groups(
        members=named[order],
        starts=np.concatenate([[0], np.cumsum(np.bincount(numbers))]),
        turns=np.concatenate(turns)[order],
        symmetries=np.concatenate(symmetries),
        first=first,
        second=second + (len(originals[0]) if split else 0),
        values=values[first, second],
        masks=masks[first, second].astype(np.uint8),
        two_sides=bool(split),
    )
    values, masks = brute_force(images, images, case.transforms)
    similar = values <= case.limit
    pairs = {}
    for i, j in itertools.permutations(range(len(images)), 2):
        if similar[i, j] and ((i < split <= j) if split else (names[i] < names[j])):
            pairs[int(names[i]), int(names[j])] = int(values[i, j]), int(masks[i, j])
    return Expanded(groups, pairs)


@st.composite
def expanded(draw: st.DrawFn) -> Expanded:
    case = draw(drawn())
    images = len(case.images)
    names = np.random.default_rng(draw(st.integers(0, 10**6))).permutation(images) * 3
    return groups_of(case, draw(st.integers(0, images - 1)) if draw(st.booleans()) else 0, names)


def rows_in(case: Expanded) -> int:
    """Number of the images of a result that has these groups."""
    return int(case.groups.members.max()) + 1
