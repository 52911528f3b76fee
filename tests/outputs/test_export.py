"""Files: what is in them, from the store alone, whole or not at all, and only in place of another export."""

import contextlib
import csv
import gzip
import json
import os
import re
import sqlite3
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from support.command_line import invoke
from support.edited_stores import edited_store
from support.outputs import UNDECODABLE, make_photos, make_verdicts, shown

import fastdiff_dask as fd
from fastdiff_dask.config import EDITED_COPY
from fastdiff_dask.outputs.export import FORMATS
from fastdiff_dask.outputs.tables import TABLES, Tables
from fastdiff_dask.results import result
from fastdiff_dask.testing import simulate_images


def rows_of(path: Path) -> list[dict]:
    """Rows of a file, whatever its format: texts as JSON has them, numbers as numbers, nothing as None."""
    if path.suffix == ".json":
        content = json.loads(path.read_text())
        assert content["table"] == path.stem
        return content["rows"]
    if path.suffix == ".parquet":
        return pq.read_table(path).to_pylist()
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("form", FORMATS)
def test_the_table_of_the_inspection(db, tmp_path, form):
    path = tmp_path / f"inspection.{form}"
    assert db.export(path, "inspection") == {"inspection": 8}
    assert db.export(path, "inspection") == {"inspection": 8}  # replaces its own
    text = shown if form != "json" else str
    table = db.inspect().table
    found = rows_of(path)
    assert list(found[0]) == ["image", *table.columns]
    assert [row["path"] for row in found] == [text(name) for name in table.path]
    for name in ("blank", "grey", "near_equal", "byte_equal"):
        assert [str(row[name]) == "True" for row in found] == table[name].tolist(), name
    near = [row["near_path"] or None for row in found]
    assert near == [None if name is None else text(name) for name in table.near_path]
    figures = [float(row["brightness"]) if row["brightness"] not in (None, "") else None for row in found]
    assert figures == [None if np.isnan(value) else pytest.approx(value, abs=1e-6) for value in table.brightness]


@pytest.mark.parametrize("form", FORMATS)
def test_the_files_are_what_was_found(db, tmp_path, form):
    counts = {"images": 8, "pairs": 4, "clusters": 5, "errors": 2}
    assert db.export(tmp_path / "out", form=form) == counts
    found = {table: rows_of(tmp_path / "out" / f"{table}.{form}") for table in TABLES}
    assert {table: len(rows) for table, rows in found.items()} == counts
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"export.json", *(f"{t}.{form}" for t in TABLES)}
    result = db.result()
    text = shown if form != "json" else str
    pairs = [(row["a"], row["b"], float(row["mse"]), int(row["rotation"])) for row in found["pairs"]]
    assert pairs == [(text(a), text(b), *rest) for a, b, *rest, _, _ in result.pairs.itertuples(index=False, name=None)]
    assert [row["verdict"] for row in found["pairs"]] == result.pairs.verdict.to_list()
    assert [(row["path"], row["error"]) for row in found["errors"]] == [
        tuple(row) for row in result.errors.itertuples(index=False)
    ]
    clusters = [(int(row["cluster"]), row["path"], str(row["keep"])) for row in found["clusters"]]
    assert clusters == [
        (number, text(path), str(path == cluster.keep))
        for number, cluster in enumerate(result.clusters)
        for path in (cluster.keep, *cluster.low_quality)
    ]
    images = {row["path"]: row for row in found["images"]}
    assert sorted(images) == sorted(text(str(path)) for path in Path(db.roots[0].absolute).iterdir())
    folder = db.roots[0].absolute
    numbers = {path: int(row["image"]) for path, row in images.items()}
    assert [(int(row["a_image"]), int(row["b_image"])) for row in found["pairs"]] == [
        (numbers[a], numbers[b]) for a, b, _, _ in pairs
    ]
    assert [int(row["image"]) for row in found["errors"]] == [numbers[row["path"]] for row in found["errors"]]
    broken, whole = images[f"{folder}/worse.png"], images[f"{folder}/z.png"]
    assert re.fullmatch("[0-9a-f]{32}", whole["hash_key"])
    assert not broken["hash_key"]
    assert (int(whole["width"]), whole["format"]) == (8, "PNG")
    # the name itself is known in each format
    if form == "json":
        assert f"{folder}/{UNDECODABLE}" in images
    else:
        named = images[f"{folder}/\ufffd=1.png"]["path_bytes"]
        assert (bytes.fromhex(named) if form == "csv" else named) == os.fsencode(f"{folder}/{UNDECODABLE}")
        assert [row["path_bytes"] for row in images.values()].count("" if form == "csv" else None) == 7


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("table", TABLES)
def test_one_table_in_a_file(db, tmp_path, form, table):
    db.export(tmp_path / "out", form=form)
    counts = db.export(tmp_path / f"{table}.{form}", table)
    assert list(counts) == [table]
    assert (tmp_path / f"{table}.{form}").read_bytes() == (tmp_path / "out" / f"{table}.{form}").read_bytes()
    db.export(tmp_path / f"{table}.{form}", table)  # its own file is replaced
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([f"{table}.{form}", "out"])


def test_a_file_has_the_pairs_if_nothing_is_said(db, tmp_path):
    assert db.export(tmp_path / "x.csv") == {"pairs": 4}
    assert db.export(tmp_path / "y.csv", similarity=0) == {"pairs": 2}


@pytest.mark.parametrize("form", ["csv", "json"])
def test_compressed_files(db, tmp_path, form):
    plain, compressed = tmp_path / f"pairs.{form}", tmp_path / f"pairs.{form}.gz"
    counts = db.export(plain)
    for _ in range(2):  # the second one replaces the first
        assert db.export(compressed) == counts
        content = compressed.read_bytes()
        assert gzip.decompress(content) == plain.read_bytes()
    db.export(compressed)
    assert compressed.read_bytes() == content
    for other in (b"something else", gzip.compress(b"something else"), content[:9]):
        compressed.write_bytes(other)
        with pytest.raises(fd.UsageError, match="is no export"):
            db.export(compressed)
    with pytest.raises(fd.UsageError, match=r"ends in \.gz, which is no format"):
        db.export(tmp_path / "pairs.parquet.gz")


@pytest.mark.parametrize("form", FORMATS)
def test_pairs_in_parts_are_the_same(db, tmp_path, form, monkeypatch):
    db.export(tmp_path / f"pairs.{form}")
    wanted = rows_of(tmp_path / f"pairs.{form}")
    monkeypatch.setattr("fastdiff_dask.results.result._LISTED_PAIRS", 1)
    whole = result.Result.iter_pairs
    monkeypatch.setattr(result.Result, "iter_pairs", lambda self, numbered: whole(self, 1, numbered=numbered))
    db.export(tmp_path / f"pairs.{form}")
    found = rows_of(tmp_path / f"pairs.{form}")
    assert sorted(found, key=str) == sorted(wanted, key=str)
    # at most a million, made in one go, are sorted; more come as they are found
    assert [row["a"] for row in wanted] == sorted(row["a"] for row in wanted)


@pytest.mark.parametrize("form", FORMATS)
def test_no_pairs_at_all(tmp_path, client, form):
    simulate_images(tmp_path / "photos", images=3, duplicates=0)
    with fd.FastDifPy(tmp_path / "photos", store=tmp_path / "store", client=client, verbose=False) as db:
        db.index_the_dirs()
        db.first_loop_iteration()
        db.second_loop_iteration()
        assert db.export(tmp_path / "out", form=form) == {"images": 3, "pairs": 0, "clusters": 0, "errors": 0}
    assert rows_of(tmp_path / "out" / f"pairs.{form}") == []


FOREIGN = {
    "parquet": lambda path: pd.DataFrame({"a": [1]}).to_parquet(path),
    "csv": lambda path: path.write_text("name,other\n1,2\n"),
    "json": lambda path: path.write_text('{"rows": []}'),
}


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("empty", [True, False])
def test_files_of_something_else_are_kept(db, tmp_path, form, empty):
    path = tmp_path / f"x.{form}"
    FOREIGN[form](path)
    if empty:
        path.write_bytes(b"")
    before = path.read_bytes()
    with pytest.raises(fd.UsageError, match=r"is no export; name another file, or replace it with force=True$"):
        db.export(path)
    assert path.read_bytes() == before
    assert db.export(path, force=True) == {"pairs": 4}
    assert db.export(path) == {"pairs": 4}


@pytest.mark.parametrize("force", [False, True])
def test_folders_of_something_else_are_kept(db, tmp_path, force):
    (tmp_path / "out").mkdir()
    db.export(tmp_path / "out")  # an empty one is nobody's
    db.export(tmp_path / "out", "pairs", form="csv")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"export.json", "pairs.csv"}
    (tmp_path / "out" / "mine.txt").touch()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "export.json").write_text("{}")
    (tmp_path / "file").touch()
    for name in ("out", "other", "file"):
        with pytest.raises(fd.UsageError, match="is no export; name a new folder"):
            db.export(tmp_path / name, force=force)
    assert (tmp_path / "out" / "mine.txt").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "other", "out"]


@pytest.mark.parametrize("target", ["pairs.parquet", "pairs.csv", "pairs.json", "out"])
def test_an_error_halfway_leaves_the_former_files(db, tmp_path, target, monkeypatch):
    def content() -> dict[str, bytes]:
        return {str(path): path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}

    db.export(tmp_path / target, similarity=0)
    before = content()
    whole = Tables.parts

    def broken(self, table):
        yield from whole(self, table)
        if table == "pairs":
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(Tables, "parts", broken)
    with pytest.raises(fd.FastDiffError, match=r"the export to .* failed \(No space left on device\)"):
        db.export(tmp_path / target)
    assert content() == before


KILLED = """
import os, signal, sys
from fastdiff_dask.outputs.export import write_export
from fastdiff_dask.outputs.tables import Tables

whole = Tables.parts

def parts(self, name):
    yield from whole(self, name)
    os.kill(os.getpid(), signal.SIGKILL)

Tables.parts = parts
write_export(Tables.of_store(sys.argv[1], "mse-50.0-rotations"), sys.argv[2])
"""


@pytest.mark.parametrize("target", ["pairs.csv", "out"])
def test_a_kill_halfway_leaves_the_former_files(db, tmp_path, target):
    db.export(tmp_path / target, similarity=0)
    path = tmp_path / target
    before = path.read_bytes() if path.is_file() else {file.name: file.read_bytes() for file in path.iterdir()}
    done = subprocess.run([sys.executable, "-c", KILLED, db.store_url, path], check=False)
    assert done.returncode == -9
    assert before == (
        path.read_bytes() if path.is_file() else {file.name: file.read_bytes() for file in path.iterdir()}
    )


def test_cells_that_look_like_formulas_are_kept_and_counted(tmp_path, client, simulated, monkeypatch, run):
    (tmp_path / "photos").rename(tmp_path / "=1+1")
    monkeypatch.chdir(tmp_path)
    with fd.FastDifPy("=1+1", store=tmp_path / "store", client=client, verbose=False) as db:
        db.index_the_dirs()
        db.first_loop_iteration()
        db.second_loop_iteration()
        assert db.export("pairs.csv") == {"pairs": 5, "formulas": 10}
        assert {row["a"][:5] for row in rows_of(tmp_path / "pairs.csv")} == {"=1+1/"}
        assert db.export("pairs.json") == {"pairs": 5}
    code, out, _ = run("export", tmp_path / "store", "pairs.csv")  # by the store's names, which are absolute
    assert (code, out.splitlines()[0]) == (0, "Wrote pairs: 5")


def test_two_stores_that_know_the_same_path(tmp_path, client, simulated):
    options = {"client": client, "verbose": False}
    for name in ("one", "two"):
        with fd.FastDifPy(tmp_path / "photos", store=tmp_path / name, **options) as db:
            db.index_the_dirs()
            db.first_loop_iteration()
    stores = (tmp_path / "one", tmp_path / "two")
    with fd.FastDifPy.from_stores(*stores, store=tmp_path / "both", **options) as db:
        db.index_the_dirs()
        db.first_loop_iteration()
        db.second_loop_iteration()
        result = db.result()
        assert db.export(tmp_path / "out", form="json")["images"] == 34
    found = {table: rows_of(tmp_path / "out" / f"{table}.json") for table in TABLES}
    sides = {row["image"]: (row["side"], row["path"]) for row in found["images"]}
    assert len({path for _, path in sides.values()}) == 17
    assert len(found["pairs"]) == result.pair_count == 17 + 2 * 5
    for row in found["pairs"]:
        assert (sides[row["a_image"]], sides[row["b_image"]]) == (("a", row["a"]), ("b", row["b"]))
    # what is to be kept is so on both sides
    assert len(found["clusters"]) == 34
    assert sorted(row["path"] for row in found["clusters"] if row["keep"]) == sorted(
        cluster.keep for cluster in result.clusters for _ in range(2)
    )
    assert {row["path"] for row in found["clusters"] if not row["keep"]} == set(result.low_quality)


# -- the command line --------------------------------------------------------------------------------------------------


@pytest.fixture
def store(tmp_path, run) -> Path:
    """A store whose pictures are gone."""
    make_photos(tmp_path / "photos")
    code, _, _ = run("find", tmp_path / "photos", "--store", tmp_path / "store", "--threshold", 50)
    assert code == 0
    (tmp_path / "photos").rename(tmp_path / "gone")
    return tmp_path / "store"


def test_a_store_alone_is_enough(run, store, tmp_path):
    code, out, _ = run("export", store, tmp_path / "out")
    assert (code, out.splitlines()[0]) == (0, "Wrote images: 8, pairs: 4, clusters: 5, errors: 2")
    assert {row["a"].rpartition("/")[0] for row in rows_of(tmp_path / "out" / "pairs.parquet")} == {
        str(tmp_path / "photos")
    }
    assert run("export", store, f"sqlite:///{tmp_path / 'diff.db'}")[1].startswith("Wrote images: 8")
    for options, written in (
        (["--what", "errors", tmp_path / "x.csv"], "errors: 2"),
        (["--what", "images", "--format", "json", tmp_path / "y"], "images: 8"),
        (["--threshold", "0", tmp_path / "z.json"], "pairs: 1"),
        (["--comparison", "mse-50.0-rotations", tmp_path / "z.json"], "pairs: 4"),
    ):
        code, out, _ = run("export", store, *options)
        assert (code, out.splitlines()[0]) == (0, f"Wrote {written}")
    assert len(rows_of(tmp_path / "y" / "images.json")) == 8


def test_the_result_is_named_where_there_is_one(run, store, tmp_path):
    at = r"\d{4}-\d\d-\d\d at \d\d:\d\d"
    shown = re.compile(rf"Wrote .*\nResult: difference \(MSE\) ≤ 50 with rotations, as shown on {at}\n")
    for target in (tmp_path / "x.csv", tmp_path / "all", f"sqlite:///{tmp_path / 'x.db'}"):
        assert shown.fullmatch(run("export", store, target)[1])
    lower = run("export", store, tmp_path / "y.csv", "--threshold", "20", "--verdict", "similar,same-file")[1]
    only = "only pairs of the verdict same file or similar"
    assert lower.endswith(f"\nResult: difference (MSE) ≤ 20 with rotations; {only}\n")
    assert run("export", store, tmp_path / "z.csv", "--what", "images")[1] == "Wrote images: 8\n"


def test_pairs_of_some_verdicts_and_their_clusters(tmp_path, client, run):
    make_verdicts(tmp_path / "photos")
    with fd.FastDifPy(tmp_path / "photos", store=tmp_path / "store", client=client, verbose=False) as db:
        db.index_the_dirs()
        db.first_loop_iteration()
        db.second_loop_iteration()
        db.verify()
        every = db.pairs
        assert set(every.verdict) >= {"same file", "same picture", "similar"}
        for verdicts in (["same file"], ["similar"], ["same picture", "similar"], ["not looked at"]):
            chosen = every[every.verdict.isin(verdicts)]
            assert db.export(tmp_path / "db", verdict=verdicts)["pairs"] == len(chosen)
            options = [part for name in verdicts for part in ("--verdict", name)]
            assert run("export", tmp_path / "store", tmp_path / "out", *options)[0] == 0
            assert run("export", tmp_path / "store", tmp_path / "x.csv", "--verdict", ",".join(verdicts))[0] == 0
            for place in (tmp_path / "db", tmp_path / "out"):
                found = pd.read_parquet(place / "pairs.parquet")
                assert found.drop(columns=["a_image", "b_image"]).to_dict("list") == chosen.to_dict("list")
                clusters = pd.read_parquet(place / "clusters.parquet").groupby("cluster").path.apply(set).tolist()
                assert {name for one in clusters for name in one} == {*chosen.a, *chosen.b}
                assert all(sum(row.a in one and row.b in one for one in clusters) == 1 for row in chosen.itertuples())
            assert len(rows_of(tmp_path / "x.csv")) == len(chosen)
        with pytest.raises(fd.UsageError, match="verdict='cats' is none of the verdicts: same file, same pixels"):
            db.export(tmp_path / "db", verdict="cats")


def test_images_need_no_comparison(run, store, tmp_path, client):
    (tmp_path / "gone").rename(tmp_path / "photos")
    with fd.FastDifPy(tmp_path / "photos", store=tmp_path / "new", client=client, verbose=False) as db:
        db.index_the_dirs()
        assert run("export", tmp_path / "new", tmp_path / "x.csv", "--what", "images")[0] == 0
        code, _, err = run("export", tmp_path / "new", tmp_path / "y.csv")
        assert code == 2
        assert f"no finished comparison in the store {tmp_path / 'new'}; the same find, run again, finishes one" in err
        assert not (tmp_path / "y.csv").exists()


ERRORS = {
    "no store": (["{tmp}/nothing", "x.csv"], "no store at"),
    "no folder": (["{store}", "{tmp}/no/x.csv"], "no folder for"),
    "remote": (["{store}", "s3://bucket/x.csv"], "nothing can be exported to 's3://bucket/x.csv'"),
    "two formats": (["{store}", "{tmp}/x.csv", "--format", "json"], "ends in another format"),
    "what in a database": (["{store}", "sqlite:///{tmp}/x.db", "--what", "pairs"], "gets all tables"),
    "format of a database": (["{store}", "sqlite:///{tmp}/x.db", "--format", "csv"], "gets all tables"),
    "table": (["{store}", "{tmp}/x.csv", "--what", "cats"], "'cats' is not one of"),
    "high": (["{store}", "{tmp}/x.csv", "--threshold", "60"], "compared up to 50, not 60; name a lower threshold"),
    "comparison": (["{store}", "{tmp}/x.csv", "--comparison", "x"], "has: mse-50.0-rotations"),
    "verdict": (
        ["{store}", "{tmp}/x.csv", "--verdict", "cats"],
        "--verdict 'cats' is none of the verdicts: same file,",
    ),
    "password of a file": (["{store}", "{tmp}/x.csv", "--password-file", "{tmp}/p"], "a file has no password"),
    "password of SQLite": (["{store}", "sqlite:///{tmp}/x.db", "--password-file", "{tmp}/p"], "SQLite file has no"),
    "no password": (["{store}", "mysql://u@h/db", "--password-file", "{tmp}/no"], "No such file"),
    "database": (["{store}", "oracle://u@h/db"], "databases of oracle cannot be written"),
}


@pytest.mark.parametrize("case", ERRORS)
def test_exports_that_cannot_be_are_one_line(run, store, tmp_path, case):
    arguments, message = ERRORS[case]
    (tmp_path / "p").write_text("secret")
    before = sorted(tmp_path.iterdir())
    code, out, err = run("export", *(argument.format(tmp=tmp_path, store=store) for argument in arguments))
    assert (code, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1
    assert sorted(tmp_path.iterdir()) == before


def test_force_of_the_command_line(run, store, tmp_path):
    (tmp_path / "x.csv").write_text("mine")
    assert run("export", store, tmp_path / "x.csv")[0] == 2
    code, out, _ = run("export", store, tmp_path / "x.csv", "--force")
    assert (code, out.splitlines()[0]) == (0, "Wrote pairs: 4")


def test_a_remote_store(db, tmp_path, run):
    import fsspec

    fsspec.filesystem("memory").put(db.store_url, "/exported", recursive=True)
    try:
        code, out, err = run("export", "memory://exported", tmp_path / "out", "--comparison", "mse-50.0-rotations")
        written = "Wrote images: 8, pairs: 4, clusters: 5, errors: 2\nResult: difference (MSE) ≤ 50 with rotations\n"
        assert (code, out, err) == (0, written, "")
    finally:
        fsspec.filesystem("memory").rm("/exported", recursive=True)


@pytest.fixture(scope="module")
def edited(tmp_path_factory, client):
    folder = tmp_path_factory.mktemp("edited")
    with edited_store(folder, client, [1], ("crop 10", "border")) as db:
        yield folder, db


@pytest.mark.parametrize("form", FORMATS)
def test_edited_copies_are_a_table_of_their_own(edited, tmp_path, form):
    folder, db = edited
    code, out = invoke("export", folder / "store", tmp_path / "out", "--format", form)
    assert code == 0
    assert {path.stem for path in (tmp_path / "out").iterdir()} == {"export", *TABLES, "edited_copies"}
    rows = rows_of(tmp_path / "out" / f"edited_copies.{form}")
    expected = db.result().numbered_edited()
    assert [row["copy"] for row in rows] == expected["copy"].tolist()
    assert [int(row["original_image"]) for row in rows] == expected.original_image.tolist()
    assert len(rows) == len(expected) >= 2
    for _ in range(2):  # and in place of an earlier one
        code, out = invoke("export", folder / "store", tmp_path / f"one.{form}", "--verdict", EDITED_COPY)
        assert (code, out.startswith(f"Wrote edited_copies: {len(rows)}")) == (0, True)


def test_edited_copies_in_a_database(edited, tmp_path, db):
    folder, with_copies = edited
    url, file = f"sqlite:///{tmp_path / 'diff.db'}", tmp_path / "diff.db"
    query = (
        "SELECT y.path, words FROM edited_copies JOIN images y ON y.image = copy JOIN images x ON x.image = original"
    )
    for _ in range(2):
        assert invoke("export", folder / "store", url)[0] == 0
        with contextlib.closing(sqlite3.connect(file)) as connection:
            rows = connection.execute(query).fetchall()
        found = with_copies.result().edited
        assert sorted(rows) == sorted(zip(found["copy"], found.words, strict=True))
    assert invoke("export", db.store.url, url)[0] == 0  # without edited copies
    with contextlib.closing(sqlite3.connect(file)) as connection:
        names = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        assert names == {*TABLES, "fastdiff_dask"}
        connection.execute("CREATE TABLE edited_copies (mine INTEGER)")
    assert invoke("export", db.store.url, url)[0] == 0
    code, out = invoke("export", folder / "store", url)
    assert code != 0
    assert "tables of something else: edited_copies" in out
    with contextlib.closing(sqlite3.connect(file)) as connection:
        assert connection.execute("SELECT mine FROM edited_copies").fetchall() == []


def test_the_state_says_how_far_the_search_is(edited, db):
    folder, with_copies = edited
    _, out = invoke("status", folder / "store")
    looked = with_copies.result().edited
    assert "1 of 1 blocks are done, all views are compared" in " ".join(out.split())
    assert f"of which {len(looked[looked.via == ''])} are edited copies" in " ".join(out.split())
    assert "Edited:     not looked for" in invoke("status", db.store.url)[1]
    state = json.loads(invoke("status", folder / "store", "--json")[1])["edited"]
    assert state["pairs_left"] == 0
    assert json.loads(invoke("status", db.store.url, "--json")[1])["edited"] is None
