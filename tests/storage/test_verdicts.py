"""Verdicts in a store: the largest size counts, in any order of the files; damaged files are told in one line."""

import itertools

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from fastdiff_dask.config import ThumbnailSettings
from fastdiff_dask.errors import FastDiffError
from fastdiff_dask.storage.derived.verdicts import (
    NOT_LOOKED_AT,
    SAME_FILE,
    SAME_PICTURE,
    SAME_PIXELS,
    SIMILAR,
    VERDICT_NAMES,
    Verdicts,
    read_verdicts,
    write_verdicts,
)
from fastdiff_dask.storage.schema import VERDICTS
from fastdiff_dask.storage.store import Store

HIGHEST = (1 << 31) - 1


def frame(*rows: tuple[int, int, int, float, int]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["a", "b", "verdict", "block", "size"]).assign(made=0)


def codes(verdicts: Verdicts, *pairs: tuple[int, int], size: int = 0) -> list[int]:
    return verdicts.codes(*np.array(pairs, np.int64).reshape(-1, 2).T, size).tolist()


@pytest.fixture
def store(tmp_path) -> Store:
    return Store.open_or_create(str(tmp_path / "store"), {"a": [], "b": []}, ThumbnailSettings())


def test_names_of_the_codes():
    assert VERDICT_NAMES[NOT_LOOKED_AT] == "not looked at"
    assert VERDICT_NAMES[SAME_FILE] == "same file"
    assert VERDICT_NAMES[SAME_PIXELS] == "same pixels"
    assert VERDICT_NAMES[SAME_PICTURE] == "same picture"
    assert VERDICT_NAMES[SIMILAR] == "similar"


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_of_a_pair_the_look_at_the_largest_size_counts(store, order):
    looks = [(3, 7, SAME_PICTURE, 2.0, 64), (3, 7, SIMILAR, 40.0, 512), (3, 7, SAME_PICTURE, 5.0, 256)]
    for place in order:
        write_verdicts(store, frame(looks[place]))
    verdicts = read_verdicts(store)
    assert len(verdicts) == 1
    assert codes(verdicts, (3, 7)) == codes(verdicts, (7, 3)) == [SIMILAR]
    assert verdicts.blocks(np.array([7]), np.array([3])).tolist() == [40.0]
    assert [len(one) for one in verdicts.same()] == [0, 0]


def test_a_look_below_a_size_does_not_count_for_it():
    verdicts = Verdicts(frame((0, 1, SAME_PICTURE, 3, 256), (0, 2, SIMILAR, 30, 512)))
    assert codes(verdicts, (0, 1), (0, 2), size=256) == [SAME_PICTURE, SIMILAR]
    assert codes(verdicts, (0, 1), (0, 2), size=257) == [NOT_LOOKED_AT, SIMILAR]
    assert codes(verdicts, (0, 1), (0, 2), size=513) == [NOT_LOOKED_AT, NOT_LOOKED_AT]


def test_pairs_are_found_by_both_numbers(rng):
    """Numbers at the ends of what is possible, and neighbours of pairs that are there."""
    numbers = [0, 1, 2, 77, HIGHEST - 1, HIGHEST]
    every = list(itertools.combinations(numbers, 2))
    there = {pair: int(rng.choice([SAME_PIXELS, SAME_PICTURE, SIMILAR])) for pair in every if rng.random() < 0.5}
    rows = [(*pair, code, float(code), 512) for pair, code in there.items()]
    verdicts = Verdicts(frame(*(rows[row] for row in rng.permutation(len(rows)))))
    assert len(verdicts) == len(there)
    for ways in (every, [(b, a) for a, b in every]):
        assert codes(verdicts, *ways) == [there.get(pair, NOT_LOOKED_AT) for pair in every]
        blocks = verdicts.blocks(*np.array(ways).T)
        np.testing.assert_array_equal(blocks, [there.get(pair, np.nan) for pair in every])
    same = list(zip(*(one.tolist() for one in verdicts.same()), strict=True))
    assert same == sorted(pair for pair, code in there.items() if code != SIMILAR)


def test_without_verdicts_nothing_was_looked_at(store):
    verdicts = read_verdicts(store)
    assert len(verdicts) == 0
    assert codes(verdicts) == []
    assert codes(verdicts, (0, 1), (5, HIGHEST)) == [NOT_LOOKED_AT] * 2
    assert np.isnan(verdicts.blocks(np.array([0]), np.array([1]))).all()


def test_further_verdicts_are_put_to_those_of_the_store(store):
    write_verdicts(store, frame((0, 1, SAME_PICTURE, 3, 512), (1, 4, SIMILAR, 30, 128)))
    verdicts = read_verdicts(store, frame((1, 4, SAME_PIXELS, 0, 512), (2, 3, SIMILAR, 50, 512)))
    assert codes(verdicts, (0, 1), (1, 4), (2, 3)) == [SAME_PICTURE, SAME_PIXELS, SIMILAR]
    assert codes(read_verdicts(store), (1, 4), (2, 3)) == [SIMILAR, NOT_LOOKED_AT]


def test_rows_that_cannot_be_are_passed_over(store):
    bad = [(1, 0, 3, 1, 512), (2, 2, 3, 1, 512), (-1, 3, 3, 1, 512), (0, 1 << 31, 3, 1, 512)]
    bad += [(0, 1, code, 1, 512) for code in (-1, NOT_LOOKED_AT, SAME_FILE, 5, 100)]
    write_verdicts(store, frame(*bad, (4, 5, SAME_PICTURE, 1, 512)))
    verdicts = read_verdicts(store)
    assert len(verdicts) == 1
    assert codes(verdicts, (4, 5), (0, 1)) == [SAME_PICTURE, NOT_LOOKED_AT]


@pytest.mark.parametrize("damage", ["empty", "short", "text", "columns"])
def test_a_damaged_file_is_told_in_one_line(store, tmp_path, damage):
    write_verdicts(store, frame((0, 1, SAME_PICTURE, 3, 512)))
    (path,) = (tmp_path / "store" / VERDICTS).iterdir()
    if damage == "columns":
        frame((0, 1, SAME_PICTURE, 3, 512)).astype({"a": str}).to_parquet(path)
    else:
        whole = path.read_bytes()
        path.write_bytes({"empty": b"", "short": whole[: len(whole) // 2], "text": b"verdicts"}[damage])
    with pytest.raises(FastDiffError) as error:
        read_verdicts(store)
    assert VERDICTS in str(error.value)
    assert "\n" not in str(error.value)


def test_what_was_made_from_what(store, tmp_path):
    looks = frame(
        (0, 1, SAME_PICTURE, 3, 512), (1, 4, SAME_PIXELS, 0, 512), (2, 3, SIMILAR, 50, 512), (5, 6, 3, 1, 512)
    )
    write_verdicts(store, looks.assign(made=[1, 2, 1, 0]))
    made, source = read_verdicts(store).sources()
    assert list(zip(made.tolist(), source.tolist(), strict=True)) == [(0, 1), (4, 1)]


def test_files_of_earlier_versions_are_read(store, tmp_path):
    write_verdicts(store, frame((0, 1, SAME_PICTURE, 3, 512)).assign(made=2))
    (path,) = (tmp_path / "store" / VERDICTS).iterdir()
    table = pq.read_table(path).drop_columns("made")
    pq.write_table(table, path)
    write_verdicts(store, frame((4, 7, SAME_PICTURE, 3, 512)).assign(made=2))
    verdicts = read_verdicts(store)
    assert codes(verdicts, (0, 1), (4, 7)) == [SAME_PICTURE] * 2
    assert [one.tolist() for one in verdicts.sources()] == [[7], [4]]


def test_other_files_beside_the_verdicts_are_none_of_them(store, tmp_path):
    write_verdicts(store, frame((0, 1, SAME_PICTURE, 3, 512)))
    (tmp_path / "store" / VERDICTS / "abc.parquet.partial").write_bytes(b"half")
    assert len(read_verdicts(store)) == 1
