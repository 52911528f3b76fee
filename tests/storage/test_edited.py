"""Files of edited copies: each two blocks are compared once, and files that are damaged or foreign are told."""

import io
from itertools import pairwise, product

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastdiff_dask.config import ThumbnailSettings
from fastdiff_dask.errors import FastDiffError
from fastdiff_dask.kernels.grid import Generation
from fastdiff_dask.storage.derived.edited import ALIGNED, LOOKS, EditedFiles, Rectangle
from fastdiff_dask.storage.store import Store

ROW_BYTES = 5
SIZE = 4
FOLDER = "edited/1"


class Folder:
    """Files of a store in memory."""

    def __init__(self):
        self.there = {}

    def names(self, folder):
        return [name.removeprefix(f"{folder}/") for name in self.there]

    def write(self, name, *data):
        assert name not in self.there
        self.there[name] = b"".join(data)


class Blocks:
    """Blocks of a store, as far as `EditedFiles` asks for them."""

    def __init__(self, two_sides):
        self.files, self.two_sides, self.generations = Folder(), two_sides, []

    @property
    def blocks(self):
        return self.generations[-1].b.stop if self.generations else 0

    def add(self, a, b):
        start = self.blocks
        middle, stop = start + a, start + a + b * self.two_sides
        self.generations.append(Generation(range(start, middle), range(middle, stop), a, b))

    def wanted(self):
        """Pairs of blocks, in either order: all of them, or those of different sides."""
        side = {block: "a" for generation in self.generations for block in generation.a}
        side |= {block: "b" for generation in self.generations for block in generation.b}
        return {(x, y) for x, y in product(side, side) if not self.two_sides or side[x] != side[y]}


def pairs_of(rectangle):
    return list(product(rectangle.rows, rectangle.columns))


@given(
    days=st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=4),
    two_sides=st.booleans(),
    sides=st.tuples(st.integers(1, 5), st.integers(1, 9)),
    data=st.data(),
)
def test_each_two_blocks_are_compared_once(days, two_sides, sides, data):
    """On every day a part of the rectangles is done before the process is killed."""
    blocks, done = Blocks(two_sides), []
    files = EditedFiles(blocks)
    for day in days:
        blocks.add(*day)
        left = files.uncompared(*sides)
        assert all(len(some.rows) <= sides[0] and len(some.columns) <= sides[1] for some in left)
        some = data.draw(st.sets(st.sampled_from(left))) if left else set()
        for rectangle in some:
            files.write_candidates(rectangle, np.zeros((0, 5), np.int64))
            done += pairs_of(rectangle)
        todo = [pair for rectangle in files.uncompared(*sides) for pair in pairs_of(rectangle)]
        assert sorted(todo + done) == sorted(blocks.wanted())
    for rectangle in files.uncompared(5, 5):
        files.write_candidates(rectangle, np.zeros((0, 5), np.int64))
    assert files.uncompared(5, 5) == []


@settings(max_examples=10)
@given(st.integers(1, 30))
def test_rectangles_are_as_large_as_they_may_be(number):
    blocks = Blocks(False)
    blocks.add(number, 0)
    found = EditedFiles(blocks).uncompared(4, 7)
    assert len(found) == -(-number // 4) * -(-number // 7)


@pytest.fixture
def store(tmp_path) -> Store:
    """Three blocks of four images each; the last one has one image."""
    made = Store.open_or_create(str(tmp_path / "store"), {"a": [], "b": []}, ThumbnailSettings(block_size=SIZE))
    made.generations = [Generation(range(0, 3), range(3, 3), 9, 0)]
    return made


@pytest.fixture
def files(store) -> EditedFiles:
    return EditedFiles(store)


def test_contents_of_some_images(files, store, rng):
    rows = rng.integers(0, 256, (9, ROW_BYTES), dtype=np.uint8)
    for block, (start, stop) in enumerate(pairwise([0, 4, 8, 9])):
        assert files.unmade() == list(range(block, 3))
        files.write_contents(block, rows[start:stop])
    assert files.unmade() == []
    for images in ([], [8], [0, 1, 2, 3], [2, 3, 4, 8], list(range(9))):
        np.testing.assert_array_equal(files.read_contents(np.array(images, np.int64), ROW_BYTES), rows[images])
    store.files.write(f"{FOLDER}/contents-1", rows[4:7].tobytes())
    np.testing.assert_array_equal(files.read_contents(np.array([4, 6]), ROW_BYTES), rows[[4, 6]])
    assert one_line(files.read_contents, np.array([7]), ROW_BYTES)
    store.files.remove(f"{FOLDER}/contents-1")
    assert one_line(files.read_contents, np.array([4]), ROW_BYTES)


def one_line(read, *arguments) -> str:
    with pytest.raises(FastDiffError, match="is damaged") as caught:
        read(*arguments)
    text = str(caught.value)
    assert text.isprintable()
    assert "start again" in text
    return text


def test_candidates_of_all_rectangles(files):
    assert files.read_candidates().shape == (0, 5)
    first, second = np.arange(10).reshape(2, 5) % 9, np.full((1, 5), 3)
    files.write_candidates(Rectangle(range(1, 3), range(0, 3)), second)
    files.write_candidates(Rectangle(range(0, 1), range(0, 3)), first)
    files.write_candidates(Rectangle(range(0, 1), range(3, 4)), np.zeros((0, 5), np.int64))
    assert sorted(files.read_candidates().tolist()) == sorted([*first.tolist(), *second.tolist()])


def as_bytes(values) -> bytes:
    content = io.BytesIO()
    np.save(content, values)
    return content.getvalue()


WHOLE = as_bytes(np.zeros((3, 5), np.int64))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"nothing of the kind",
        WHOLE[:60],
        WHOLE[:-1],
        as_bytes(np.zeros((3, 4), np.int64)),
        as_bytes(np.zeros(5, np.int64)),
        as_bytes(np.zeros((3, 5), np.float64)),
        as_bytes(np.array([[0, 12, 0, 0, 0]])),
        as_bytes(np.array([[-1, 0, 0, 0, 0]])),
        as_bytes(np.array([[{}, 0, 0, 0, 0]], dtype=object)),
    ],
    ids=["empty", "text", "header", "short", "narrow", "flat", "floats", "image", "negative", "pickled"],
)
def test_damaged_candidates_are_told(files, store, content):
    store.files.write(f"{FOLDER}/{Rectangle(range(0, 3), range(0, 3)).name}", content)
    assert "candidates-0-3-0-3.npy" in one_line(files.read_candidates)


def aligned(*pairs, score=0.8):
    frame = pd.DataFrame(pairs, columns=["a", "b"]).assign(score=score, coverage=1.0)
    return frame.assign(**{f"m{place}": float(place) for place in range(6)})


def looks(*pairs, confidence=0.9):
    frame = pd.DataFrame(pairs, columns=["a", "b"])
    words = {"words": "brighter, cropped to 82 %", "part": "a", "copy_of_other": "a"}
    box = {"top": 1, "left": 2, "bottom": 30, "right": 40}
    return frame.assign(edited=True, confidence=confidence, **words, **box, mirrored=False, angle=0.0)


KINDS = {
    "aligned": (EditedFiles.write_aligned, EditedFiles.read_aligned, aligned, ALIGNED),
    "looks": (EditedFiles.write_looks, EditedFiles.read_looks, looks, LOOKS),
}


@pytest.mark.parametrize("kind", KINDS)
def test_pairs_are_read_in_order_and_once(files, kind):
    write, read, make, schema = KINDS[kind]
    assert read(files).empty
    assert read(files).columns.tolist() == schema.names
    write(files, make((7, 2), (0, 3)))
    write(files, make((0, 3), (2, 7), (0, 2)))  # as by a task that was repeated
    found = read(files)
    assert found[["a", "b"]].to_numpy().tolist() == [[0, 2], [0, 3], [2, 7], [7, 2]]
    pd.testing.assert_frame_equal(found, make((0, 2), (0, 3), (2, 7), (7, 2)), check_dtype=False)


def chosen(*pairs):
    return aligned(*pairs)[["a", "b"]].assign(via=np.int64(-1), confidence=np.float32(0))


def test_chosen_pairs_replace_those_of_before(files, store, tmp_path):
    path = tmp_path / "store" / FOLDER / "chosen.parquet"
    assert files.read_chosen().empty
    files.choose(chosen((7, 2), (0, 3)))
    assert files.read_chosen()[["a", "b"]].to_numpy().tolist() == [[0, 3], [2, 7]]
    time = path.stat().st_mtime_ns
    files.choose(chosen((3, 0), (2, 7)))
    assert path.stat().st_mtime_ns == time  # the same pairs
    files.choose(chosen((1, 4)))
    assert files.read_chosen()[["a", "b"]].to_numpy().tolist() == [[1, 4]]
    files.choose(chosen())
    assert files.read_chosen().empty
    store.files.write(f"{FOLDER}/chosen.parquet", parquet(chosen((1, 12))))
    one_line(files.read_chosen)


def parquet(frame, schema=None) -> bytes:
    content = io.BytesIO()
    table = pa.Table.from_pandas(frame, schema=schema, preserve_index=False)
    pq.write_table(table.replace_schema_metadata(), content)
    return content.getvalue()


def damaged(kind):
    _, _, make, schema = KINDS[kind]
    whole = parquet(make((0, 1)), schema)
    yield b""
    yield b"no table"
    yield whole[:-1]
    yield whole[: len(whole) // 2]
    yield parquet(pd.DataFrame({"a": [1]}))
    yield parquet(make((0, 1)).assign(more=1))
    yield parquet(make((0, 1)).drop(columns="b"))
    yield parquet(make((0, 1)).astype({"a": "int32"}))
    yield parquet(make((0, 12)), schema)  # there are at most twelve images
    yield parquet(make((-1, 0)), schema)
    yield parquet(make((0, 1)).assign(a=pd.Series([None], dtype="Int64")), schema)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("place", range(11))
def test_damaged_pairs_are_told(files, store, kind, place):
    write, read, make, _ = KINDS[kind]
    write(files, make((0, 1)))
    store.files.write(f"{FOLDER}/{kind}-0.parquet", list(damaged(kind))[place])
    assert FOLDER in one_line(read, files)


@pytest.mark.parametrize("column", LOOKS.names)
def test_looks_without_a_value_are_told(files, store, column):
    frame = looks((0, 1)).astype(object)
    frame[column] = None
    store.files.write(f"{FOLDER}/looks-0.parquet", parquet(frame, LOOKS))
    one_line(files.read_looks)


@pytest.mark.parametrize("texts", [{"words": "grey\x1b[2J"}, {"part": "c"}, {"copy_of_other": ""}])
def test_looks_with_other_texts_are_told(files, store, texts):
    store.files.write(f"{FOLDER}/looks-0.parquet", parquet(looks((0, 1)).assign(**texts), LOOKS))
    assert next(iter(texts)) in one_line(files.read_looks)


def test_files_of_others_do_not_matter(files, store):
    for name in ("contents-x", "candidates-0-3.npy", "candidates-0-1-0-1.npy.partial", "aligned-.parquet", "notes"):
        store.files.write(f"{FOLDER}/{name}", b"")
    assert files.unmade() == [0, 1, 2]
    assert len(files.uncompared(1, 1)) == 9
    assert files.read_candidates().shape == (0, 5)
    assert files.read_aligned().empty
