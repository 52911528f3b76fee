"""Pairs by their verdicts, counted and chosen, against a loop over all pairs."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.groups import components, expanded
from support.verdicts import drawn_verdicts

from fastdiff_dask.config import BY_CERTAINTY, check_verdicts
from fastdiff_dask.errors import UsageError
from fastdiff_dask.results.by_verdict import choose_pairs, count_verdicts, groups_of_pairs
from fastdiff_dask.results.groups import PairChunk
from fastdiff_dask.results.not_duplicates import without_pairs

seeds = st.integers(0, 10**6)
some_verdicts = st.lists(st.sampled_from(BY_CERTAINTY), min_size=1, unique=True)


def rows_of(chunk: PairChunk) -> set[tuple[int, ...]]:
    rows = list(zip(*(one.tolist() for one in chunk), strict=True))
    assert len(set(rows)) == len(rows)
    return set(rows)


@given(expanded(), seeds, st.booleans())
@settings(max_examples=100, deadline=None)
def test_counts_are_those_of_all_pairs(case, seed, some_left_out):
    groups, verdicts = case.groups, drawn_verdicts(case, seed)
    pairs = np.array(list(case.pairs), np.int64).reshape(-1, 2)
    if some_left_out:
        groups = without_pairs(groups, pairs[np.random.default_rng(seed).random(len(pairs)) < 0.3])
    every = PairChunk.none().joined(*groups.pairs(1000))
    expected = Counter(verdicts.names(every.a, every.b).tolist())
    assert count_verdicts(groups, verdicts) == {name: expected[name] for name in BY_CERTAINTY}


@given(expanded(), seeds, some_verdicts)
@settings(max_examples=100, deadline=None)
def test_pairs_are_chosen_from_all_and_become_groups(case, seed, names):
    groups, verdicts = case.groups, drawn_verdicts(case, seed)
    every = PairChunk.none().joined(*groups.pairs(1000))
    chosen = choose_pairs(groups, verdicts, names, every)
    expected = every.at(np.isin(verdicts.names(every.a, every.b).astype(str), names))
    assert rows_of(chosen) == rows_of(expected)
    made, rows = groups_of_pairs(chosen, groups.two_sides)
    back = PairChunk.none().joined(*made.pairs(1000))
    assert rows_of(back._replace(a=rows[back.a], b=rows[back.b])) == rows_of(expected)
    assert [rows[part].tolist() for part in made.connected()] == components(expected.a, expected.b)


@given(expanded(), seeds, some_verdicts)
@settings(max_examples=100, deadline=None)
def test_where_not_all_are_listed_no_pair_that_was_looked_at_is_missing(case, seed, names):
    groups, verdicts = case.groups, drawn_verdicts(case, seed)
    every, stars = PairChunk.none().joined(*groups.pairs(1000)), groups.stars()
    chosen = choose_pairs(groups, verdicts, names, stars)
    verdict_of = verdicts.names(every.a, every.b).astype(str)
    assert rows_of(chosen) <= rows_of(every.at(np.isin(verdict_of, names)))
    looked = set(names) - {"same file", "not looked at"}
    assert rows_of(chosen) >= rows_of(every.at(np.isin(verdict_of, list(looked))))
    if set(names) == {"same file"}:
        expected = every.at(verdict_of == "same file")
        assert components(chosen.a, chosen.b) == components(expected.a, expected.b)


@pytest.mark.parametrize("wrong", ["cats", "same", "", "similar,,same file", "same-file;similar"])
def test_an_unknown_word_names_the_choices(wrong):
    with pytest.raises(UsageError) as error:
        check_verdicts([wrong])
    assert str(error.value).startswith("verdict='")
    assert all(name in str(error.value) for name in BY_CERTAINTY)
