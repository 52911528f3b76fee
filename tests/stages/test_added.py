"""Vectors that exist come in by paths or numbers: arrays, NumPy and Parquet files; nothing is unpickled."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.pictures import write_noise

import fastdiff_dask as fd
from fastdiff_dask.errors import UsageError
from fastdiff_dask.stages.encodings import added as module
from fastdiff_dask.storage.derived.vectors import Vectors
from fastdiff_dask.storage.store import Store


@pytest.fixture
def paths(tmp_path) -> list[Path]:
    return write_noise(tmp_path / "photos", 7, seed=2)


@pytest.fixture
def db(tmp_path, client, paths) -> fd.FastDifPy:
    return opened(tmp_path, client)


def opened(folder: Path, client: object) -> fd.FastDifPy:
    db = fd.FastDifPy(folder / "photos", store=folder / "store", client=client, block_size=2, verbose=False)
    db.index_the_dirs()
    db.first_loop_iteration()
    return db


@pytest.fixture
def vectors(rng) -> np.ndarray:
    return rng.normal(size=(7, 3)).astype(np.float32)


def test_an_array_in_the_order_of_the_images(db, vectors):
    added = db.add_vectors("v", vectors)
    assert added == (7, 0, 0, 0, "", 0)
    assert added.described == "7 images got a vector"
    np.testing.assert_array_equal(db.vectors("v").compute(), vectors)
    with pytest.raises(UsageError, match="there are 6 vectors for 7 images; give one for each"):
        db.add_vectors("w", vectors[:6])
    assert db.vector_names == ["v"]


@pytest.mark.parametrize("kind", ["absolute", "below", "shown", "numbers", "working folder"])
def test_rows_find_their_images_by_any_name(db, vectors, paths, kind, monkeypatch):
    order = [4, 0, 6, 1, 5, 3, 2]
    monkeypatch.chdir(paths[0].parent.parent)
    keys = {
        "absolute": [str(paths[k]) for k in order],
        "below": [paths[k].name for k in order],
        "shown": [paths[k] for k in order],
        "numbers": np.array(order),
        "working folder": [f"photos/../photos/{paths[k].name}" for k in order],
    }[kind]
    assert db.add_vectors("v", vectors[order], keys=keys).added == 7
    np.testing.assert_array_equal(db.vectors("v").compute(), vectors)


def test_keys_without_an_image_and_images_without_a_key_are_told_in_one_line(db, vectors, paths, capsys):
    db.verbose = None
    keys = [paths[1].name, "gone.png", paths[5].name]
    added = db.add_vectors("v", vectors[:3], keys=keys)
    assert added == (2, 0, 5, 1, "gone.png", 0)
    text = "Vectors v: 2 images got a vector; 5 images have none; 1 row is of no image here, such as gone.png."
    assert text in capsys.readouterr().err
    found = db.vectors("v").compute()
    np.testing.assert_array_equal(found[[1, 5]], vectors[[0, 2]])
    assert np.isnan(found[[0, 2, 3, 4, 6]]).all()


def test_later_calls_bring_more_and_change_nothing_that_is_there(db, vectors, paths, tmp_path, client):
    names = [path.name for path in paths]
    db.add_vectors("v", vectors[:3], keys=names[:3])
    assert db.add_vectors("v", vectors[2:], keys=names[2:])[:3] == (4, 1, 0)
    np.testing.assert_array_equal(db.vectors("v").compute(), vectors)
    with pytest.raises(UsageError, match="1 image of a block had another vector 'v' already"):
        db.add_vectors("v", vectors[:1] + 1, keys=names[:1])
    with pytest.raises(UsageError, match="'v' are 3 values of float32, and these are 4 of float32; use another name"):
        db.add_vectors("v", np.zeros((7, 4), np.float32))
    np.testing.assert_array_equal(db.vectors("v").compute(), vectors)
    write_noise(tmp_path / "photos", 1, seed=5)
    again = opened(tmp_path, client)
    with pytest.raises(UsageError, match="1 image new since then has no vectors"):
        again.vectors("v")
    assert again.add_vectors("v", vectors[:1], keys=["5-000.png"]).added == 1
    np.testing.assert_array_equal(again.vectors("v").compute(), np.concatenate([vectors, vectors[:1]]))


def test_a_run_that_was_stopped_goes_on(db, vectors, monkeypatch):
    written, original = [], Vectors.write

    def stops(self, block, *more):
        if len(written) == 2:
            raise KeyboardInterrupt
        written.append(block)
        original(self, block, *more)

    monkeypatch.setattr(Vectors, "write", stops)
    with pytest.raises(KeyboardInterrupt):
        db.add_vectors("v", vectors)
    monkeypatch.setattr(Vectors, "write", original)
    assert db.add_vectors("v", vectors)[:2] == (3, 4)
    np.testing.assert_array_equal(db.vectors("v").compute(), vectors)


def test_files_of_numpy_are_mapped_and_never_unpickled(db, vectors, tmp_path, paths):
    np.save(tmp_path / "v.npy", vectors)
    db.add_vectors("npy", tmp_path / "v.npy")
    names = np.array([path.name for path in paths])
    np.savez(tmp_path / "v.npz", path=names[::-1], features=vectors[::-1])
    db.add_vectors("npz", str(tmp_path / "v.npz"))
    for name in ("npy", "npz"):
        np.testing.assert_array_equal(db.vectors(name).compute(), vectors)
    np.save(tmp_path / "o.npy", np.array([{"a": 1}] * 7, object), allow_pickle=True)
    with pytest.raises(UsageError, match=r"o.npy cannot be read as arrays of NumPy: .*Python objects"):
        db.add_vectors("o", tmp_path / "o.npy")
    np.savez(tmp_path / "o.npz", path=names.astype(object), features=vectors)
    with pytest.raises(UsageError, match="cannot be read as arrays of NumPy"):
        db.add_vectors("o", tmp_path / "o.npz")
    (tmp_path / "v.pkl").write_bytes(b"")
    with pytest.raises(UsageError, match=r"is no .npy, .npz or .parquet file"):
        db.add_vectors("o", tmp_path / "v.pkl")


@pytest.mark.parametrize("form", ["list", "large list", "fixed list", "columns", "half"])
def test_parquet_with_lists_or_columns_in_groups_of_rows(db, vectors, tmp_path, paths, form, monkeypatch):
    monkeypatch.setattr(module, "_AT_ONCE", 1)  # a block at a time
    order = [4, 0, 6, 1, 5, 3, 2]
    table = {"path": [paths[k].name for k in order], "label": list("abcdefg")}
    rows = vectors[order]
    if form == "columns":
        table |= {f"v{n}": rows[:, n] for n in range(3)}
    elif form == "half":
        flat = pa.array(rows.astype(np.float16).ravel())
        table["vector"] = pa.FixedSizeListArray.from_arrays(flat, 3)
    else:
        kind = {"list": pa.list_, "large list": pa.large_list, "fixed list": lambda one: pa.list_(one, 3)}[form]
        table["vector"] = pa.array(list(rows), kind(pa.float32()))
    pq.write_table(pa.table(table), tmp_path / "v.parquet", row_group_size=3)
    assert db.add_vectors("v", tmp_path / "v.parquet").added == 7
    found = db.vectors("v")
    assert found.dtype == (np.float16 if form == "half" else np.float32)
    np.testing.assert_array_equal(found.compute(), vectors.astype(found.dtype))


def test_rows_of_parquet_that_are_null_or_not_finite_are_none(db, tmp_path, paths):
    lists = [[1.0, 2.0], None, [np.nan, 1.0], [3.0, 4.0]]
    table = pa.table({"image": np.arange(4), "v": pa.array(lists, pa.list_(pa.float64()))})
    pq.write_table(table, tmp_path / "v.parquet")
    added = db.add_vectors("v", tmp_path / "v.parquet", key="image")
    assert (added.added, added.unusable, added.missing) == (2, 2, 5)
    assert db.vectors("v").compute()[3].tolist() == [3.0, 4.0]


@pytest.mark.parametrize(
    ("table", "options", "text"),
    [
        ({"name": ["a"], "v": [[1.0]]}, {}, "has no column 'path'; name that of the paths by key=, of name, v"),
        ({"path": ["a"], "v": [[1.0]], "w": [[1.0]]}, {}, "several columns of lists; name one by column=: v, w"),
        ({"path": ["a"], "v": [[1.0]]}, {"column": "w"}, "no column of lists 'w'; there are v"),
        ({"path": ["a"], "label": ["x"]}, {}, "no column of lists, and no columns of numbers"),
        ({"path": ["2-000.png", "b"], "v": [[1.0], [1.0, 2.0]]}, {}, "vectors of 1 and of 2 values"),
        ({"path": ["a"], "v": [[1.0]]}, {}, "none of 1 keys is an image of this collection, such as a"),
        ({"path": ["2-000.png"], "v": [[1.0, None]]}, {}, "values that are null"),
        ({"path": ["2-000.png"] * 2, "v": [[1.0]] * 2}, {}, "2-000.png has two rows in the table"),
        ({"path": ["2-000.png"], "v": [[1]]}, {}, "vectors of int64 cannot be stored; use dtype="),
        ({"path": ["2-000.png"], "v": [None]}, {"column": None}, "no column of lists"),
    ],
)
def test_tables_that_do_not_fit_are_refused_in_one_line(db, tmp_path, table, options, text):
    pq.write_table(pa.table(table), tmp_path / "v.parquet")
    with pytest.raises(UsageError, match=text) as error:
        db.add_vectors("v", tmp_path / "v.parquet", **options)
    assert len(str(error.value).splitlines()) == 1
    assert db.vector_names == []


def test_files_that_are_no_tables_are_refused(db, tmp_path, vectors):
    (tmp_path / "v.parquet").write_text("no table")
    with pytest.raises(UsageError, match="cannot be read as Parquet"):
        db.add_vectors("v", tmp_path / "v.parquet")
    with pytest.raises(UsageError, match="cannot be read as Parquet"):
        db.add_vectors("v", tmp_path / "none.parquet")
    with pytest.raises(UsageError, match="there are 7 vectors and 6 keys; give a key for each"):
        db.add_vectors("v", vectors, keys=list("abcdef"))
    with pytest.raises(UsageError, match=r"vectors= of type list is <U1 of shape \(1, 1\), no vectors"):
        db.add_vectors("v", [["a"]])
    with pytest.raises(UsageError, match="keys= are for an array"):
        db.add_vectors("v", tmp_path / "v.parquet", keys=["a"])


def test_hashes_and_bits_are_packed(db, rng):
    hashes = rng.integers(0, 2**63, 7).astype(np.uint64)
    db.add_vectors("hash", hashes)
    found = db.vectors("hash").compute()
    assert (found.shape, found.dtype) == ((7, 8), np.uint8)
    bits = np.unpackbits(found, axis=1)
    assert [int("".join(map(str, row)), 2) for row in bits.tolist()] == hashes.tolist()
    flags = rng.random((7, 12)) < 0.5
    db.add_vectors("flags", flags)
    np.testing.assert_array_equal(np.unpackbits(db.vectors("flags").compute(), axis=1)[:, :12], flags)
    assert db.add_vectors("floats", flags, dtype="float32").added == 7
    assert db.vectors("floats").dtype == np.float32


def test_a_frame_is_given_by_its_values_and_paths(db, vectors, paths):
    frame = pd.DataFrame(vectors, index=[str(path) for path in paths])
    assert db.add_vectors("v", frame.to_numpy(), keys=frame.index).added == 7
    assert Vectors(Store(db.store_url), "v").made() == {"function": "add_vectors"}
