"""Any function compares: its values, its name in the store, its mistakes, resuming; SSIM and hashes by libraries."""

import copy
import datetime
import functools
import itertools
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import distributed
import numpy as np
import pandas as pd
import pytest
from PIL import Image

import fastdiff_dask as fd
from fastdiff_dask.cli import commands
from fastdiff_dask.errors import FastDiffError, UsageError
from fastdiff_dask.kernels.hashes import pdq_bits
from fastdiff_dask.kernels.measures import (
    Measure,
    apply_measure,
    hamming_distance,
    prepare_features,
    resolve_measure,
    similar_by_measure,
    ssim_dissimilarity,
)
from fastdiff_dask.kernels.transforms import available_transforms, inverse_masks
from fastdiff_dask.runtime import connection
from fastdiff_dask.storage.store import Store

INFINITE = 1e300  # a threshold that every number is below


@pytest.fixture(scope="module")
def client():
    """One thread: tiles are compared one after the other."""
    client = connection.embedded_client(1, "127.0.0.1:0")
    yield client
    client.close()
    client.cluster.close()


class Photos:
    """Pictures of 8 × 8 pixels, which are their own thumbnails."""

    def __init__(self, folder: Path, pixels: np.ndarray) -> None:
        self.folder, self.pixels = folder, pixels
        (folder / "photos").mkdir()
        self.paths = [folder / "photos" / f"{number:03d}.png" for number in range(len(pixels))]
        for path, image in zip(self.paths, pixels, strict=True):
            Image.fromarray(image).save(path)

    def open(self, client: object, store: str = "store", **options: object) -> fd.FastDifPy:
        """Read them: what is left is to compare."""
        size = {"thumbnail_size_x": 8, "thumbnail_size_y": 8, "verbose": False}
        db = fd.FastDifPy(self.folder / "photos", store=self.folder / store, client=client, **size, **options)
        db.index_the_dirs()
        db.first_loop_iteration()
        return db

    def expected(
        self, compare: Callable, threshold: float = INFINITE, *, rotations: bool = False, mirror: bool = False
    ) -> list[tuple]:
        """Call a function for each pair and transform by hand: path, path, value, degrees, mirrored."""
        rows = []
        for (i, a), (j, b) in itertools.combinations(enumerate(self.pixels), 2):
            each = [
                (min(float(np.asarray(compare(x[None], y[None]))[0, 0]) for x, y in forms), turn * 90, flip)
                for flip in (False, True)[: 1 + mirror]
                for turn in range(4 if rotations else 1)
                for forms in [
                    # either image is turned; turning a mirrored one back is turning and mirroring it again
                    [
                        (np.ascontiguousarray(np.rot90(np.fliplr(a) if flip else a, turn)), b),
                        (a, np.ascontiguousarray(np.rot90(np.fliplr(b), turn) if flip else np.rot90(b, -turn))),
                    ]
                ]
            ]
            value, degrees, flipped = min(each, key=lambda one: one[0])  # of equal ones the first
            if value <= threshold:
                rows.append((str(self.paths[i]), str(self.paths[j]), value, degrees, flipped))
        return rows


@pytest.fixture
def photos(tmp_path, rng) -> Photos:
    """Seven pictures: two equal, one turned, one mirrored."""
    pixels = rng.integers(0, 256, (7, 8, 8, 3), dtype=np.uint8)
    pixels[3] = pixels[1]
    pixels[4] = np.rot90(pixels[1])
    pixels[5] = np.fliplr(pixels[2])
    return Photos(tmp_path, pixels)


def rows_of(pairs: pd.DataFrame) -> list[tuple]:
    assert list(pairs.columns) == ["a", "b", "value", "rotation", "mirrored", "verdict"]
    return list(pairs.drop(columns="verdict").itertuples(index=False, name=None))


def largest_difference(a, b):
    """Of all pixels: a (m, n) matrix, and the same whatever the cut or the order of the images."""
    return np.abs(a[:, None].astype(int) - b[None]).max(axis=(2, 3, 4))


def corner(a, b):
    """Depends on the turn."""
    return np.abs(a[:, None, 0, 0, 0].astype(float) - b[None, :, 0, 0, 0]) / 3 - 10


# -- values ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("compare", [largest_difference, corner])
@pytest.mark.parametrize("options", [{"rotations": False}, {"rotations": True}, {"rotations": True, "mirror": True}])
def test_values_are_those_of_calling_the_function_for_each_pair(photos, client, compare, options):
    with photos.open(client) as db:
        found = rows_of(db.find_pairs(INFINITE, compare=compare, sub_block=2, tile_side=2, **options))
        assert found == photos.expected(compare, **options)
        (plan,) = single_comparison(db).plans()
        assert plan.counts[:, :2].sum(axis=0).tolist() == [21, 21]  # similar, compared: none with itself
        middle = sorted(row[2] for row in found)[10]
        assert rows_of(db.find_pairs(middle, compare=compare, **options)) == [row for row in found if row[2] <= middle]


@pytest.mark.parametrize(("sub_block", "tile_side"), [(1, 1), (1, 3), (2, 1), (3, 2), (100, 1), (None, None)])
def test_the_cut_does_not_change_the_result(photos, client, sub_block, tile_side):
    with photos.open(client, block_size=sub_block or 4) as db:
        found = db.find_pairs(INFINITE, compare=corner, sub_block=sub_block, tile_side=tile_side)
    assert rows_of(found) == photos.expected(corner, rotations=True)


def test_two_sides_are_compared_across(tmp_path, client, rng):
    pixels = rng.integers(0, 256, (7, 8, 8, 3), dtype=np.uint8)
    (tmp_path / "z").mkdir()
    photos = Photos(tmp_path, pixels)
    for path in photos.paths[:3]:
        path.rename(tmp_path / "z" / path.name)
    with fd.FastDifPy(
        tmp_path / "z", tmp_path / "photos", store=tmp_path / "store", client=client, thumbnail_size_x=8,
        thumbnail_size_y=8, verbose=False,
    ) as db:  # fmt: skip
        db.index_the_dirs()
        db.first_loop_iteration()
        found = db.find_pairs(INFINITE, compare=corner, rotations=True, sub_block=2)
    wanted = [row for row in photos.expected(corner, rotations=True) if row[0][-7:] < "003.png" <= row[1][-7:]]
    assert [(Path(row[0]).name, *row[1:]) for row in rows_of(found)] == [(row[0][-7:], *row[1:]) for row in wanted]
    assert set(map(os.path.dirname, found.a)) == {str(tmp_path / "z")}  # the side, not the name, says which is a


def test_equal_images_are_compared_like_all_others(photos, client):
    def always_seven(a, b):
        return np.full((len(a), len(b)), 7.0)

    with photos.open(client) as db:
        found = db.find_pairs(7.0, compare=always_seven)
        assert len(found) == 21
        assert set(found.value) == {7.0}
        assert len(db.find_pairs(6.999, compare=always_seven)) == 0


def test_a_second_generation_is_compared_with_the_first(photos, client):
    held = [path.read_bytes() for path in photos.paths[4:]]
    for path in photos.paths[4:]:
        path.unlink()
    with photos.open(client) as db:
        assert len(db.find_pairs(INFINITE, compare=largest_difference)) == 6
        for path, content in zip(photos.paths[4:], held, strict=True):
            path.write_bytes(content)
        db.index_the_dirs()
        db.first_loop_iteration()
        found = db.find_pairs(INFINITE, compare=largest_difference, rotations=True)
        assert rows_of(found) == photos.expected(largest_difference, rotations=True)
        assert db.result().stats["tiles_resumed"] == 1


RESULTS = {
    "bool": lambda values: values > 100,
    "int8": lambda values: (values % 100 - 50).astype(np.int8),
    "uint64": lambda values: values.astype(np.uint64),
    "float16": lambda values: values.astype(np.float16),
    "float32": lambda values: values.astype(np.float32) / np.float32(3),
    "list": lambda values: values.tolist(),
}


@pytest.mark.parametrize("kind", RESULTS)
def test_numbers_of_every_kind_are_taken(photos, client, kind):
    convert = RESULTS[kind]

    def compare(a, b):
        return convert(largest_difference(a, b))

    with photos.open(client) as db:
        found = db.find_pairs(INFINITE, compare=compare, rotations=False)
    assert rows_of(found) == photos.expected(compare)
    assert found.value.dtype == np.float64
    assert found.value.nunique() > 1


def levels(*values: int) -> np.ndarray:
    return np.stack([np.full((8, 8, 3), value, np.uint8) for value in values])


def by_level(table: dict[tuple[int, int], float]) -> Callable:
    """Values of pairs of plain pictures from a table."""

    def compare(a, b):
        return np.array([[table.get(tuple(sorted((x, y))), 0.0) for y in b[:, 0, 0, 0]] for x in a[:, 0, 0, 0]])

    return compare


def test_negative_values_zeros_of_both_signs_and_infinity(tmp_path, client):
    table = {(0, 1): -2.5, (0, 2): -0.0, (0, 3): 0.0, (1, 2): np.inf, (1, 3): -1.5, (2, 3): 1e-300}
    compare = by_level(table)
    photos = Photos(tmp_path, levels(0, 1, 2, 3))
    with photos.open(client) as db:
        found = db.find_pairs(1.0, compare=compare)
        assert found.value.to_list() == [-2.5, 0.0, 0.0, -1.5, 1e-300]
        assert not np.signbit(found.value[1:3]).any()
        assert set(found.rotation) == {0}
        assert db.find_pairs(-1.5, compare=compare).value.to_list() == [-2.5, -1.5]
        assert db.find_pairs(-0.0, compare=compare).value.to_list() == [-2.5, 0.0, 0.0, -1.5]
        assert len(db.find_pairs(INFINITE, compare=compare)) == 5  # infinity is never similar


def test_a_zero_of_either_sign_is_one_minimum():
    pixels = np.zeros((1, 8, 8, 1), np.uint8)
    pixels[0, 0, 0] = 1

    def signed(a, b):
        return np.where(a[:, 0, 0, 0] == 1, 0.0, -0.0)[:, None] * np.ones((1, len(b)))

    values, masks = apply_measure(Measure("signed", signed), pixels, pixels, (0, 1, 2, 3))
    assert (values.tolist(), masks.tolist()) == ([[0.0]], [[15]])


def test_all_transforms_that_tie_are_told(rng):
    a, b = rng.integers(0, 2, (2, 30, 2, 2, 1), dtype=np.uint8)
    values, masks = apply_measure(Measure("f", largest_difference), a, b, (0, 1, 2, 3, 4, 5, 6, 7))
    for i, j in itertools.product(range(30), range(30)):
        forms = [np.rot90(one, turn) for one in (a[i], np.fliplr(a[i])) for turn in range(4)]
        each = [int(np.abs(form.astype(int) - b[j]).max()) for form in forms]
        assert values[i, j] == min(each)
        assert masks[i, j] == sum(1 << t for t in range(8) if each[t] == min(each))


# -- mistakes --------------------------------------------------------------------------------------------------------


def transposed(values):
    return values.T if values.shape[0] != values.shape[1] else values[:, :-1]


def one_nan(values):
    values = values.astype(float)
    values[-1, -1] = np.nan
    return values


MISTAKES: dict[str, tuple[Callable, str]] = {
    "exits": (lambda values: sys.exit(3), r"failed \(SystemExit: 3\); its tile is not stored"),
    "raises": (lambda values: {}["no such key"], r"failed \(KeyError: 'no such key'\); its tile is not stored"),
    "raises lines": (lambda values: int("x\ny"), r"failed \(ValueError: .*\); its tile is not stored"),
    "transposed": (transposed, r"gave int64 of shape \(2, 1\) for 2 and 2|gave int64 of shape \(2, 1\) for 1 and 2"),
    "flat": (lambda values: values.ravel(), r"gave int64 of shape \(\d+,\) for \d and \d images; it must give numbers"),
    "too many axes": (lambda values: values[..., None], r"gave int64 of shape \(\d+, \d+, 1\)"),
    "a number": (lambda values: 3, r"gave int64 of shape \(\)"),
    "none": (lambda values: None, r"gave object of shape \(\)"),
    "ragged": (lambda values: [[1], [2, 3]], r"failed \(ValueError"),
    "nan": (one_nan, r"gave NaN for 1 of \d+ pairs"),
    "strings": (lambda values: values.astype(str), r"gave <U\d+ of shape"),
    "complex": (lambda values: values * 1j, "gave complex128"),
    "objects": (lambda values: values.astype(object), "gave object"),
    "dates": (lambda values: values.astype("M8[s]"), r"gave datetime64\[s\]"),
}


def clumsy(note: str, mistake: Callable) -> Callable:
    """A function that makes its mistake from the fourth call on; its calls are noted in a file."""

    def clumsy_measure(a, b):
        values = largest_difference(a, b)
        with open(note, "a") as calls:  # noqa: PTH123 - a path would be part of what the function is
            calls.write("x")
        return values if os.path.getsize(note) < 4 else mistake(values)  # noqa: PTH202

    return clumsy_measure


@pytest.mark.parametrize("case", MISTAKES)
def test_a_function_that_fails_is_named_and_its_tile_not_kept(photos, client, case):
    mistake, message = MISTAKES[case]
    compare = clumsy(str(photos.folder / "calls"), mistake)
    with photos.open(client) as db:
        with pytest.raises(FastDiffError, match=rf"clumsy_measure ({message})") as caught:
            db.find_pairs(INFINITE, compare=compare, rotations=False, sub_block=2, tile_side=1)
        assert len(str(caught.value).splitlines()) == 1
        assert not isinstance(caught.value, UsageError)
        (plan,) = single_comparison(db).plans()
        assert (plan.counts[:, 0] >= 0).tolist() == [True] * 3 + [False] * 7


def single_comparison(db: fd.FastDifPy):
    from fastdiff_dask.storage.comparisons import Comparison

    (comparison,) = Comparison.all_in(Store(db.store_url))
    return comparison


def test_images_cannot_be_changed_by_the_function(photos, client):
    def careless(a, b):
        b -= b.min()
        return largest_difference(a, b)

    def careless_first(a, b):
        a[:] = 0
        return largest_difference(a, b)

    with photos.open(client) as db:
        for compare, transforms in itertools.product((careless, careless_first), (False, True)):
            with pytest.raises(FastDiffError, match=r"careless\w* failed \(ValueError: .*read-only"):
                db.find_pairs(compare=compare, rotations=transforms)


def test_what_is_no_function_is_refused_before_anything_is_read(photos):
    with fd.FastDifPy(photos.folder / "photos", store=photos.folder / "store") as db:
        for nonsense in ("SSIM", "", 3):
            with pytest.raises(
                UsageError, match="use 'mse', 'correlation', 'ssim', 'hamming' or a function of two chunks"
            ):
                db.find_pairs(compare=nonsense)
    assert not (photos.folder / "store").exists()


# -- resuming --------------------------------------------------------------------------------------------------------


def counted(note: str, last: int) -> Callable:
    """A function that notes its calls in a file, and fails after some of them while another file is there."""

    def compare(a, b):
        with open(note, "a") as calls:  # noqa: PTH123
            calls.write("x")
        if os.path.exists(note + ".fail") and os.path.getsize(note) > last:  # noqa: PTH110, PTH202
            raise RuntimeError("no more today")
        return largest_difference(a, b)

    return compare


def test_finished_tiles_are_not_computed_again(photos, client):
    note = photos.folder / "calls"
    Path(f"{note}.fail").touch()
    compare = counted(str(note), 6)
    options = {"rotations": False, "sub_block": 2, "tile_side": 1}
    with photos.open(client) as db:
        with pytest.raises(FastDiffError, match=r"compare failed \(RuntimeError: no more today\)"):
            db.find_pairs(INFINITE, compare=compare, **options)
        time.sleep(0.3)  # a tile that was begun when another failed comes to its end
        Path(f"{note}.fail").unlink()
        note.unlink()
        found = db.find_pairs(INFINITE, compare=counted(str(note), 6), **options)
        assert note.stat().st_size == 10 - 6  # four sub-blocks are ten tiles, a call each
        assert db.result().stats["tiles_resumed"] == 6
        assert rows_of(found) == photos.expected(largest_difference)


def test_lower_thresholds_are_answered_by_the_same_measure_alone(photos, client):
    note = photos.folder / "calls"
    compare = counted(str(note), 0)
    photos.open(client).find_pairs(250.0, compare=compare)
    calls = note.stat().st_size
    assert calls > 0
    lower = photos.open(None)  # nothing to run needs no client
    assert rows_of(lower.find_pairs(200.0, compare=compare)) == photos.expected(
        largest_difference, 200.0, rotations=True
    )
    assert len(lower.get_duplicates(0.0)[0]) == 1
    assert note.stat().st_size == calls
    with pytest.raises(UsageError, match=r"up to a value of .*, not 251"):
        lower.result(251)
    again = photos.open(client)
    others = {"threshold": (251.0, compare, {}), "function": (100.0, counted(str(note), 1), {})}
    others |= {"transforms": (100.0, compare, {"rotations": False}), "mirror": (100.0, compare, {"mirror": True})}
    for threshold, function, options in others.values():
        again.find_pairs(threshold, compare=function, **options)
        assert again.result().stats["tiles_resumed"] == 0
        assert note.stat().st_size > calls
        calls = note.stat().st_size
    again.find_pairs(100.0)  # MSE is another measure, too
    assert again.result().stats["tiles_resumed"] == 0


# -- names -----------------------------------------------------------------------------------------------------------


def scaled(factor, *, offset=0):
    def compare(a, b):
        return largest_difference(a, b) * factor + offset

    return compare


def with_default(factor=1):
    def compare(a, b, factor=factor):
        return largest_difference(a, b) * factor

    return compare


def keyword_default(factor):
    def compare(a, b, *, factor=factor):
        return largest_difference(a, b) * factor

    return compare


def times(a, b, factor, *, offset=0):
    return largest_difference(a, b) * factor + offset


class Scale:
    """A function with a state."""

    def __init__(self, factor):
        self.factor = factor

    def __call__(self, a, b):
        return largest_difference(a, b) * self.factor

    def compare(self, a, b):
        return self(a, b)


class OtherScale(Scale):
    def __call__(self, a, b):
        return -super().__call__(a, b)


DIFFERENT: dict[str, tuple[Callable, Callable]] = {
    "functions": (largest_difference, corner),
    "closures": (scaled(1), scaled(2)),
    "types of a closed value": (scaled(1), scaled(1.0)),
    "a number and a text": (scaled(1), scaled("1")),
    "offsets": (scaled(1), scaled(1, offset=1)),
    "arrays": (scaled(np.arange(3)), scaled(np.array([0, 1, 3]))),
    "dtypes": (scaled(np.zeros(3)), scaled(np.zeros(3, np.int64))),
    "shapes": (scaled(np.zeros((2, 3))), scaled(np.zeros((3, 2)))),
    "long arrays": (scaled(np.arange(5000)), scaled(np.concatenate([np.arange(4999), [0]]))),
    "lists": (scaled([1, 2]), scaled([2, 1])),
    "dicts": (scaled({"x": 1}), scaled({"x": 2})),
    "defaults": (with_default(1), with_default(2)),
    "keyword defaults": (keyword_default(1), keyword_default(2)),
    "functions in closures": (scaled(np.sin), scaled(np.cos)),
    "a function behind a function": (scaled(scaled(1)), scaled(scaled(2))),
    "partials": (functools.partial(times, factor=1), functools.partial(times, factor=2)),
    "partials and where": (functools.partial(times, factor=1), functools.partial(times, factor=1, offset=1)),
    "partials of functions": (functools.partial(times, factor=1), functools.partial(scaled(1), factor=1)),
    "objects": (Scale(1), Scale(2)),
    "classes": (Scale(1), OtherScale(1)),
    "methods": (Scale(1).compare, Scale(2).compare),
    "a method and the object": (Scale(1).compare, Scale(1)),
    "states of objects in closures": (scaled(Scale(1)), scaled(Scale(2))),
    "lambdas": (
        lambda a, b: largest_difference(a, b) + 1,
        lambda a, b: largest_difference(a, b) + 2,
    ),
}


@pytest.mark.parametrize("case", DIFFERENT)
def test_different_functions_have_different_names(case):
    names = [resolve_measure(function).name for function in DIFFERENT[case]]
    assert names[0] != names[1]
    assert names == [resolve_measure(function).name for function in DIFFERENT[case]]


SAME: dict[str, Callable[[], Callable]] = {
    "closure": lambda: scaled(3),
    "array": lambda: scaled(np.arange(10.0)),
    "default": lambda: with_default(3),
    "partial": lambda: functools.partial(times, factor=1.5, offset=1),
    "object": lambda: Scale(3),
    "method": lambda: Scale(3).compare,
    "lambda": lambda: lambda a, b: largest_difference(a, b),
}


@pytest.mark.parametrize("case", SAME)
def test_a_function_that_is_made_again_has_the_same_name(case):
    first, second = SAME[case](), SAME[case]()
    assert first is not second
    assert resolve_measure(first).name == resolve_measure(second).name


FACTOR = 1


def with_global(a, b):
    return largest_difference(a, b) * FACTOR


def with_inner_global(a, b):
    def inner(values):
        return values * FACTOR

    return inner(largest_difference(a, b))


@pytest.mark.parametrize("function", [with_global, with_inner_global])
def test_a_global_value_is_a_part_of_the_function(function, monkeypatch):
    first = resolve_measure(function).name
    monkeypatch.setitem(globals(), "FACTOR", 2)
    assert resolve_measure(function).name != first
    monkeypatch.setitem(globals(), "FACTOR", 1)
    assert resolve_measure(function).name == first


def test_names_are_for_people_and_for_files():
    measure = resolve_measure(scaled(1))
    assert measure.shown.endswith("test_measures.scaled._locals_.compare")
    assert measure.name.startswith(measure.shown)
    for function in (measure.function, lambda a, b: 0, Scale(1), functools.partial(times, factor=1)):
        name = resolve_measure(function).name
        assert all(c.isalnum() or c in "-_." for c in name)
        assert len(name) < 100
    assert [resolve_measure(name).shown for name in ("ssim", "hamming")] == ["ssim", "hamming"]


PROGRAM = """
import sys
import numpy as np
from functools import partial
from fastdiff_dask.kernels.measures import resolve_measure
WEIGHTS = {{"red": 1.5, "green": np.arange(4)}}
def helper(a, b):
    return len(a) * {constant}
class Scale:
    def __init__(self, factor):
        self.factor = factor
    def __call__(self, a, b):
        return helper(a, b) * self.factor
def compare(a, b, power=2):
    return helper(a, b) * WEIGHTS["red"] ** power
def closed(x):
    return lambda a, b: compare(a, b) * x
for function in (compare, closed(np.ones(3)), partial(compare, power=3), closed(Scale("s")), closed(np.sin)):
    print(resolve_measure(function).name)
print(resolve_measure(Scale(2)).name)
"""


def names_in_another_process(folder: Path, constant: int, seed: str) -> list[str]:
    folder.mkdir()
    (folder / "program.py").write_text(PROGRAM.format(constant=constant))
    command = [sys.executable, str(folder / "program.py")]
    environment = os.environ | {"PYTHONHASHSEED": seed}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.split()


def test_names_are_the_same_in_every_process_until_the_source_changes(tmp_path):
    first = names_in_another_process(tmp_path / "one", 1, "1")
    assert len(set(first)) == 6
    assert names_in_another_process(tmp_path / "two", 1, "2") == first  # another file, other addresses and hashes
    changed = names_in_another_process(tmp_path / "three", 2, "1")
    assert not set(changed[:4]) & set(first)  # of what calls the helper


# -- built in --------------------------------------------------------------------------------------------------------


def test_ssim_is_that_of_scikit_image(rng):
    metrics = pytest.importorskip("skimage.metrics")
    a = rng.integers(0, 256, (3, 9, 8, 3), dtype=np.uint8)
    b = np.concatenate([a[:1], rng.integers(0, 256, (3, 9, 8, 3), dtype=np.uint8), 255 - a[1:2]])
    found = ssim_dissimilarity(a, b)
    assert found.shape == (3, 5)
    for i, j in np.ndindex(found.shape):
        assert found[i, j] == 1 - metrics.structural_similarity(a[i], b[j], channel_axis=2, data_range=255)
    assert found[0, 0] == 0
    assert 1 < found[1, 4] <= 2


def by_imagehash(kind: str, side: int) -> Callable:
    """Different bits of hashes, each made and compared by ImageHash itself."""
    import imagehash

    function = getattr(imagehash, {"ahash": "average_hash"}.get(kind, kind))

    def compare(a, b):
        first, second = (
            [function(Image.fromarray(np.ascontiguousarray(one.squeeze())), side) for one in c] for c in (a, b)
        )
        return np.array([[x - y for y in second] for x in first], float)

    return compare


@pytest.mark.parametrize("side", [8, 16, 32])
@pytest.mark.parametrize("kind", ["dhash", "phash", "ahash", "whash"])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_hashes_are_those_of_imagehash(rng, kind, side, channels):
    pytest.importorskip("imagehash")
    a = rng.integers(0, 256, (3, 36, 33, channels), dtype=np.uint8)
    b = np.concatenate([a[:1], rng.integers(0, 256, (4, 36, 33, channels), dtype=np.uint8), np.zeros_like(a[:1])])
    measure = resolve_measure(kind if side == 8 else f"{kind}-{side}")
    values, masks = apply_measure(measure, a, b, (0,))
    assert values.tolist() == by_imagehash(kind, side)(a, b).tolist()
    assert (values.dtype, values[0, 0], masks.tolist()) == (np.float64, 0, np.ones((3, 6)).tolist())
    assert values.max() > side
    features = prepare_features(measure, a)
    assert (features.shape, features.dtype) == ((3, side * side // 64), np.uint64)


def test_all_bits_of_the_largest_hash_are_counted():
    for words in (1, 4, 16):
        none, all_bits = np.zeros((2, words), np.uint64), np.full((1, words), 2**64 - 1, np.uint64)
        assert hamming_distance(none, all_bits).tolist() == [[64 * words]] * 2


def test_hamming_is_the_difference_hash():
    pytest.importorskip("imagehash")
    assert resolve_measure("hamming").features == resolve_measure("dhash").features == "dhash-8"
    assert resolve_measure("phash-16").features == "phash-16"


@pytest.mark.parametrize("threshold", [-1.0, 0.0, 2.999, 3.0, 64.0, 1e300])
def test_whole_numbers_are_compared_with_any_threshold(rng, threshold):
    a, b = (rng.integers(0, 16, (20, 1), dtype=np.uint64) for _ in range(2))
    measure = Measure("bits", hamming_distance)
    first, second, values, _ = similar_by_measure(measure, lambda t: a, lambda t: b, (0,), threshold)
    wanted = [
        (i, j, float((int(x) ^ int(y)).bit_count()))
        for (i, (x,)), (j, (y,)) in itertools.product(enumerate(a), enumerate(b))
        if (int(x) ^ int(y)).bit_count() <= threshold
    ]
    assert list(zip(first, second, values, strict=True)) == wanted


def by_pdq(a, b):
    return hamming_distance(pdq_bits(a), pdq_bits(b))


@pytest.mark.parametrize("name", ["ssim", "hamming", "phash", "ahash-16", "whash", "pdq"])
def test_built_in_measures_run_through_the_same_machine(photos, client, name):
    pytest.importorskip("skimage" if name == "ssim" else "imagehash")
    function = {"ssim": ssim_dissimilarity, "pdq": by_pdq}.get(name)
    if function is None:
        kind, _, side = name.replace("hamming", "dhash").partition("-")
        function = by_imagehash(kind, int(side or 8))
    with photos.open(client) as db:
        found = rows_of(db.find_pairs(INFINITE, compare=name, mirror=True, sub_block=3, tile_side=1))
        wanted = photos.expected(function, rotations=True, mirror=True)
        assert [row[:2] for row in found] == [row[:2] for row in wanted]
        np.testing.assert_allclose([row[2] for row in found], [row[2] for row in wanted], rtol=1e-12, atol=1e-12)
        exact = {row[:2]: row[2:] for row in found}
        one, three, four = (str(photos.paths[n]) for n in (1, 3, 4))
        assert exact[one, three] == (0.0, 0, False)
        assert exact[one, four] == (0.0, 90, False)
        assert exact[str(photos.paths[2]), str(photos.paths[5])] == (0.0, 0, True)
        assert db.result().settings["measure"] == name


@pytest.mark.parametrize(
    ("compare", "module", "line"),
    [
        ("ssim", "skimage", "scikit-image is not installed; install it with: pip install 'fastdiff_dask[ssim]'"),
        ("hamming", "imagehash", "ImageHash is not installed; install it with: pip install 'fastdiff_dask[hashes]'"),
    ],
)
def test_a_missing_package_is_named_with_what_installs_it(photos, monkeypatch, capfd, compare, module, line):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(UsageError) as caught:
        resolve_measure(compare)
    assert str(caught.value) == line
    code, out, err = run_command(monkeypatch, capfd, "find", photos.folder / "photos", "--compare", compare)
    assert (code, out, err) == (2, "", f"fastdiff-dask: {line}\n")
    assert not list(photos.folder.glob("cache/*"))


def run_command(monkeypatch, capfd, *arguments: object) -> tuple[object, str, str]:
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    monkeypatch.setattr(sys, "argv", ["fastdiff-dask", *map(str, arguments)])
    try:
        with pytest.raises(SystemExit) as end:
            commands.main()
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    return (end.value.code, *capfd.readouterr())


def test_json_of_a_measure_has_values(photos, monkeypatch, capfd):
    pytest.importorskip("skimage")
    out = photos.folder / "out.json"
    size = ("--thumbnail-size", "8x8", "--dashboard-address", "127.0.0.1:0")
    command = ("find", photos.folder / "photos", "--compare", "ssim", "--threshold", 0.01, "--json", out, *size)
    code, shown, _ = run_command(monkeypatch, capfd, *command, "--threads", 1)
    assert code == 0
    content = json.loads(out.read_text())
    assert content["settings"]["measure"] == "ssim"
    assert content["settings"]["similarity_threshold"] == 0.01
    wanted = photos.expected(ssim_dissimilarity, 0.01, rotations=True)
    assert len(wanted) == 3
    for pair, (a, b, value, degrees, _) in zip(content["pairs"], wanted, strict=True):
        assert pair.pop("verdict")
        assert pair == {"a": a, "b": b, "value": pytest.approx(value, abs=1e-12), "rotation": degrees}
    assert re.search(r"size +pixels +ssim", shown)
    assert "MSE" not in shown


# -- elsewhere -------------------------------------------------------------------------------------------------------


def test_functions_travel_to_other_processes(photos):
    # as in a notebook or a script: the workers cannot import these from anywhere
    scope = {"__name__": "__main__", "np": np, "SHIFT": 5}
    source = "def compare(a, b):\n    return np.abs(a.mean((1, 2, 3))[:, None] - b.mean((1, 2, 3))[None]) * SHIFT\n"
    exec(source, scope)
    mine = scope["compare"]
    weights = np.array([[2.0]])

    def closed(a, b):
        return largest_difference(a, b) * weights

    def broken(a, b):
        raise RuntimeError("over there")

    class Local:
        def __init__(self, factor):
            self.factor = factor

        def __call__(self, a, b):
            return np.full((len(a), len(b)), float(self.factor))

    lock = threading.Lock()

    def locked(a, b):
        with lock:
            return np.zeros((len(a), len(b)))

    with (
        distributed.LocalCluster(
            n_workers=1, threads_per_worker=2, dashboard_address="127.0.0.1:0", worker_dashboard_address="127.0.0.1:0"
        ) as processes,
        distributed.Client(processes) as client,
        photos.open(client) as db,
    ):
        for compare in (mine, closed, Local(4), functools.partial(mine)):
            found = db.find_pairs(INFINITE, compare=compare, rotations=False, sub_block=3, tile_side=1)
            assert rows_of(found) == photos.expected(compare)
        with pytest.raises(FastDiffError, match=r"broken failed \(RuntimeError: over there\); its tile is not stored"):
            db.find_pairs(compare=broken)
        with pytest.raises(UsageError, match="locked cannot be sent to the workers"):
            db.find_pairs(compare=locked)


class _Slots:
    __slots__ = ("value",)

    def __init__(self, value):
        self.value = value


def _using(value):
    def measure(a, b):
        return np.full((len(a), len(b)), hash(str(value)) % 7)

    return measure


VALUES = {
    "numbers": ((1, 1, 2), (1, 2, 2)),
    "nesting": (((1,), 2), ((1, 2),)),
    "types": (1, "1"),
    "sets": ({"a", "b"}, {"a", "c"}),
    "frozen sets": (frozenset("ab"), frozenset("ac")),
    "patterns": (re.compile("a"), re.compile("b")),
    "slots": (_Slots(1), _Slots(2)),
    "paths": (Path("a"), Path("b")),
    "ranges": (range(3), range(4)),
    "dates": (datetime.date(2026, 1, 1), datetime.date(2026, 1, 2)),
    "objects in arrays": (np.array([1, None]), np.array([2, None])),
    "series": (pd.Series([1, 2]), pd.Series([1, 3])),
    "bound methods": (np.arange(3).dot, np.arange(4).dot),
}


@pytest.mark.parametrize("kind", VALUES)
def test_values_that_a_function_uses_tell_it_from_another(kind):
    one, other = VALUES[kind]
    assert resolve_measure(_using(one)).name != resolve_measure(_using(other)).name
    assert resolve_measure(_using(one)).name == resolve_measure(_using(copy.deepcopy(one))).name


def test_functions_on_one_line_are_told_apart():
    first, second = (lambda a, b: np.zeros((len(a), len(b))), lambda a, b: np.ones((len(a), len(b))))
    assert resolve_measure(first).name != resolve_measure(second).name


def test_a_list_that_contains_itself_has_a_name():
    itself: list = [1]
    itself.append(itself)
    assert resolve_measure(_using(itself)).name != resolve_measure(_using([1])).name


def test_a_function_of_a_long_scope_is_shown_by_its_own_name():
    def a_function_with_a_name_of_its_own(a, b):
        return np.zeros((len(a), len(b)))

    assert "a_function_with_a_name_of_its_own" in resolve_measure(a_function_with_a_name_of_its_own).shown


def test_what_is_no_function_is_refused():
    with pytest.raises(UsageError, match="of type ndarray"):
        resolve_measure(np.zeros(3))
    with pytest.raises(UsageError, match="'sim'"):
        resolve_measure("sim")


def test_the_order_of_the_images_does_not_matter(rng):
    pytest.importorskip("imagehash")
    a, b = (rng.integers(0, 256, (4, 16, 16, 3), dtype=np.uint8) for _ in range(2))
    transforms = available_transforms(16, 16, mirror=True)
    for measure in (resolve_measure("hamming"), Measure("any", ssim_dissimilarity)):
        values, masks = apply_measure(measure, a, b, transforms)
        swapped, swapped_masks = apply_measure(measure, b, a, transforms)
        np.testing.assert_array_equal(values, swapped.T)
        np.testing.assert_array_equal(inverse_masks(masks), swapped_masks.T)
