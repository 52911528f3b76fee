"""More similar pairs take more time and no more memory, whatever is made of them."""

import gc
import gzip
import json
import sys
import tracemalloc
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from fastdiff_dask.outputs.export import write_export
from fastdiff_dask.outputs.json_file import write_json
from fastdiff_dask.outputs.page.report import write_report
from fastdiff_dask.outputs.store_state import store_state
from fastdiff_dask.outputs.tables import Tables
from fastdiff_dask.outputs.terminal import print_result
from fastdiff_dask.results.result import Result
from fastdiff_dask.results.stored import stored_result
from fastdiff_dask.storage.store import Store

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
# Images that are all similar to each other: 44,850 and 179,700 pairs.
FEW, MANY = 300, 600


@pytest.fixture(scope="module")
def stores(tmp_path_factory) -> dict[int, str]:
    """Stores of finished comparisons with so many images; pairs are in chunks of 4,096."""
    sys.path.insert(0, str(BENCHMARKS))
    with pytest.MonkeyPatch.context() as patch:
        import clusters

        sys.path.remove(str(BENCHMARKS))
        patch.setattr("fastdiff_dask.storage.pairs._CHUNK", 1 << 12)
        patch.setattr("fastdiff_dask.storage.pairs._FEW", 1 << 10)
        patch.setattr(clusters, "PART", 1 << 12)
        folders = {images: tmp_path_factory.mktemp("pairs") / "store" for images in (FEW, MANY)}
        for images, folder in folders.items():
            clusters.make_store(folder, 1, images)
    return {images: str(folder) for images, folder in folders.items()}


@pytest.fixture(autouse=True)
def small_parts(monkeypatch):
    """All limits divided by 64, so that little data shows how memory grows."""
    monkeypatch.setattr("fastdiff_dask.storage.pairs._CHUNK", 1 << 12)
    monkeypatch.setattr("fastdiff_dask.storage.pairs._FEW", 1 << 10)
    monkeypatch.setattr("fastdiff_dask.results.values._HELD_PAIRS", 1 << 14)
    monkeypatch.setattr("fastdiff_dask.results.groups._PART", 1 << 12)
    monkeypatch.setattr("fastdiff_dask.results.result._LISTED_PAIRS", 1 << 14)
    monkeypatch.setattr("fastdiff_dask.results.result._PART", 1 << 12)
    monkeypatch.setattr(Result.iter_pairs, "__defaults__", (1 << 12,))
    monkeypatch.setattr("fastdiff_dask.outputs.json_file._PART", 1 << 12)
    monkeypatch.setattr("fastdiff_dask.results.verdicts._WAITING", 1 << 11)
    monkeypatch.setattr("fastdiff_dask.results.verdicts._HELD", 1 << 14)


def export(url: str, target: Path) -> int:
    return write_export(Tables.of_store(url), str(target))["pairs"]


USES = {
    "json": lambda url, folder: write_json(stored_result(Store(url)), str(folder / "x.json")),
    "csv": lambda url, folder: export(url, folder / "x.csv"),
    "csv.gz": lambda url, folder: export(url, folder / "x.csv.gz"),
    "exported json": lambda url, folder: export(url, folder / "x.json"),
    "parquet": lambda url, folder: export(url, folder / "x.parquet"),
    "terminal": lambda url, folder: print_result(stored_result(Store(url)), 1.0),
    "clusters": lambda url, folder: stored_result(Store(url)).clusters_by_verdict(),
    "pairs": lambda url, folder: stored_result(Store(url)).pairs,
    "counts": lambda url, folder: stored_result(Store(url)).verdict_counts,
    "one verdict": lambda url, folder: stored_result(Store(url)).with_verdict("not looked at").clusters,
    "report": lambda url, folder: write_report(Store(url), stored_result(Store(url)), str(folder / "x.html")),
    "status": lambda url, folder: store_state(url),
}


@pytest.mark.parametrize("use", USES)
def test_memory_does_not_grow_with_the_pairs(stores, tmp_path, use):
    def peak(images: int) -> int:
        gc.collect()
        tracemalloc.start()
        try:
            USES[use](stores[images], tmp_path)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    for images in (FEW, MANY):  # imports and caches
        USES[use](stores[images], tmp_path)
    few, many = peak(FEW), peak(MANY)
    # 134,850 more pairs, whose numbers alone take 32 bytes each
    assert many - few < 32 * 134_850, (few, many)


def test_pairs_that_are_held_are_used_and_written_in_parts(stores, monkeypatch):
    for limit in ("values._HELD_PAIRS", "result._LISTED_PAIRS"):
        monkeypatch.setattr(f"fastdiff_dask.results.{limit}", 1 << 20)
    result = stored_result(Store(stores[FEW]))
    assert result.groups.stored is None
    assert max(len(chunk.first) for chunk in result.groups.group_pairs()) == 1 << 12
    parts = list(Tables.of_store(stores[FEW]).parts("pairs"))
    assert max(map(len, parts)) == 1 << 12
    ends = [(row.a, row.b) for part in parts for row in part.itertuples()]
    assert ends == sorted(ends)
    assert len(ends) == result.pair_count


def test_a_compressed_file_names_the_table_of_all_pairs(stores, tmp_path):
    result = stored_result(Store(stores[FEW]))
    write_json(result, str(tmp_path / "x.json"))
    write_json(result, str(tmp_path / "x.json.gz"))
    plain = (tmp_path / "x.json").read_bytes()
    assert gzip.decompress((tmp_path / "x.json.gz").read_bytes()) == plain
    assert json.loads(plain)["all_pairs"] == "x.pairs.parquet"
    assert pq.read_metadata(tmp_path / "x.pairs.parquet").num_rows == result.pair_count == FEW * (FEW - 1) // 2
