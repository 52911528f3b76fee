"""The pairs within the limit, all of them and no others, for any size of a chunk and any stage of the cascade."""

import importlib.util
import itertools
import math
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastdiff_dask.config import CompareSettings
from fastdiff_dask.kernels import bounds, similarity
from fastdiff_dask.kernels.bounds import BOX_VALUES, SearchCounts, SearchSide, candidate_pairs, search_radius
from fastdiff_dask.kernels.grid import kd_order, pairs_within
from fastdiff_dask.kernels.signatures import as_mirrored, leading_values, signature_error, signatures
from fastdiff_dask.kernels.similarity import SquaredErrorLimit, listed_pairs, similar_pairs
from fastdiff_dask.kernels.squared_errors import transformed_squared_errors
from fastdiff_dask.kernels.transforms import apply_transform, available_transforms
from fastdiff_dask.testing import reference_sse

THRESHOLDS = [0, 0.1, 200, 1000, 10_000]
KINDS = [
    "noise",
    "black and white",
    "flat",
    "checkerboards",
    "almost white",
    "altered copies",
    "shifted",
    "low frequencies",
    "near the threshold",
]


@given(
    seed=st.integers(0, 2**32 - 1),
    m=st.integers(0, 9),
    n=st.integers(0, 9),
    chunk=st.integers(1, 5),
    triangular=st.booleans(),
    quantile=st.sampled_from([0.0, 0.3, 1.0]),
)
@settings(max_examples=150, deadline=None)
def test_equals_the_reference_for_every_chunk_size(seed, m, n, chunk, triangular, quantile):
    rng = np.random.default_rng(seed)
    a = rng.integers(0, 256, (m, 8, 8, 3), dtype=np.uint8)
    b = a if triangular else rng.integers(0, 256, (n, 8, 8, 3), dtype=np.uint8)
    errors = reference_sse(a, b)
    # the limit is one of the errors themselves: it is inclusive
    limit = int(np.quantile(errors, quantile, method="lower")) if errors.size else 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("fastdiff_dask.kernels.similarity._CHUNK", chunk)
        pairs = similarity.similar_pairs(
            a, b, limit=SquaredErrorLimit(limit), transforms=available_transforms(8, 8), triangular=triangular
        )
    wanted = [
        (i, j, errors[i, j]) for i, j in np.ndindex(errors.shape) if errors[i, j] <= limit and (i < j or not triangular)
    ]
    assert pairs.dtype == np.int64
    assert [tuple(pair) for pair in pairs[:, :3].tolist()] == wanted


@pytest.mark.parametrize(("shape", "rows"), [((64, 64, 3), 256), ((256, 256, 4), 64), ((1024, 1024, 3), 5)])
def test_large_images_make_smaller_matrices(shape, rows):
    assert similarity.chunk_rows(int(np.prod(shape))) == rows


def spread(rng, images, sse):
    """Change each image by about this sum of squared errors, give or take the rounding."""
    noise = rng.standard_normal(images.shape) * math.sqrt(sse / math.prod(images.shape[1:]))
    return np.clip(np.rint(images + noise), 0, 255).astype(np.uint8)


def make_images(rng, kind, count, shape, limit):
    """Images (count, h, w, c) uint8 of a kind, with pairs near a limit of the sum of squared errors."""
    height, width, channels = shape
    y, x = np.mgrid[:height, :width]
    if kind == "black and white":
        images = rng.integers(0, 2, (count, *shape), dtype=np.uint8) * np.uint8(255)
        images[: count // 2] = images[:1]
        images[: count // 2, 0, 0, 0] = rng.integers(0, 2, count // 2) * 255
    elif kind == "flat":
        images = np.broadcast_to(rng.integers(0, 256, (count, 1, 1, channels), dtype=np.uint8), (count, *shape)).copy()
    elif kind == "checkerboards":
        # nothing but the highest frequencies, of which a signature has the norm alone
        cells = np.where((x + y) % 2, 1, -1)[..., None] * rng.choice([-1, 1], (count, 1, 1, channels))
        images = np.clip(128 + cells * rng.choice([1, 2, 40, 127, 128], (count, 1, 1, 1)), 0, 255).astype(np.uint8)
    elif kind == "almost white":
        images = np.full((count, *shape), 255, np.uint8)
        changed = rng.random((count, *shape)) < rng.choice([0, 0.5 / math.prod(shape), 0.01, 1], (count, 1, 1, 1))
        images[changed] = 254
    elif kind == "altered copies":
        images = rng.integers(0, 256, (count, *shape), dtype=np.uint8)
        for row in range(1, count):
            transform = int(rng.choice(available_transforms(height, width, mirror=True)))
            images[row] = apply_transform(images[:1], transform)[0]
            if rng.random() < 0.7:
                images[row, rng.integers(height), rng.integers(width), rng.integers(channels)] ^= 1
    elif kind == "shifted":
        # a constant is in one coefficient: the signatures are as far apart as the images
        base = rng.integers(60, 100, shape, dtype=np.uint8)
        steps = math.sqrt(limit / base.size) * rng.uniform(0.7, 1.3, (count, 1, 1, 1)) * rng.integers(0, 3)
        images = np.clip(np.rint(base + steps), 0, 255).astype(np.uint8)
    elif kind == "low frequencies":
        u, v = rng.integers(0, 3, (2, count, 1, 1, 1))
        waves = np.cos(np.pi * u * (y[..., None] + 0.5) / height) * np.cos(np.pi * v * (x[..., None] + 0.5) / width)
        height_of_waves = np.sqrt(limit / (waves**2).sum(axis=(1, 2), keepdims=True) / channels)
        images = np.clip(np.rint(128 + height_of_waves * rng.choice([-1, 0.98, 1, 1.02], u.shape) * waves), 0, 255)
        images = np.broadcast_to(images, (count, *shape)).astype(np.uint8)
    elif kind == "near the threshold":
        images = spread(rng, np.repeat(rng.integers(0, 256, (1, *shape), dtype=np.uint8), count, axis=0), limit / 2)
    else:
        images = rng.integers(0, 256, (count, *shape), dtype=np.uint8)
    return images


def random_cuts(rng, count, largest):
    """Consecutive ranges that cover 0 to count, of at most some length each."""
    cuts, start = [], 0
    while start < count:
        stop = min(count, start + int(rng.integers(1, largest + 1)))
        cuts.append(range(start, stop))
        start = stop
    return cuts


def cascade(a, b, cuts_a, cuts_b, *, limit, transforms, counts=None):
    """Similar pairs by the cascade, as `compare` puts it together: (k, 4) in the order of `similar_pairs`."""
    shape, triangular = a.shape[1:], a is b
    first = signatures(a)
    if max(transforms) >= 4:
        first = as_mirrored(first, *shape)
    second = first
    if not triangular:
        second = as_mirrored(signatures(b), *shape) if max(transforms) >= 4 else signatures(b)
    radius = search_radius(limit, shape)
    found = [np.zeros((0, 4), np.int64)]
    counts = counts or SearchCounts()
    sides = SearchSide(first, cuts_a, np), SearchSide(second, cuts_b, np)
    for i, j in candidate_pairs(*sides, radius=radius, counts=counts, triangular=triangular):
        if isinstance(i, range):
            on_diagonal = triangular and i.start == j.start
            counts.dense += len(i) * len(j) - on_diagonal * pairs_within(len(i) + 1)
            pairs = similar_pairs(
                a[i.start : i.stop], b[j.start : j.stop], limit=SquaredErrorLimit(limit), transforms=transforms
            )
            pairs += [i.start, j.start, 0, 0]
            found.append(pairs[pairs[:, 0] < pairs[:, 1]] if triangular else pairs)
        else:
            masks = np.full(len(i), sum(1 << transform for transform in transforms), np.uint8)
            found.append(listed_pairs(a, b, i, j, masks, limit=SquaredErrorLimit(limit), transforms=transforms))
    pairs = np.concatenate(found)
    return pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]


def brute_force(a, b, *, limit, transforms):
    """Similar pairs from the errors of all pairs."""
    errors, masks = transformed_squared_errors(a, b, transforms)
    i, j = np.nonzero(np.triu(errors <= limit, k=1) if a is b else errors <= limit)
    return np.stack([i, j, errors[i, j], masks[i, j]], axis=1)


@pytest.mark.parametrize("sizes", [[2, 2, 2], [2, 2, 1], [2, 3, 1, 2], [1, 1, 4], [3], []])
def test_boxes_are_those_of_each_sub_block(rng, sizes):
    stops = np.cumsum([0, *sizes]).tolist()
    cuts = [range(start, stop) for start, stop in itertools.pairwise(stops)]
    side = bounds.SearchSide(rng.normal(0, 100, (stops[-1], 20)).astype(np.float32), cuts, np)
    leading = side.leading(bounds.BOX_VALUES, slice(None), np)
    for number, rows in enumerate(cuts):
        assert np.array_equal(side.low[number], leading[rows.start : rows.stop].min(axis=0))
        assert np.array_equal(side.high[number], leading[rows.start : rows.stop].max(axis=0))
    assert len(side.low) == len(side.high) == len(cuts)


@given(
    seed=st.integers(0, 2**32 - 1),
    size=st.sampled_from([(8, 8), (9, 9), (16, 16), (8, 12), (12, 8), (24, 16)]),
    channels=st.integers(1, 4),
    kinds=st.lists(st.sampled_from(KINDS), min_size=1, max_size=3),
    m=st.integers(0, 30),
    n=st.integers(0, 30),
    triangular=st.booleans(),
    largest=st.sampled_from([1, 2, 5, 64]),
    threshold=st.sampled_from(THRESHOLDS),
    from_errors=st.sampled_from([None, 0, -1]),
    transforms=st.tuples(st.booleans(), st.booleans()),
    columns=st.sampled_from([1, 6, 1024]),
    survivors=st.sampled_from([1, 7, 4096]),
    dense=st.sampled_from([(1, 64), (64, 64), (64, 0), (10**9, 0), (10**9, 10**9)]),
)
@settings(max_examples=400, deadline=None)
def test_the_cascade_equals_brute_force(
    seed,
    size,
    channels,
    kinds,
    m,
    n,
    triangular,
    largest,
    threshold,
    from_errors,
    transforms,
    columns,
    survivors,
    dense,
):
    rng = np.random.default_rng(seed)
    shape = (*size, channels)
    limit = CompareSettings(similarity_threshold=threshold).sse_limit(*size)
    a, b = (
        np.concatenate([make_images(rng, kind, count, shape, limit) for kind in kinds])[
            rng.permutation(count * len(kinds))
        ]
        for count in (m, n)
    )
    if len(a) and len(b):
        b[: len(b) // 3] = spread(rng, a[rng.integers(0, len(a), len(b) // 3)], limit)
    if triangular:
        b = a
    a.flags.writeable = b.flags.writeable = False
    turns = available_transforms(*size, rotations=transforms[0], mirror=transforms[1])
    if from_errors is not None and a.size and b.size:
        errors, _ = transformed_squared_errors(a, b, turns)
        below = errors[errors <= limit]
        limit = max(0, int(below[rng.integers(len(below))]) + from_errors) if below.size else limit
    counts = SearchCounts()
    cuts_a = random_cuts(rng, len(a), largest)
    cuts_b = cuts_a if triangular else random_cuts(rng, len(b), largest)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in zip(
            ("_COLUMNS", "_SURVIVORS", "_DENSE_SHARE", "_FEW"), (columns, survivors, *dense), strict=True
        ):
            patch.setattr(bounds, name, value)
        pairs = cascade(a, b, cuts_a, cuts_b, limit=limit, transforms=turns, counts=counts)
    wanted = brute_force(a, b, limit=limit, transforms=turns)
    np.testing.assert_array_equal(pairs, wanted)
    assert counts.pairs == (len(a) * (len(a) - 1) // 2 if triangular else len(a) * len(b))
    assert counts.pairs >= counts.near >= counts.leading
    assert counts.candidates + counts.dense >= len(wanted)


@pytest.mark.parametrize(("size", "channels"), [((8, 8), 3), ((64, 64), 3), ((48, 64), 1), ((256, 256), 4)])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("mirror", [False, True])
def test_the_cascade_equals_two_loops_at_all_thresholds(size, channels, kind, mirror, rng):
    shape, count = (*size, channels), 3 if size == (256, 256) else 8
    transforms = available_transforms(*size, mirror=mirror)
    for threshold in THRESHOLDS if size != (256, 256) else (0.1, 1000):
        limit = CompareSettings(similarity_threshold=threshold).sse_limit(*size)
        images = make_images(rng, kind, count, shape, limit)
        errors = reference_sse(images, images, mirror=mirror)
        pairs = cascade(images, images, *[random_cuts(rng, count, 4)] * 2, limit=limit, transforms=transforms)
        wanted = [(i, j, errors[i, j]) for i, j in np.ndindex(errors.shape) if i < j and errors[i, j] <= limit]
        assert [tuple(pair) for pair in pairs[:, :3].tolist()] == wanted


@pytest.mark.parametrize("shape", [(8, 8, 1), (64, 64, 3), (256, 256, 4), (16, 40, 2)])
@pytest.mark.parametrize("level", [0, 100, 254])
def test_the_limit_is_inclusive_where_the_bound_is_tight(shape, level, rng):
    base = np.full((1, *shape), level, np.uint8)
    if level == 100:
        base = np.clip(base + rng.integers(-9, 9, base.shape), 0, 255).astype(np.uint8)
    one_pixel, all_pixels, one_channel = base.copy(), base + np.uint8(1), base.copy()
    one_pixel[0, 0, 0, 0] += 1
    one_channel[..., 0] += 1
    others = np.concatenate([one_pixel, all_pixels, one_channel])
    for row, error in enumerate((1, math.prod(shape), math.prod(shape[:2]))):
        for transforms in ((0,), available_transforms(*shape[:2], mirror=True)):
            for limit in (error - 1, error, error + 1):
                pairs = cascade(base, others[row : row + 1], [range(1)], [range(1)], limit=limit, transforms=transforms)
                # a pixel of noise on turned noise is not near; flat images stay flat
                assert (len(pairs) == 1) == (limit >= error)


@pytest.mark.parametrize("size", [(64, 64), (256, 256)])
def test_equal_and_turned_images_are_found_at_zero(size, rng):
    shape = (*size, 3)
    base = np.concatenate([make_images(rng, kind, 2, shape, 50 * math.prod(size)) for kind in KINDS])
    for transform in available_transforms(*size, mirror=True):
        turned = apply_transform(base, transform).copy()
        transforms = available_transforms(*size, mirror=transform >= 4)
        cuts = [range(start, start + 3) for start in range(0, len(base), 3)]
        found = cascade(base, turned, cuts, cuts, limit=0, transforms=transforms)
        assert {(row, row) for row in range(len(base))} <= {(i, j) for i, j, _, _ in found.tolist()}


VECTORS = {
    "seed": st.integers(0, 2**32 - 1),
    "values": st.sampled_from([2, 8, 16, 48, 144]),
    "norm": st.sampled_from([1.0, 3e3, 6.5e4]),
    "apart": st.sampled_from([0, 1e-4, 1e-2, 1.0]),
}


def near_vectors(seed, values, norm, apart):
    """Two lots of long float32 vectors, each of one near its counterpart in the other; and their exact distances."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((40, values)) * rng.choice([1, 1e-3], values)
    x = np.float32(x / np.linalg.norm(x, axis=1, keepdims=True) * norm)
    y = np.float32(x + apart * norm / math.sqrt(values) * rng.standard_normal(x.shape))
    exact = [
        sum((Fraction(float(p)) - Fraction(float(q))) ** 2 for p, q in zip(*rows, strict=True))
        for rows in zip(x, y, strict=True)
    ]
    return x, y, [math.nextafter(math.sqrt(square), math.inf) for square in exact]


@given(**VECTORS)
@settings(max_examples=60, deadline=None)
def test_matrix_products_keep_what_is_within_the_radius(seed, values, norm, apart):
    x, y, distances = near_vectors(seed, values, norm, apart)
    a, b = (bounds.SearchSide(side, [range(len(side))], np) for side in (x, y))
    for row, distance in enumerate(distances):
        product = bounds._Product(a, b, values, distance, np)
        i, j = product.near(range(len(x)), np.arange(len(y)))
        assert (row, row) in zip(i.tolist(), j.tolist(), strict=True)


@given(**VECTORS)
@settings(max_examples=60, deadline=None)
def test_listed_differences_keep_what_is_within_the_radius(seed, values, norm, apart):
    x, y, distances = near_vectors(seed, values, norm, apart)
    for row, distance in enumerate(distances):
        waiting = [(np.array([row]), np.array([row]))]
        found = list(bounds._near_whole(x, y, waiting, distance, SearchCounts(), np))
        assert [(i.tolist(), j.tolist()) for i, j in found] == [([row], [row])]


def test_limits_leave_out_what_is_clearly_farther(rng):
    x, y, distances = near_vectors(1, 144, 3e3, 0.1)
    cuts = [range(len(x))]
    product = bounds._Product(
        bounds.SearchSide(x, cuts, np), bounds.SearchSide(y, cuts, np), 144, 0.95 * min(distances), np
    )
    assert not len(product.near(range(len(x)), np.arange(len(y)))[0])
    rows = np.arange(len(x))
    assert not list(bounds._near_whole(x, y, [(rows, rows)], 0.999 * min(distances), SearchCounts(), np))


@given(
    seed=st.integers(0, 2**32 - 1),
    values=st.sampled_from([3, 16, 17, 49, 144]),
    largest=st.integers(1, 6),
    scale=st.sampled_from([1e-3, 1, 1e4]),
)
@settings(max_examples=100, deadline=None)
def test_boxes_keep_what_is_within_the_radius(seed, values, largest, scale):
    rng = np.random.default_rng(seed)
    x = np.float32(rng.normal(0, scale, (20, values)))
    # next to x along one axis at a time, where the gap of the boxes is the distance
    y = x.copy()
    y[np.arange(20), rng.integers(0, min(values, BOX_VALUES) - 1, 20)] += np.float32(scale)
    cuts_x, cuts_y = random_cuts(rng, 20, largest), random_cuts(rng, 20, largest)
    a, b = bounds.SearchSide(x, cuts_x, np), bounds.SearchSide(y, cuts_y, np)
    distances = np.linalg.norm(x[:, None].astype(np.longdouble) - y[None], axis=2).astype(np.float64)
    heads = leading_values(x, BOX_VALUES).astype(np.float64), leading_values(y, BOX_VALUES).astype(np.float64)
    for radius in np.quantile(distances, [0, 0.05, 0.3]).tolist():
        # the norm of the rest is rounded to float32, which signature_error answers for
        near = bounds.near_sub_blocks(a, b, radius + 2.0**-22 * max(map(np.max, map(np.abs, heads))), np)
        for p, rows in enumerate(cuts_x):
            for q, columns in enumerate(cuts_y):
                if distances[rows.start : rows.stop, columns.start : columns.stop].min() <= radius:
                    assert near[p, q]
                left, right = heads[0][rows.start : rows.stop], heads[1][columns.start : columns.stop]
                gaps = np.maximum(right.min(axis=0) - left.max(axis=0), left.min(axis=0) - right.max(axis=0))
                if np.linalg.norm(np.maximum(gaps, 0)) > 1.001 * radius + scale * 1e-3:
                    assert not near[p, q]


@pytest.mark.parametrize("values", [5, 8, 16, 49, 144])
def test_a_side_has_the_leading_values_and_their_norms(values, rng):
    rows = np.float32(rng.normal(0, 1000, (30, values)))
    side = bounds.SearchSide(rows, [range(30)], np)
    assert side.counts() == (*(count for count in (8, 16, 32, 48) if count < values), values)
    for count in side.counts():
        leading = side.leading(count, slice(3, 20), np)
        np.testing.assert_allclose(leading, leading_values(rows, count)[3:20], rtol=2.0**-22)
        norms = np.square(side.leading(count, slice(None), np).astype(np.longdouble)).sum(axis=1)
        np.testing.assert_allclose(side.norms[count], norms, rtol=1e-14)
        assert side.largest[count] == side.norms[count].max()


@given(
    seed=st.integers(0, 2**32 - 1),
    values=st.sampled_from([3, 16, 17, 144]),
    scale=st.sampled_from([1e-3, 1.0, 1e4]),
    quantile=st.sampled_from([0.0, 0.01, 0.3, 1.0]),
    axes=st.integers(1, 16),
)
@settings(max_examples=60, deadline=None)
def test_images_near_a_box_are_kept(seed, values, scale, quantile, axes):
    rng = np.random.default_rng(seed)
    x, y = (np.float32(scale) * rng.standard_normal((n, values), dtype=np.float32) for n in (23, 31))
    a, b = bounds.SearchSide(x, cuts_of(23, 5), np), bounds.SearchSide(y, cuts_of(31, 7), np)
    distances = np.linalg.norm(x[:, None].astype(np.longdouble) - y[None], axis=2)
    # exactly as far apart as a pair is, and a little for the rounding of the norm among the leading values
    radius = float(np.quantile(distances, quantile, method="lower")) + 2.0**-22 * scale * values
    near = rng.random((5, 5)) < 0.7
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("fastdiff_dask.kernels.bounds._AXES", axes)
        found = bounds.near_images(a, b, near, radius, np)
    for row, places in enumerate(found):
        assert places.tolist() == sorted(set(places.tolist()))
        looked_at = {place for column in np.flatnonzero(near[row]) for place in b.sub_blocks[column]}
        assert set(places.tolist()) <= looked_at
        rows = a.sub_blocks[row]
        within = np.flatnonzero((distances[rows.start : rows.stop] <= radius - 2.0**-22 * scale * values).any(axis=0))
        assert looked_at.intersection(within.tolist()) <= set(places.tolist())


@given(
    kept=st.lists(st.booleans(), min_size=30, max_size=30),
    sizes=st.lists(st.integers(1, 9), min_size=6, max_size=6).filter(lambda sizes: sum(sizes) <= 30),
    columns=st.integers(1, 12),
)
@settings(deadline=None)
def test_pieces_hold_each_image_once_and_end_between_sub_blocks(kept, sizes, columns):
    stops = np.cumsum(sizes).tolist()
    cuts = [range(stop - size, stop) for stop, size in zip(stops, sizes, strict=True)]
    places = np.flatnonzero(kept[: stops[-1]])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("fastdiff_dask.kernels.bounds._COLUMNS", columns)
        pieces = list(bounds._pieces(places, cuts, np))
    assert [place for piece, _ in pieces for place in piece] == places.tolist()
    assert all(len(piece) <= columns or len(inside) == 1 for piece, inside in pieces)
    inside = [cut for _, cuts_of_piece in pieces for cut in cuts_of_piece]
    assert inside == [cut for cut in cuts if any(kept[cut.start : cut.stop])]
    for piece, cuts_of_piece in pieces:
        assert {place for cut in cuts_of_piece for place in cut if kept[place]} == set(piece.tolist())


@pytest.fixture(scope="module")
def photo_like():
    """2,500 photo-like thumbnails of 64 × 64 pixels, one in a hundred an altered copy, in k-d order; signatures."""
    path = Path(__file__).parents[1] / "benchmarks" / "simulate.py"
    spec = importlib.util.spec_from_file_location("simulate", path)
    simulate = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(simulate)
    images = simulate.simulate_thumbnails(2500)
    values = signatures(images)
    order = kd_order(leading_values(values, BOX_VALUES), 128)
    return images[order], values[order]


@given(limit=st.integers(0, 4 * 512**2 * 255**2), shape=st.tuples(*[st.integers(8, 512)] * 2, st.integers(1, 4)))
def test_the_radius_is_no_smaller_than_the_limit_and_both_errors(limit, shape):
    radius, errors = search_radius(limit, shape), 2 * Fraction(signature_error(*shape))
    assert (Fraction(radius) - errors) ** 2 >= limit
    assert radius <= math.sqrt(limit) * (1 + 1e-9) + float(errors) * (1 + 1e-9)


def cuts_of(count, size):
    return [range(start, min(start + size, count)) for start in range(0, count, size)]


def radius_of(threshold, size=64):
    limit = CompareSettings(similarity_threshold=threshold).sse_limit(size, size)
    return search_radius(limit, (size, size, 3))


def test_nearly_all_photo_like_pairs_are_skipped(photo_like):
    images, values = photo_like
    side, counts = SearchSide(values, cuts_of(len(images), 128), np), SearchCounts()
    candidates = list(candidate_pairs(side, side, radius=radius_of(200), counts=counts, triangular=True))
    assert counts.pairs == len(images) * (len(images) - 1) // 2
    assert counts.dense == 0
    assert counts.near < 0.9 * counts.pairs
    assert 0 < counts.leading < counts.near / 100
    assert 0 < counts.candidates < counts.pairs / 10_000
    assert counts.candidates == sum(len(i) for i, _ in candidates)


def test_what_was_skipped_is_not_similar(photo_like):
    images = photo_like[0][:400]
    cuts = cuts_of(len(images), 128)
    transforms = available_transforms(64, 64)
    counts = SearchCounts()
    options = {"limit": 1000 * 64 * 64, "transforms": transforms}
    pairs = cascade(images, images, cuts, cuts, counts=counts, **options)
    dense = similar_pairs(
        images, images, limit=SquaredErrorLimit(1000 * 64 * 64), transforms=transforms, triangular=True
    )
    np.testing.assert_array_equal(pairs, dense)
    assert len(pairs) > 0
    assert counts.candidates + counts.dense < counts.pairs / 20


@pytest.mark.parametrize("triangular", [True, False])
def test_where_all_are_similar_all_are_compared(triangular, rng):
    images = rng.integers(120, 127, (150, 16, 16, 3), dtype=np.uint8)
    other = images if triangular else rng.integers(120, 127, (90, 16, 16, 3), dtype=np.uint8)
    transforms, counts = available_transforms(16, 16), SearchCounts()
    cuts = cuts_of(150, 40), cuts_of(len(other), 40)
    # noise of 7 levels on either side differs by an MSE of about 3 · 2 · 4 = 24
    for threshold, least in ((200, 150 * 149 // 2 if triangular else 150 * 90), (22, 1)):
        counts = SearchCounts()
        options = {"limit": threshold * 256, "transforms": transforms}
        pairs = cascade(images, other, *cuts, counts=counts, **options)
        np.testing.assert_array_equal(pairs, brute_force(images, other, **options))
        assert len(pairs) >= least
        assert counts.dense == counts.near == counts.pairs
        assert counts.candidates == 0


def test_the_first_values_are_more_where_less_can_be_told_apart(photo_like, rng):
    _, values = photo_like

    def chosen(values, threshold):
        side = bounds.SearchSide(values, cuts_of(len(values), 128), np)
        radius = radius_of(threshold)
        near = np.triu(bounds.near_sub_blocks(side, side, radius, np))
        return bounds._choose_count(side, side, bounds.near_images(side, side, near, radius, np), radius, np)

    varied = chosen(values, 200)
    alike = np.rint(signatures(np.full((1, 64, 64, 3), 128, np.uint8)) + rng.normal(0, 60, (1024, 144)))
    assert varied in (8, 16)
    assert chosen(values, 2000) > varied
    assert chosen(alike.astype(np.float32), 180) > varied
