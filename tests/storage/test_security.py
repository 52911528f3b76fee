"""A store from somebody else: it runs nothing, reads and writes nothing outside of itself, is refused in one line."""

import ast
import contextlib
import json
import os
import pickle
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numcodecs
import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zarr

import fastdiff_dask as fd
from fastdiff_dask.dashboard.monitor import Monitor
from fastdiff_dask.errors import FastDiffError
from fastdiff_dask.kernels.bounds import SearchCounts
from fastdiff_dask.kernels.grid import Generation
from fastdiff_dask.outputs.store_state import describe_store
from fastdiff_dask.runtime.activity import AMOUNTS
from fastdiff_dask.runtime.connection import embedded_client
from fastdiff_dask.storage import validation
from fastdiff_dask.storage.comparisons import Comparison
from fastdiff_dask.storage.derived.matrix import DenseMatrix
from fastdiff_dask.storage.pairs import PairWriter, read_pairs
from fastdiff_dask.storage.store import Store
from fastdiff_dask.testing import simulate_images

PACKAGE = Path(fd.__file__).parent
ESCAPE = "\x1b]0;owned\x07\n\u202e"


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Pictures, and a finished store of them with a matrix."""
    folder = tmp_path_factory.mktemp("finished")
    simulate_images(folder / "photos", images=12, duplicates=5)
    options = {"block_size": 16, "threads": 1, "dashboard_address": "127.0.0.1:0", "verbose": False}
    with fd.FastDifPy(folder / "photos", store=folder / "store", **options) as db:
        db.index_the_dirs()
        db.first_loop_iteration(compute_hash=True)
        db.second_loop_iteration()
        db.mse(persist=True)
    return folder


@pytest.fixture
def place(finished, tmp_path):
    """A copy of that store to be changed, and a canary: a folder and a file outside of it."""
    shutil.copytree(finished / "store", tmp_path / "store")
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "canary.partial").write_bytes(b"as it was")
    return tmp_path


class Canary:
    """An object whose unpickling leaves a file behind."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (Path.write_bytes, (self.path, b"unpickled"))


def tree(folder):
    return {path.relative_to(folder): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


@pytest.fixture(scope="module")
def client():
    client = embedded_client(1, "127.0.0.1:0")
    yield client
    client.close()
    client.cluster.close()


def use(finished, place, client):
    """All that is done with a store; what it says when it refuses to go on, and nothing else may come out of it."""
    said = []

    def job():
        options = {"block_size": 16, "client": client, "verbose": False}
        with fd.FastDifPy(finished / "photos", store=place / "store", **options) as db:
            db.index_the_dirs()
            db.first_loop_iteration(compute_hash=True)
            db.second_loop_iteration()
            result = db.result()
            _ = result.pairs, result.clusters, db.errors
            db.images.compute(scheduler="synchronous")
            db.thumbnails.compute(scheduler="synchronous")
            db.mse(persist=True).compute(scheduler="synchronous")
            db.store.arrays.thumbnails()[:]

    watched = Monitor(str(place / "store")).snapshot(0)
    if watched.problem is not None:
        said.append(watched.problem)
    for step in (lambda: describe_store(str(place / "store")), job, lambda: read(place)):
        try:
            shown = step()
            assert shown is None or "\x1b" not in shown
        except FastDiffError as error:
            said.append(str(error))
    for text in said:
        assert text.isprintable()
        assert len(text) < 1000
    return said


def read(place):
    """All recorded comparisons, which a run might leave alone."""
    store = Store(str(place / "store"))
    for comparison in Comparison.all_in(store):
        for _ in read_pairs(comparison, comparison.plans()):
            pass


def attack(finished, place, client):
    """Use a store that was changed; it must be noticed, and the canaries must live."""
    before = tree(place / "outside")
    said = use(finished, place, client)
    assert tree(place / "outside") == before
    assert not (place / "unpickled").exists()
    return said


def test_a_store_that_nobody_changed_is_used(finished, place, client):
    before = tree(place / "store" / "arrays.zarr")
    assert attack(finished, place, client) == []
    assert tree(place / "store" / "arrays.zarr") == before


# -- arrays ------------------------------------------------------------------------------------------------------------


def zarr_arrays(place):
    arrays = place / "store" / "arrays.zarr"
    return sorted(str(path.parent.relative_to(arrays)) for path in arrays.rglob("zarr.json"))


def change(path, **values):
    content = json.loads(path.read_text())
    content.update(values)
    path.write_text(json.dumps(content))


def comparison_folder(place):
    (folder,) = (place / "store" / "arrays.zarr" / "comparisons").glob("mse-*")
    return folder


ARRAYS = {
    "thumbnails": lambda place: place / "store" / "arrays.zarr" / "thumbnails",
    "compared": lambda place: comparison_folder(place) / "generations-0-1" / "compared",
    "mse": lambda place: place / "store" / "arrays.zarr" / "mse-rotations",
}
# The first filter lets Zarr take it for text, the second one unpickles.
FILTERS = [{"id": "vlen-utf8"}, {"id": "pickle"}]
V2 = {"zarr_format": 2, "fill_value": "", "order": "C", "compressor": None, "dtype": "|O", "filters": FILTERS}


@pytest.mark.parametrize("name", ARRAYS)
def test_arrays_of_zarr_2_that_unpickle(finished, place, client, name, monkeypatch):
    # newer versions of numcodecs refuse this by themselves, older ones do not
    monkeypatch.setattr(numcodecs.pickles, "ALLOW_UNSAFE_PICKLE_DECODE", True, raising=False)
    folder = ARRAYS[name](place)
    (folder / "zarr.json").unlink()
    pickled = V2 | {"shape": [16], "chunks": [16]}
    (folder / ".zarray").write_text(json.dumps(pickled))
    (folder / ".zattrs").write_text("{}")
    (folder / "0").write_bytes(pickle.dumps([Canary(place / "unpickled"), "|O", [16]]))
    attack(finished, place, client)
    if name == "thumbnails":  # the attack is real: this is what Zarr does
        with contextlib.suppress(Exception):
            zarr.open_array(folder, mode="r")[:]
        assert (place / "unpickled").exists()


def test_a_group_of_zarr_2(finished, place, client):
    arrays = place / "store" / "arrays.zarr"
    attributes = json.loads((arrays / "zarr.json").read_text())["attributes"]
    (arrays / ".zgroup").write_text('{"zarr_format": 2}')
    (arrays / ".zattrs").write_text(json.dumps(attributes))
    (arrays / "zarr.json").write_text('{"zarr_format": 2, "node_type": "group"}')
    assert any("no Zarr group of format 3" in text for text in attack(finished, place, client))


@pytest.mark.parametrize("name", ARRAYS)
@pytest.mark.parametrize(
    "values",
    [
        {"codecs": [{"name": "vlen-bytes"}]},
        {"codecs": [{"name": "bytes"}, {"name": "numcodecs.pickle", "configuration": {"id": "pickle"}}]},
        {"storage_transformers": [{"name": "indirection"}]},
        {"data_type": "string"},
        {"data_type": {"name": "struct", "configuration": {}}},
        {"chunk_key_encoding": {"name": "v2", "configuration": {"separator": "/"}}},
        {"chunk_grid": {"name": "rectangular", "configuration": {}}},
        {"shape": [2**60, 64, 64, 3]},
        {"shape": [-1]},
        {"shape": None},
        {"chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [2**29, 2**29]}}},
        {"node_type": "group"},
        {"attributes": []},
    ],
    ids=lambda values: "-".join(map(str, values)),
)
def test_arrays_that_are_not_written_here(finished, place, client, name, values):
    change(ARRAYS[name](place) / "zarr.json", **values)
    assert attack(finished, place, client)


def test_metadata_that_is_consolidated_is_not_looked_at(finished, place, client):
    pickled = V2 | {"shape": [16], "chunks": [16]}
    consolidated = {"kind": "inline", "must_understand": False, "metadata": {"thumbnails": pickled}}
    change(place / "store" / "arrays.zarr" / "zarr.json", consolidated_metadata=consolidated)
    assert attack(finished, place, client) == []


def test_chunks_that_expand_to_more_than_a_chunk(place):
    folder = ARRAYS["mse"](place)
    bomb = pa.compress(bytes(1 << 28), "zstd", asbytes=True)
    assert len(bomb) < 1 << 16
    (folder / "c.0.0").write_bytes(bomb)
    process = psutil.Process()
    before = process.memory_info().rss
    array = validation.stored_array((folder / "zarr.json").read_bytes(), "float64", "zstd")
    with pytest.raises((OSError, ValueError)):
        validation.decode_chunk(bomb, array)
    assert process.memory_info().rss - before < 1 << 26


# -- attributes --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "values",
    [
        {"generations": [[0, 2**60, 2**60, 2**70, 0]]},
        {"generations": [[0, 2**19, 2**19, 16 * 2**19, 0]]},
        {"generations": [[0, 2, 2, 17, 0], [1, 3, 3, 17, 0]]},
        {"generations": [[0, -2, -2, 17, 0]]},
        {"generations": [[0, 2, 2, -1, 0]]},
        {"generations": [[0, 2, 2, True, 0]]},
        {"generations": [[0, 2, 2, "17", 0]]},
        {"generations": [[0, 2, 3, 17, 16]]},
        {"generations": [[0, 1, 1, 17, 0]]},
        {"generations": "none"},
        {"generations": [[0, 2, 2, 17]]},
        {"thumbnails": {"width": 10**9, "height": 64, "block_size": 16, "exact_decode": False}},
        {"thumbnails": {"width": 64, "height": 64, "block_size": 2**40, "exact_decode": False}},
        {"thumbnails": {"width": 64, "height": 64, "block_size": -16, "exact_decode": False}},
        {"thumbnails": []},
        {"roots": {"a": ["/"], "b": []}},
        {"roots": {"a": [5], "b": []}},
        {"roots": [ESCAPE]},
        {"roots": {"a": [ESCAPE], "b": []}},
        {"format": ESCAPE},
        {"format_version": [ESCAPE] * 1000},
    ],
    ids=lambda values: str(values)[:40],
)
def test_attributes_that_are_not_written_here(finished, place, client, values):
    path = place / "store" / "arrays.zarr" / "zarr.json"
    change(path, attributes=json.loads(path.read_text())["attributes"] | values)
    assert attack(finished, place, client)


@pytest.mark.parametrize("content", [b"[" * 100_000, b"", b"[]", b"{}", b"\xff\xfe", b'{"zarr_format": 3}'])
def test_metadata_that_is_nonsense(finished, place, client, content):
    (place / "store" / "arrays.zarr" / "zarr.json").write_bytes(content)
    assert attack(finished, place, client)


@pytest.mark.parametrize(
    "settings",
    [
        {"measure": "../../../outside/x", "similarity_threshold": 1.0, "rotations": True, "mirror": False},
        {"measure": ESCAPE, "similarity_threshold": 1.0, "rotations": True, "mirror": False},
        {"measure": "mse", "similarity_threshold": 1e9, "rotations": True, "mirror": False},
        {"measure": "mse", "similarity_threshold": "200", "rotations": True, "mirror": False},
        {"measure": 5},
        {"unknown": 5},
        [],
    ],
    ids=str,
)
def test_comparisons_under_other_names(finished, place, client, settings):
    change(comparison_folder(place) / "zarr.json", attributes={"settings": settings})
    assert attack(finished, place, client)


@pytest.mark.parametrize(
    "values",
    [
        {"sub_block": 0},
        {"tile_side": 0},
        {"images_a": 2**40},
        {"images_a": -5},
        {"sub_block": 1.5},
        {"sub_block": 1, "tile_side": -1},
        {"images_b": 10},
        {"sub_block": 1, "tile_side": 1},
    ],
    ids=str,
)
def test_plans_that_are_not_written_here(finished, place, client, values):
    path = comparison_folder(place) / "generations-0-1" / "compared" / "zarr.json"
    attributes = json.loads(path.read_text())["attributes"]
    attributes["plan"] |= values
    change(path, attributes=attributes)
    assert attack(finished, place, client)


def test_a_plan_of_more_tiles_than_anybody_makes(place):
    part = {"images_a": 10**7, "images_b": 0, "sub_block": 1, "tile_side": 1}
    store = Store(str(place / "store"))
    path = comparison_folder(place) / "generations-0-1" / "compared" / "zarr.json"
    change(path, attributes={"plan": part})
    store.generations = [store.generations[0]._replace(images_a=10**7)]
    with pytest.raises(FastDiffError, match="more than 1048576 tiles"):
        Comparison.all_in(store)[0].plans()


@pytest.mark.parametrize("pair", [[0, 2**40, 0, 1], [-1, 5, 0, 1], [0, 1, 0, 0], [0, 1, 0, 999]], ids=str)
def test_pairs_of_images_that_are_not_there(finished, place, client, pair):
    path = comparison_folder(place) / "generations-0-1" / "pairs-0" / "c.0.0"
    pairs = np.frombuffer(path.read_bytes(), "<i8").reshape(-1, 4).copy()
    pairs[0] = pair
    path.write_bytes(pairs.tobytes())
    assert attack(finished, place, client)


def test_counts_of_more_pairs_than_there_are(finished, place, client):
    path = comparison_folder(place) / "generations-0-1" / "compared" / "c.0.0"
    counts = np.frombuffer(path.read_bytes(), "<i8").copy()
    counts[0] = 2**60
    path.write_bytes(counts.tobytes())
    assert attack(finished, place, client)


# -- tables ------------------------------------------------------------------------------------------------------------


def partition(place, block=0):
    return place / "store" / "images.parquet" / f"block-{block:08d}.parquet"


def rewrite(place, **columns):
    path = partition(place)
    table = pq.read_table(path)
    for name, values in columns.items():
        index = table.schema.get_field_index(name)
        values = [values] * len(table) if not isinstance(values, list) else values
        table = table.set_column(index, table.schema.field(name), pa.array(values, table.schema.field(name).type))
    pq.write_table(table, path)


@pytest.mark.parametrize(
    "columns",
    [
        {"path": "../outside/canary.partial"},
        {"path": "/etc/passwd"},
        {"path": "a/../../b"},
        {"path_bytes": b"../x"},
        {"path_bytes": b"/etc/passwd"},
        {"path_bytes": b"a\0b"},
        {"root": "/"},
        {"root": None},
        {"path": None},
        {"side": "b"},
        {"image": 5},
        {"image": list(range(-16, 0))},
        {"image": list(range(2**40, 2**40 + 16))},
        {"image": None},
    ],
    ids=str,
)
def test_rows_that_lead_elsewhere(finished, place, client, columns):
    rewrite(place, **columns)
    assert any("block-00000000.parquet cannot be read" in text for text in attack(finished, place, client))


def test_rows_that_are_too_many_or_too_few(finished, place, client):
    table = pq.read_table(partition(place))
    for rows in (pa.concat_tables([table] * 100), table[:5], table[:0]):
        pq.write_table(rows, partition(place))
        assert any("images, not 16" in text for text in attack(finished, place, client))


def test_types_and_metadata_of_their_own(finished, place, client):
    table = pq.read_table(partition(place))
    pickled = pickle.dumps(Canary(place / "unpickled"))
    metadata = {b"ARROW:extension:name": b"arrow.py_extension_type", b"ARROW:extension:metadata": pickled}
    typed = table.schema.field("image").with_metadata(metadata)
    pandas = {b"pandas": json.dumps({"columns": [{"numpy_type": "object"}]}).encode()}
    for changed in (
        table.set_column(0, typed, table["image"]),
        table.replace_schema_metadata(pandas),
        table.append_column("more", table["image"]),
        table.drop_columns(["error"]),
        table.set_column(0, "image", table["image"].cast(pa.string())),
    ):
        pq.write_table(changed, partition(place))
        assert any("block-00000000.parquet cannot be read" in text for text in attack(finished, place, client))


def test_strings_that_are_none(finished, place, client):
    table = pq.read_table(partition(place))
    bad = pa.StringArray.from_buffers(
        len(table), pa.array(["abcd"] * len(table)).buffers()[1], pa.py_buffer(b"\xff" * 64)
    )
    pq.write_table(table.set_column(table.schema.get_field_index("error"), "error", bad), partition(place))
    assert any("block-00000000.parquet cannot be read" in text for text in attack(finished, place, client))


def test_texts_are_shown_without_control_characters(finished, place, client, capsys):
    rewrite(place, error=ESCAPE, path=f"{ESCAPE}.jpg")
    with fd.FastDifPy(finished / "photos", store=place / "store", client=client, verbose=False) as db:
        db.print_preprocessing_errors()
    printed = capsys.readouterr().out
    assert r"\x1b]0;owned\x07\n" in printed
    assert not {"\x1b", "\x07", "\u202e"} & set(printed)


INDEXES = [
    {"ignored": {ESCAPE: 5}, "links": []},
    {"ignored": {"a rule": -5}, "links": []},
    {"ignored": {"a rule": 2**80}, "links": []},
    {"ignored": [], "links": 5},
    {"ignored": {}, "links": [["a", "/", "etc/passwd", "a", "/", "x"]]},
    {"ignored": {}, "links": [["a"]]},
    {"ignored": {}, "links": [["a", "ROOT", "../x", "a", "ROOT", "x"]]},
    [],
]


@pytest.mark.parametrize("index", INDEXES, ids=lambda index: str(index)[:40])
def test_an_index_that_was_not_written_here(finished, place, index):
    text = json.dumps(index).replace("ROOT", str((finished / "photos").resolve()))
    (place / "store" / "index.json").write_text(text)
    with pytest.raises(FastDiffError, match=r"index\.json cannot be read") as caught:
        Store(str(place / "store")).records.read_index()
    assert str(caught.value).isprintable()


# -- files -------------------------------------------------------------------------------------------------------------

PARTS = [
    "arrays.zarr",
    "images.parquet",
    "arrays.zarr/thumbnails",
    "arrays.zarr/comparisons",
    "arrays.zarr/mse-rotations",
    "activity",
    "images.parquet/block-00000000.parquet",
    "arrays.zarr/zarr.json",
    "arrays.zarr/thumbnails/c.0.0.0.0",
    "arrays.zarr/mse-rotations/c.0.0",
    "index.json",
    "writer.lock",
    "writer.json",
]


@pytest.mark.parametrize("part", PARTS)
def test_links_that_lead_outside(finished, place, client, part):
    path = place / "store" / part
    moved = place / "outside" / path.name
    path.rename(moved)
    path.symlink_to(moved)
    (place / "store" / "images.parquet" / "x.partial").touch()  # to be cleaned up
    said = attack(finished, place, client)
    # what tasks do is left out if it cannot be written
    assert any("is a symbolic link" in text for text in said) or part == "activity"


def test_a_comparison_elsewhere_is_not_removed(finished, place, client):
    folder = comparison_folder(place)
    folder.rename(place / "outside" / "comparison")
    folder.symlink_to(place / "outside" / "comparison")
    shutil.rmtree(place / "outside" / "comparison" / "generations-0-1" / "compared")
    assert any("is a symbolic link" in text for text in attack(finished, place, client))


@pytest.mark.parametrize("part", PARTS[6:])
def test_hard_links_are_not_written_through(finished, place, client, part):
    path = place / "store" / part
    os.link(path, place / "outside" / path.name)
    said = attack(finished, place, client)
    assert any("has other names" in text for text in said) == (part == "writer.lock")


def test_what_is_written_replaces_hard_links(place):
    store = Store(str(place / "store"))
    comparison = Comparison.all_in(store)[0]
    part = comparison.parts()[0]
    parts = [*(place / "store").rglob("c.0.0*"), partition(place), place / "store" / "index.json"]
    parts += [place / "store" / "arrays.zarr" / "zarr.json", place / "store" / "writer.json"]
    for number, path in enumerate(parts):
        os.link(path, place / "outside" / str(number))
    before = tree(place / "outside")
    assert len(before) >= 10
    with Store.lock(str(place / "store")):
        store.records.write_index({"ignored": {"a rule": 5}, "links": []})
        store.write_partition(0, store.read_partition(0).assign(width=5))
        store.arrays.write_images(
            0,
            *(read(np.arange(16)) * 0 for read in (store.arrays.thumbnail_rows, store.arrays.signature_rows)),
            store.arrays.digest_rows(np.arange(16)) * 0,
        )
        DenseMatrix(str(place / "store" / "arrays.zarr" / "mse-rotations")).write(np.zeros((16, 16)), 0, 0, True)
        writer = PairWriter(comparison, part, 0)
        writer.add(np.full((3, 4), 5))
        writer.commit(SearchCounts(pairs=9))
        comparison.begin(part)
        comparison.write_order(part, "a", np.zeros(17, np.int64), iter([np.zeros((17, 144), np.float32)]))
        frame = store.read_partition(1).assign(image=range(32, 33))
        store.write_partition(2, frame)
        store.add_generation(Generation(range(2, 3), range(3, 3), 1, 0))
    assert tree(place / "outside") == before
    kept = [(number, path) for number, path in enumerate(parts) if path.exists()]
    assert len(kept) >= 8
    for number, path in kept:
        assert path.stat().st_ino != (place / "outside" / str(number)).stat().st_ino, path


@pytest.mark.parametrize("part", [part for part in PARTS[6:] if part != "writer.lock"])
def test_pipes_do_not_hang(finished, place, client, part):
    path = place / "store" / part
    path.unlink()
    os.mkfifo(path)
    assert any("is no regular file" in text for text in attack(finished, place, client))


def test_the_writer_is_shown_without_control_characters(finished, place):
    with Store.lock(str(place / "store")):
        (place / "store" / "writer.json").write_text(json.dumps({"process": ESCAPE * 9, "host": ESCAPE}))
        command = [sys.executable, "-m", "fastdiff_dask", "find", str(finished / "photos"), "--store"]
        done = subprocess.run([*command, str(place / "store")], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "is being written by" in done.stderr
    assert not {"\x1b", "\x07", "\u202e"} & set(done.stderr)


RUNS = [
    {"started": float("inf")},
    {"started": float("nan"), "process": -1},
    {"process": 10**30},
    {"process": 1e400},
    {"stage": ESCAPE, "host": ESCAPE},
    {"ended": [ESCAPE]},
    {"run": {"a": 5}},
]
WORKS = [
    {"done": {"tasks": 1e400}},
    {"last": dict.fromkeys(AMOUNTS, -1)},
    {"done": dict.fromkeys(AMOUNTS, 10**400)},
    {"running": {"block": 2**70, "tile": -(2**70), "part": ESCAPE, "comparison": ESCAPE}},
    {"running": [5]},
    {"worker": ESCAPE, "version": True},
]


@pytest.mark.parametrize("run", RUNS, ids=str)
@pytest.mark.parametrize("work", WORKS, ids=lambda work: str(work)[:40])
def test_what_tasks_are_said_to_do(place, run, work):
    activity = place / "store" / "activity"
    shutil.rmtree(activity, ignore_errors=True)
    activity.mkdir()
    plain = {"run": "x", "stage": "compare", "host": os.uname().nodename, "process": os.getpid(), "started": 0.0}
    (activity / "run.json").write_text(json.dumps(plain | {"ended": None} | run))
    amounts = dict.fromkeys(AMOUNTS, 1)
    task = {"run": "x", "stage": "compare", "worker": "w", "host": "h", "process": 1, "thread": 1, "version": 1}
    task |= {"running": None, "done": amounts, "last": amounts}
    (activity / "h-1-1.json").write_text(json.dumps(task | work))
    watched = Monitor(str(place / "store")).snapshot(0)
    assert watched.problem is None
    assert watched.images == 17


# -- the package -------------------------------------------------------------------------------------------------------

# What reads or runs bytes as objects or as code, and where that is right.
FORBIDDEN = {"pickle", "cloudpickle", "dill", "marshal", "shelve", "joblib", "numcodecs", "yaml"}
ALLOWED = {
    "images.decoder_process": "answers its parent, over a pipe between the two",
    "images.decoder_pool": "asks its child, over a pipe between the two",
    "stages.compare": "names the error of a function that cannot be sent to workers",
    "user_functions": "tries whether a function can be sent to workers",
}
CALLS = {"eval", "exec", "compile", "__import__"}
CALLS_ALLOWED = {
    "runtime.workers": "asks workers that lack this package for its version; a constant text",
    "extras": "imports optional packages that this package names",
}


def modules():
    return sorted(PACKAGE.rglob("*.py"))


def name_of(path):
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts)


def test_no_module_reads_objects_from_data():
    found = {}
    for path in modules():
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []
            for name in names:
                if name.partition(".")[0] in FORBIDDEN:
                    found.setdefault(name_of(path), set()).add(name)
    assert set(found) == set(ALLOWED)
    for name in ("stages.compare", "user_functions"):
        assert not {"load", "loads", "Unpickler"} & attributes_of(name, "pickle")
    assert attributes_of("user_functions", "cloudpickle") == {"dumps"}


def attributes_of(module, name):
    tree = ast.parse((PACKAGE / f"{module.replace('.', '/')}.py").read_text())
    return {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == name
    }


def test_no_module_runs_text_and_no_option_lets_numpy_or_pandas_unpickle():
    named = set()
    for path in modules():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Name) and node.id in CALLS:
                named.add(name_of(path))
            if isinstance(node, ast.keyword):
                assert node.arg not in ("allow_pickle", "object_codec", "shell"), path
            if isinstance(node, ast.Attribute):
                assert node.attr not in ("read_pickle", "to_pickle", "system", "popen", "literal_eval"), path
    assert named == set(CALLS_ALLOWED)


def test_zarr_is_never_let_choose_the_format():
    opened = 0
    for path in modules():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and re.fullmatch(r"zarr\.\w+", ast.unparse(node.func)):
                opened += 1
                given = {keyword.arg for keyword in node.keywords}
                assert "zarr_format" in given, f"{path.name}:{node.lineno}"
    assert opened >= 5


# -- who listens -------------------------------------------------------------------------------------------------------


def listening(process):
    everyone = [process, *process.children(recursive=True)]
    return {
        (connection.laddr.ip, connection.laddr.port)
        for one in everyone
        for connection in one.net_connections("tcp")
        if connection.status == psutil.CONN_LISTEN
    }


@pytest.mark.parametrize("processes", [None, 2], ids=["threads", "processes"])
def test_everything_listens_on_loopback(processes):
    own = psutil.Process()
    before = listening(own)
    client = embedded_client(1, None, processes=processes)
    try:
        found = listening(own) - before
        assert len(found) >= (1 if processes is None else 2 + 3 * processes)
        assert {address for address, _ in found} == {"127.0.0.1"}
    finally:
        client.close()
        client.cluster.close()


def test_the_dashboard_alone_is_let_out_by_its_option():
    own = psutil.Process()
    before = listening(own)
    client = embedded_client(1, "0.0.0.0:0", processes=1)
    try:
        found = listening(own) - before
        outside = {port for address, port in found if not address.startswith("127.")}
        assert len(outside) == 1
        assert client.dashboard_link.rpartition(":")[2].split("/")[0] == str(*outside)
    finally:
        client.close()
        client.cluster.close()
