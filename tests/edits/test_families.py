"""Pairs to look at: each image with the first of its family, against plain loops."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from fastdiff_dask.edits.families import best_pairs, pairs_by_third, star_pairs

PAIRS = st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12)).filter(lambda pair: pair[0] != pair[1]), max_size=40)


def arrays(pairs):
    values = np.array(pairs, np.int64).reshape(-1, 2)
    return values[:, 0], values[:, 1]


def plain_stars(pairs, ranks):
    chosen, taken = set(), set()
    for image in np.argsort(ranks).tolist():
        if image in taken:
            continue
        own = [(place, (set(pair) - {image}).pop()) for place, pair in enumerate(pairs) if image in pair]
        new = [(place, other) for place, other in own if other not in taken]
        chosen |= {place for place, _ in new}
        taken |= {image, *(other for _, other in own)}
    return sorted(chosen)


@given(PAIRS, st.permutations(range(13)))
def test_stars(pairs, ranks):
    assert star_pairs(*arrays(pairs), np.array(ranks)).tolist() == plain_stars(pairs, ranks)


@given(PAIRS, st.permutations(range(13)), st.randoms())
def test_stars_do_not_depend_on_the_order_of_the_pairs(pairs, ranks, random):
    pairs = list({tuple(sorted(pair)) for pair in pairs})
    shuffled = random.sample(pairs, len(pairs))
    first = {pairs[place] for place in star_pairs(*arrays(pairs), np.array(ranks)).tolist()}
    assert {shuffled[place] for place in star_pairs(*arrays(shuffled), np.array(ranks)).tolist()} == first


def test_copies_of_a_picture_make_a_star():
    pairs = [(a, b) for a in range(6) for b in range(a)]
    chosen = [pairs[place] for place in star_pairs(*arrays(pairs), np.array([5, 4, 3, 0, 2, 1])).tolist()]
    assert len(chosen) == 5
    assert all(3 in pair for pair in chosen)


@given(PAIRS, st.lists(st.integers(0, 3), min_size=40, max_size=40), st.lists(st.booleans(), min_size=13, max_size=13))
def test_best_pairs(pairs, scores, wanting):
    values = np.array(scores[: len(pairs)], np.float32)
    expected = set()
    for image in range(13):
        own = [place for place, pair in enumerate(pairs) if image in pair]
        if wanting[image] and own:
            expected.add(min(own, key=lambda place: (-values[place], place)))
    assert best_pairs(*arrays(pairs), values, np.array(wanting)).tolist() == sorted(expected)


@given(PAIRS, st.dictionaries(st.tuples(st.integers(0, 12), st.integers(0, 12)), st.integers(1, 4), max_size=30))
def test_pairs_by_a_third_image(pairs, known):
    """The surest third image, of equal ones the first; as sure as the weaker of its two pairs."""
    sure = {frozenset(pair): value / 4 for pair, value in known.items() if pair[0] != pair[1]}
    first, second = arrays([sorted(pair) for pair in sure])
    thirds, confidence = pairs_by_third(*arrays(pairs), first, second, np.array(list(sure.values())))
    for (one, other), third, found in zip(pairs, thirds.tolist(), confidence.tolist(), strict=True):
        both = [(-min(sure.get(frozenset((one, c)), 0), sure.get(frozenset((other, c)), 0)), c) for c in range(13)]
        best, image = min(both)
        assert (third, found) == ((image, -best) if best else (-1, 0))
