"""All outputs name the same image to keep, and the same value of a pair."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from support.removals import picture, project, save
from support.verdicts import let_thumbnails_decide

import fastdiff_dask as fd
from fastdiff_dask.actions.decisions import Decisions
from fastdiff_dask.actions.removal_plan import plan_removals
from fastdiff_dask.outputs.json_file import write_json
from fastdiff_dask.results.keep_rules import KeepRules


@pytest.fixture(autouse=True)
def _thumbnails_decide(monkeypatch: pytest.MonkeyPatch) -> None:
    let_thumbnails_decide(monkeypatch)


def pairs_of_clusters(clusters: list[dict]) -> dict[str, str]:
    return {path: cluster["keep"] for cluster in clusters for path in cluster["low_quality"]}


def in_clusters(db: fd.FastDifPy, folder: Path) -> dict[str, str]:
    return pairs_of_clusters([cluster._asdict() for cluster in db.get_duplicates()[0]])


def in_json(db: fd.FastDifPy, folder: Path) -> dict[str, str]:
    write_json(db.result(), str(folder / "result.json"))
    return pairs_of_clusters(json.loads((folder / "result.json").read_text())["clusters"])


def in_plan(db: fd.FastDifPy, folder: Path) -> dict[str, str]:
    return {one.path: one.kept for one in db.plan().chosen}


def in_marked_plan(db: fd.FastDifPy, folder: Path) -> dict[str, str]:
    going = {one.image: "remove" for one in db.plan().chosen}
    plan = plan_removals(db.store, db.result(), KeepRules(), Decisions(going))
    return {one.path: one.kept for one in plan.chosen}


def in_table(db: fd.FastDifPy, folder: Path) -> dict[str, str]:
    db.export(folder / "clusters.parquet", "clusters")
    table = pd.read_parquet(folder / "clusters.parquet")
    assert (table.keep == (table.position == 0)).all()
    kept = table[table.keep].set_index("cluster").path
    others = table[~table.keep]
    return dict(zip(others.path, kept[others.cluster], strict=True))


def in_report(db: fd.FastDifPy, folder: Path) -> dict[str, str]:
    groups = report_data(db, folder)["groups"]
    for group in groups:
        suggested = [image["suggest"] for image in group["images"]]
        assert suggested == ["keep", *["remove"] * (len(suggested) - 1)]
    return {image["p"]: one["images"][0]["p"] for one in groups for image in one["images"][1:]}


def report_data(db: fd.FastDifPy, folder: Path) -> dict:
    db.report(folder / "report.html")
    return json.loads(re.search(r'id="data">(.*?)</script>', (folder / "report.html").read_text())[1])


@pytest.fixture
def db(tmp_path, client):
    """Three similar pictures each, of which pixels, bytes, or the path decide."""
    photos = tmp_path / "photos"
    for name, size in (("z most", 16), ("a", 8), ("b", 8)):
        save(photos / f"{name}.bmp", picture(1, size == 8, size))
    for name, more in (("c", 0), ("y largest", 100), ("d", 50)):
        path = save(photos / f"{name}.bmp", picture(2, more // 50))
        path.write_bytes(path.read_bytes() + bytes(more))
    for name in ("e/q", "e/p", "f"):
        save(photos / f"{name}.bmp", picture(3, len(name)))
    return project(tmp_path, client)


@pytest.mark.parametrize(
    "output", [in_clusters, in_json, in_plan, in_marked_plan, in_table, in_report], ids=lambda one: one.__name__
)
def test_the_image_to_keep(db: fd.FastDifPy, output: Callable[[fd.FastDifPy, Path], dict[str, str]], tmp_path):
    photos = tmp_path / "photos"
    wanted = {"a": "z most", "b": "z most", "c": "y largest", "d": "y largest", "e/q": "e/p", "f": "e/p"}
    assert output(db, tmp_path) == {
        str(photos / f"{path}.bmp"): str(photos / f"{keep}.bmp") for path, keep in wanted.items()
    }


def test_the_value_of_a_pair(db: fd.FastDifPy, tmp_path):
    values = {(row.a, row.b): row.mse for row in db.pairs.itertuples()}
    assert set(values.values()) == {0.0, 3.0, 12.0}
    write_json(db.result(), str(tmp_path / "result.json"))
    assert {(p["a"], p["b"]): p["mse"] for p in json.loads((tmp_path / "result.json").read_text())["pairs"]} == values
    db.export(tmp_path / "pairs.csv")
    assert {(row.a, row.b): row.mse for row in pd.read_csv(tmp_path / "pairs.csv").itertuples()} == values
    for one in db.plan().chosen:
        assert one.value == values[min(one.path, one.kept), max(one.path, one.kept)]
    data = report_data(db, tmp_path)
    assert data["measure"] == "MSE"
    for group in data["groups"]:
        first, *others = group["images"]
        for other in others:
            assert other["value"] == values[min(first["p"], other["p"]), max(first["p"], other["p"])]
