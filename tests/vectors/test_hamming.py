"""Near hashes: pieces and counts find the pairs of two loops; many equal hashes, bounded memory, the choice."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastdiff_dask.kernels.transforms import Transform
from fastdiff_dask.vectors import hamming
from fastdiff_dask.vectors.hamming import Pieces, choose_pieces, near_hashes

GROUPS = [(0,), (0, 2), (0, 4), (0, 1, 2, 3), tuple(range(8))]


def by_two_loops(a, b, limit, transforms=(0,)):
    found = set()
    for i in range(a.shape[1]):
        for j in range(i + 1 if b is None else 0, (a if b is None else b).shape[1]):
            others = a if b is None else b
            values = {}
            for place, t in enumerate(transforms):
                back = transforms.index(Transform(t).inverse)
                pairs = (a[place, i], others[0, j]), (a[0, i], others[back, j])
                values[t] = min(sum(int(x ^ y).bit_count() for x, y in zip(*pair, strict=True)) for pair in pairs)
            value = min(values.values())
            if value <= limit:
                found.add((i, j, value, sum(1 << t for t in transforms if values[t] == value)))
    return found


def listed(*arguments, **options):
    rows = [
        row for found in near_hashes(*arguments, **options) for row in zip(*map(np.ndarray.tolist, found), strict=True)
    ]
    assert len(rows) == len(set(rows))  # each pair once
    return set(rows)


def random_hashes(rng, *shape):
    return rng.integers(0, 2**64, shape, np.uint64)


def altered(rng, hashes, bits):
    """Flip some bits of each hash, at random."""
    hashes = hashes.copy()
    transforms, images, words = hashes.shape
    for _ in range(bits):
        where = np.arange(transforms)[:, None], np.arange(images)[None, :], rng.integers(0, words, (transforms, images))
        hashes[where] ^= np.uint64(1) << rng.integers(0, 64, (transforms, images)).astype(np.uint64)
    return hashes


def ways(rng, words, limit):
    """Each way to search: by counts, the one that is chosen, and all pieces that may be chosen."""
    drawn = random_hashes(rng, words, 64)
    return [None, "cheapest", *hamming._possible_pieces(drawn, limit)]


@given(
    seed=st.integers(0, 2**32 - 1),
    words=st.sampled_from([1, 2, 4]),
    transforms=st.sampled_from(GROUPS),
    two_sides=st.booleans(),
    images=st.integers(0, 20),
    limit=st.one_of(st.integers(0, 40), st.sampled_from([64, 256, 1000])),
    bits=st.integers(0, 6),
)
@settings(max_examples=60, deadline=None)
def test_every_way_finds_the_pairs_of_two_loops(seed, words, transforms, two_sides, images, limit, bits):
    rng = np.random.default_rng(seed)
    bases = random_hashes(rng, len(transforms), 4, words)
    a, b = (altered(rng, bases[:, rng.integers(0, 4, count)], bits) for count in (images, 9))
    # some are equal, by all transforms and by some
    a[:, : images // 3] = a[:, images // 3 : images // 3 + 1]
    if images:
        b[0, :2] = a[-1, 0]
    b = b if two_sides else None
    wanted = by_two_loops(a, b, limit, transforms)
    for pieces in ways(rng, words, limit):
        assert listed(a, b, limit, transforms, pieces) == wanted, pieces


@given(seed=st.integers(0, 2**32 - 1), limit=st.integers(0, 12), alike=st.integers(1, 60))
@settings(max_examples=15, deadline=None)
def test_large_and_small_buckets_are_compared_as_counts_of_all_pairs_compare_them(seed, limit, alike):
    # of `alike` bases only, so that buckets are large; and a rest whose buckets are small
    rng = np.random.default_rng(seed)
    bases = random_hashes(rng, 1, alike, 1)
    hashes = np.concatenate([altered(rng, bases[:, rng.integers(0, alike, 900)], 8), random_hashes(rng, 1, 300, 1)], 1)
    a, b = hashes[:, ::2], hashes[:, 1::2]
    for sides in ((hashes, None), (a, b)):
        wanted = listed(*sides, limit, pieces=None)
        for pieces in ways(rng, 1, limit)[1:]:
            assert listed(*sides, limit, pieces=pieces) == wanted


def test_distances_on_the_limit_are_near_and_one_bit_more_is_not():
    hashes = np.zeros((1, 2, 4), np.uint64)
    for limit in (1, 4, 31, 63):
        hashes[0, 1] = 0
        for bit in range(limit):  # spread over all words
            hashes[0, 1, bit % 4] |= np.uint64(1) << np.uint64(7 * bit % 64)
        assert sum(int(word).bit_count() for word in hashes[0, 1]) == limit
        for pieces in ways(np.random.default_rng(0), 4, limit):
            assert listed(hashes, None, limit, pieces=pieces) == {(0, 1, limit, 1)}
            assert listed(hashes, None, limit + 0.5, pieces=pieces) == {(0, 1, limit, 1)}
            assert not listed(hashes, None, limit - 0.5, pieces=pieces)


@pytest.mark.parametrize("limit", [-1, -0.5, float("nan")])
def test_no_pair_is_near_below_zero(limit):
    assert not listed(np.zeros((1, 3, 1), np.uint64), None, limit)


def test_an_infinite_limit_gives_all_pairs():
    hashes = random_hashes(np.random.default_rng(0), 1, 40, 2)
    assert listed(hashes, None, float("inf")) == by_two_loops(hashes, None, 128)


def test_hashes_of_no_images_have_no_pairs():
    nothing = np.zeros((1, 0, 1), np.uint64)
    assert not listed(nothing, None, 4)
    assert not listed(nothing, np.zeros((1, 3, 1), np.uint64), 4)
    assert not listed(np.zeros((1, 3, 1), np.uint64), nothing, 4)


def test_pieces_share_no_bit_and_their_radii_leave_no_gap():
    rng = np.random.default_rng(0)
    for words, limit in ((1, 0), (1, 4), (1, 10), (2, 20), (4, 31), (16, 124)):
        found = list(hamming._possible_pieces(random_hashes(rng, words, 500), limit))
        assert found
        for pieces in found:
            bits = [bit for piece in pieces.bits for bit in piece]
            assert len(bits) == len(set(bits))
            assert max(bits) < 64 * words
            assert sum(radius + 1 for radius in pieces.radii) > limit


def test_bits_that_are_the_same_in_all_hashes_are_in_no_piece_if_there_are_others():
    rng = np.random.default_rng(0)
    drawn = random_hashes(rng, 1, 4000) & np.uint64(0xFFFFFFFF)
    chosen = [pieces for pieces in hamming._possible_pieces(drawn, 3) if sum(map(len, pieces.bits)) <= 32]
    assert chosen
    assert all(max(map(max, pieces.bits)) < 32 for pieces in chosen)


def test_pieces_are_chosen_where_few_bits_differ_and_counts_where_many_do(monkeypatch):
    costs = hamming.Costs(8e-10, 7e-9, 1.5e-5, 1.5e-8, 1e-5, 1.5e-8)
    monkeypatch.setattr(hamming, "measured_costs", lambda words, leading: costs)
    drawn = random_hashes(np.random.default_rng(0), 1, 1 << 14)
    assert choose_pieces(drawn, 100_000, 100_000, 4, True) is not None
    assert choose_pieces(drawn, 100_000, 100_000, 20, True) is None
    # where nearly all hashes are alike, pieces tell none apart
    assert choose_pieces(drawn & np.uint64(0b11), 100_000, 100_000, 4, True) is None


def test_equal_hashes_are_compared_once_however_many_they_are(monkeypatch):
    counted = []
    count = hamming._Counter._count
    monkeypatch.setattr(
        hamming._Counter,
        "_count",
        lambda self, a, b, into: counted.append(a.shape[1] * b.shape[1]) or count(self, a, b, into),
    )
    rng = np.random.default_rng(0)
    hashes = np.repeat(random_hashes(rng, 4, 3, 1), 1000, axis=1)[:, rng.permutation(3000)]
    found = list(near_hashes(hashes, None, 4, (0, 1, 2, 3), None))
    assert sum(len(some.first) for some in found) == 3 * 1000 * 999 // 2
    assert max(len(some.first) for some in found) <= 1 << 17
    assert sum(counted) < 100
    first, second = (np.concatenate([getattr(some, name) for some in found]) for name in ("first", "second"))
    assert (first < second).all()
    assert len(np.unique(first * 3000 + second)) == len(first)
    assert (hashes[:, first] == hashes[:, second]).all()


def test_memory_does_not_grow_with_the_number_of_pairs():
    hashes = np.zeros((1, 6000, 1), np.uint64)
    hashes[0, ::2] = 1  # 18 million pairs
    tracemalloc.start()
    try:
        pairs = sum(len(found.first) for found in near_hashes(hashes, None, 1))
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert pairs == 6000 * 5999 // 2
    assert most < 50e6


def test_long_vectors_of_bits_are_compared_in_little_memory():
    rng = np.random.default_rng(0)
    hashes = random_hashes(rng, 1, 600, 1100)  # 70,400 bits: more than 16 bits can count
    hashes[0, 1] = ~hashes[0, 0]
    hashes[0, 3] = hashes[0, 2] ^ np.uint64(1)
    far = listed(hashes[:, :9], None, 70_400)
    assert far == by_two_loops(hashes[:, :9], None, 70_400)
    assert (0, 1, 70_400, 1) in far
    search = hamming._Search(hashes, None, 3, (0,))
    tracemalloc.start()
    try:
        search.cheapest()
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 250e6
    assert listed(hashes, None, 1100, pieces=None) == {(2, 3, 1100, 1)}


def test_a_pair_that_several_pieces_and_transforms_find_is_given_once():
    # near in all pieces, by all turns, either way round
    hashes = np.repeat(random_hashes(np.random.default_rng(0), 1, 1, 1), 4, axis=0).repeat(2, axis=1)
    hashes[:, 1] ^= np.uint64(1)
    bits = tuple(tuple(range(start, start + 8)) for start in range(0, 40, 8))
    assert listed(hashes, None, 4, (0, 1, 2, 3), Pieces(bits, (0,) * 5)) == {(0, 1, 1, 0b1111)}


def test_hashes_that_are_mixed_alike_are_not_taken_for_equal(monkeypatch):
    # words whose mixtures are equal: the first word of the second hash undoes what the second one does
    factor, shift = 0x9E3779B97F4A7C15, 29

    def mixed(value, word):
        value = (value ^ word) * factor % 2**64
        return value ^ value >> shift

    first = (5, 9)
    other = 7
    second = (other, mixed(0, first[0]) ^ first[1] ^ mixed(0, other))
    hashes = np.array([[first, second, first, second]], np.uint64)
    assert listed(hashes, None, 128) == by_two_loops(hashes, None, 128)
    assert {row[:3] for row in listed(hashes, None, 0)} == {(0, 2, 0), (1, 3, 0)}
