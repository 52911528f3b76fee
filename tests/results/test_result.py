"""Contents of a result: pairs in full and in short, clusters, names as the user gave them, and the JSON file."""

import json
import math
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.edited_stores import save_photo
from support.pictures import save
from support.results import find, rows_of

import fastdiff_dask as fd
from fastdiff_dask.config import CompareSettings
from fastdiff_dask.images.edited_copies import make_edited_copy
from fastdiff_dask.outputs.json_file import write_json
from fastdiff_dask.results.collect import collect_errors, collect_result
from fastdiff_dask.stages.compare import compare_tiles, plan_comparison
from fastdiff_dask.stages.listing.roots import resolve_roots
from fastdiff_dask.storage.comparisons import Comparison
from fastdiff_dask.storage.pending import choose_comparison
from fastdiff_dask.storage.store import Store


def named(folder: Path, *names: str) -> list[str]:
    return [str(folder / f"{name}.png") for name in names]


def test_pairs_are_sorted_and_the_first_of_two_is_turned(tmp_path, client, turned):
    result = find(tmp_path, client, similarity_threshold=4.0, mirror=True)
    a, bx, c, e, m, y, z = named(turned, "a", "b/x", "c", "e", "m", "y", "z")
    assert list(result.pairs.columns) == ["a", "b", "mse", "rotation", "mirrored", "verdict"]
    speck = [(a, other, 16**2 / 64, 0, False) for other in (bx, e, y)]
    blank = [(bx, e, 0.0, 0, False), (bx, y, 0.0, 0, False), (e, y, 0.0, 0, False)]
    # c is m turned by 90°, so c turned by 270° is m; z is m mirrored
    others = [(c, m, 0.0, 270, False), (c, z, 0.0, 90, True), (m, z, 0.0, 0, True)]
    assert rows_of(result.pairs) == sorted([*speck, *blank, *others])
    assert result.pair_count == 9
    assert result.pairs_complete
    assert result.pixels == 64
    assert list(result.images.index) == [a, bx, c, e, m, y, z]
    described = result.images.loc[m].to_dict()
    assert {name: described[name] for name in ("width", "height", "size", "image", "side")} == {
        "width": 8,
        "height": 8,
        "size": Path(m).stat().st_size,
        "image": 3,
        "side": "a",
    }


def test_a_short_form_covers_all_and_connects_the_same(tmp_path, client, turned, monkeypatch):
    full = find(tmp_path, client, similarity_threshold=4.0)
    monkeypatch.setattr("fastdiff_dask.results.result._LISTED_PAIRS", full.pair_count)
    assert find(tmp_path, client, similarity_threshold=4.0).pairs.equals(full.pairs)
    monkeypatch.setattr("fastdiff_dask.results.result._LISTED_PAIRS", full.pair_count - 1)
    short = find(tmp_path, client, similarity_threshold=4.0)
    assert (short.pair_count, short.pairs_complete) == (full.pair_count, False) == (7, False)
    a, bx, e, y = named(turned, "a", "b/x", "e", "y")
    c, m = named(turned, "c", "m")
    pairs = [(a, bx, 4.0, 0), (bx, e, 0.0, 0), (bx, y, 0.0, 0), (c, m, 0.0, 270)]
    assert rows_of(short.pairs.drop(columns="mirrored")) == pairs
    assert short.clusters == full.clusters
    assert short.low_quality == full.low_quality
    whole = [row for part in short.iter_pairs(2) for row in rows_of(part)]
    assert sorted(whole) == rows_of(full.pairs)


@pytest.mark.parametrize("at_once", [1, 2, 3, 100])
def test_pairs_come_a_few_at_a_time(tmp_path, client, turned, at_once):
    result = find(tmp_path, client, similarity_threshold=4.0)
    parts = list(result.iter_pairs(at_once))
    assert max(map(len, parts)) <= at_once
    assert all(part.equals(part.sort_values(["a", "b"], ignore_index=True)) for part in parts)
    assert sorted(row for part in parts for row in rows_of(part)) == rows_of(result.pairs)
    assert list(parts[0].columns) == list(result.pairs.columns)


def test_what_is_similar_to_one_image(tmp_path, client, turned):
    result = find(tmp_path, client, similarity_threshold=4.0)
    for path in result.images.index:
        for others in (list(result.images.index), named(turned, "c", "y", "y"), []):
            expected = [row for row in rows_of(result.pairs) if path in row[:2] and {*row[:2]} - {path} <= {*others}]
            assert rows_of(result.similar_to(path, others)) == expected


def test_the_largest_image_is_kept_then_the_largest_file_then_the_first_name(tmp_path, client, rng):
    pixels = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
    folder = tmp_path / "photos"
    for name in ("b", "d", "c"):
        save(folder / f"{name}.png", pixels)
    Image.fromarray(pixels).save(folder / "e.tiff")  # as many pixels, a larger file
    save(folder / "z.png", np.kron(pixels, np.ones((2, 2, 1), np.uint8)))  # blocks reduce to the same thumbnail, nearly
    result = find(tmp_path, client, similarity_threshold=8000.0)
    (found,) = result.clusters
    b, c, d, z = named(folder, "b", "c", "d", "z")
    sizes = {path.stat().st_size for path in folder.glob("[bcd].png")}
    assert len(sizes) == 1
    assert (folder / "e.tiff").stat().st_size > max(sizes)
    assert (found.keep, found.low_quality) == (z, [str(folder / "e.tiff"), b, c, d])
    assert result.low_quality == sorted(found.low_quality)


def test_of_two_sides_a_is_the_first_side_whatever_its_name(tmp_path, client, rng):
    pixels = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
    blank = np.full((8, 8, 3), 7, np.uint8)
    for name, image in {"z/1": pixels, "z/2": np.rot90(pixels), "z/3": blank, "z/4": blank}.items():
        save(tmp_path / f"{name}.png", image)
    for name, image in {"b/1": np.rot90(pixels, 2), "b/2": np.rot90(pixels, 2), "b/3": 255 - pixels}.items():
        save(tmp_path / f"{name}.png", image)
    result = find(tmp_path, client, tmp_path / "z", tmp_path / "b", similarity_threshold=0)
    one, two = named(tmp_path / "z", "1", "2")
    b1, b2 = named(tmp_path / "b", "1", "2")
    assert rows_of(result.pairs) == [
        (one, b1, 0.0, 180, False), (one, b2, 0.0, 180, False), (two, b1, 0.0, 90, False), (two, b2, 0.0, 90, False),
    ]  # fmt: skip
    (found,) = result.clusters  # the blank pages are both on one side
    assert {found.keep, *found.low_quality} == {one, two, b1, b2}
    assert result.stats["pairs_compared"] == 12
    assert result.settings["directories_b"] == [str(tmp_path / "b")]


def test_equal_images_of_one_side_whose_partner_vanished_are_in_no_pair(tmp_path, client, rng):
    pixels = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
    for name in ("a/1", "a/2", "b/1"):
        save(tmp_path / f"{name}.png", pixels)
    assert find(tmp_path, client, tmp_path / "a", tmp_path / "b").pair_count == 2
    (tmp_path / "b" / "1.png").unlink()
    result = find(tmp_path, client, tmp_path / "a", tmp_path / "b")
    assert (result.pair_count, result.clusters, len(result.images)) == (0, [], 0)


def test_two_sides_in_short(tmp_path, client, rng, monkeypatch):
    pixels = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
    for side in ("a", "b"):
        for number in range(4):
            save(tmp_path / side / f"{number}.png", np.rot90(pixels, number))
    monkeypatch.setattr("fastdiff_dask.results.result._LISTED_PAIRS", 15)
    result = find(tmp_path, client, tmp_path / "a", tmp_path / "b", similarity_threshold=0)
    assert (result.pair_count, result.pairs_complete) == (16, False)
    shown = [(Path(a).stem, Path(b).stem, turn) for a, b, _, turn, _ in rows_of(result.pairs)]
    assert shown == [("0", str(n), 90 * n) for n in range(4)] + [(str(n), "0", 360 - 90 * n) for n in range(1, 4)]
    assert len([row for part in result.iter_pairs() for row in rows_of(part)]) == 16
    assert len(result.low_quality) == 7


def test_less_is_collected_from_more(tmp_path, client, turned):
    find(tmp_path, client, similarity_threshold=190_000.0)
    store, roots = Store(str(tmp_path / "store")), resolve_roots({"a": [str(turned)], "b": []})
    (comparison,) = Comparison.all_in(store)
    everything = collect_result(store, roots, comparison, 190_000.0)
    assert everything.pair_count == 21
    for threshold in (0.0, 3.999, 4.0, float(everything.pairs.mse.median())):
        less = collect_result(store, roots, comparison, threshold, {"x": 1})
        wanted = everything.pairs[everything.pairs.mse <= threshold].reset_index(drop=True)
        assert less.pairs.equals(wanted)
        assert less.settings["similarity_threshold"] == threshold
        assert less.stats == everything.stats | {"x": 1, "pairs": len(wanted)}


def test_the_stages_below_give_the_same(tmp_path, client, turned):
    wanted = find(tmp_path, client, similarity_threshold=4.0)
    store = Store(str(tmp_path / "store"))
    settings = CompareSettings(similarity_threshold=5.0)
    comparison = choose_comparison(store, settings)
    plan_comparison(comparison, client, tile_side=1, sub_block=2)
    assert sum(tile.pairs for tile in compare_tiles(comparison, client)) == 4 * 3 // 2  # four kinds of thumbnails
    found = collect_result(store, resolve_roots({"a": [str(turned)], "b": []}), comparison, 4.0)
    assert found.pairs.equals(wanted.pairs)
    assert found.clusters == wanted.clusters


def test_vanished_changed_and_unreadable_files_are_in_no_pair(tmp_path, client, turned):
    find(tmp_path, client, similarity_threshold=4.0)
    (turned / "b" / "x.png").unlink()  # stood for the other blank pages
    save(turned / "c.png", np.full((8, 8, 3), 240, np.uint8))  # is one of them now
    (turned / "m.png").write_text("no picture")
    result = find(tmp_path, client, similarity_threshold=4.0)
    a, c, e, y = named(turned, "a", "c", "e", "y")
    assert [row[:3] for row in rows_of(result.pairs)] == [
        (a, c, 4.0), (a, e, 4.0), (a, y, 4.0), (c, e, 0.0), (c, y, 0.0), (e, y, 0.0),
    ]  # fmt: skip
    assert list(result.images.index) == [a, c, e, y]
    assert [Path(path).name for path in result.errors.path] == ["m.png"]
    store = Store(str(tmp_path / "store"))
    assert collect_errors(store, resolve_roots({"a": [str(turned)], "b": []})).equals(result.errors)


def test_no_pairs_at_all(tmp_path, client, rng):
    for number in range(3):
        save(tmp_path / "photos" / f"{number}.png", rng.integers(0, 256, (8, 8, 3), dtype=np.uint8))
    result = find(tmp_path, client, similarity_threshold=1.0)
    assert list(result.pairs.columns) == ["a", "b", "mse", "rotation", "mirrored", "verdict"]
    assert (len(result.pairs), result.pair_count, result.pairs_complete) == (0, 0, True)
    assert (result.clusters, result.low_quality, list(result.iter_pairs())) == ([], [], [])
    write_json(result, str(tmp_path / "out.json"))
    assert json.loads((tmp_path / "out.json").read_text())["pairs"] == []


def test_json_has_the_pairs_clusters_and_errors(tmp_path, client, turned):
    (turned / "bad.png").touch()
    result = find(tmp_path, client, similarity_threshold=4.0)
    out = tmp_path / "out.json"
    write_json(result, str(out))
    content = json.loads(out.read_text())
    assert list(content) == ["format", "settings", "pairs", "clusters", "errors", "files", "links", "stats"]
    assert [tuple(pair.values())[:4] for pair in content["pairs"]] == [row[:4] for row in rows_of(result.pairs)]
    assert [pair["verdict"] for pair in content["pairs"]] == result.pairs.verdict.to_list()
    assert {tuple(pair) for pair in content["pairs"]} == {("a", "b", "mse", "rotation", "verdict")}
    assert [(part["keep"], part["low_quality"]) for part in content["clusters"]] == [one[:2] for one in result.clusters]
    assert [error["path"] for error in content["errors"]] == [str(turned / "bad.png")]
    assert content["stats"]["pairs"] == 7
    assert content["settings"]["measure"] == "mse"
    mirrored = find(tmp_path, client, similarity_threshold=4.0, mirror=True)
    write_json(mirrored, str(out))
    pairs = json.loads(out.read_text())["pairs"]
    assert sum(pair["mirrored"] for pair in pairs) == 2


def test_json_of_two_runs_differs_in_the_figures_alone(tmp_path, client, turned):
    texts = []
    for store, options in (("one", {}), ("two", {"block_size": 2})):
        write_json(
            find(tmp_path, client, similarity_threshold=4.0, store=tmp_path / store, **options), str(tmp_path / "o")
        )
        text = (tmp_path / "o").read_text()
        texts.append(text[: text.index('"stats"')])
    assert texts[0] == texts[1]


def test_every_file_is_in_the_json_once(tmp_path, client, turned):
    for name in ("bad.png", "notes.txt", "tmp/1.png", "tmp/deep/2.png"):
        (turned / name).parent.mkdir(parents=True, exist_ok=True)
        (turned / name).touch()
    other = os.fsdecode(b"\xff.png")
    os.link(turned / "m.png", turned / other)
    (turned / "0.png").symlink_to("m.png")
    texts = []
    for store in ("one", "two"):
        result = find(tmp_path, client, store=tmp_path / store, ignore_names=("tmp",))
        write_json(result, str(tmp_path / "out.json"))
        texts.append((tmp_path / "out.json").read_text().partition('"stats"')[0])
    assert texts[0] == texts[1]
    content = json.loads((tmp_path / "out.json").read_text())
    ignored = {
        "another name of a listed file": 1,
        "ignored name": 2,
        "no image by its extension": 1,
        "symbolic link to a listed file": 1,
    }
    assert content["files"] == {"found": 13, "compared": 7, "errors": 1, "ignored": ignored}
    assert list(content["files"]["ignored"]) == sorted(ignored)
    assert content["files"]["found"] == sum(len(names) for _, _, names in os.walk(turned))
    assert content["files"]["errors"] == len(content["errors"])
    assert content["links"] == [
        {"path": str(turned / name), "same_file_as": str(turned / "m.png")} for name in ("0.png", other)
    ]
    assert result.links.to_dict("records") == content["links"]
    assert not {str(turned / name) for name in ("0.png", other)} & {*result.images.index}

    # another process knows only the store
    (comparison,) = Comparison.all_in(Store(str(tmp_path / "two")))
    again = collect_result(comparison.store, resolve_roots({"a": [str(turned)], "b": []}), comparison, 1.0)
    assert (again.files, again.links.to_dict("records")) == (content["files"], content["links"])


@pytest.mark.parametrize("kind", ["hard", "symbolic"])
def test_a_file_with_names_on_both_sides(kind, tmp_path, client, rng):
    picture = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
    save(tmp_path / "a" / "x.png", picture)
    save(tmp_path / "a" / "near.png", picture ^ 1)
    save(tmp_path / "b" / "y.png", rng.integers(0, 256, (8, 8, 3), dtype=np.uint8))
    a, b = tmp_path / "a" / "x.png", tmp_path / "b" / "x.png"
    if kind == "hard":
        os.link(a, b)
    else:
        b.symlink_to(a)
    result = find(tmp_path, client, tmp_path / "a", tmp_path / "b")
    assert rows_of(result.links) == [(str(b), str(a))]
    # who deletes what a symbolic link leads to loses it, so that is no duplicate; of hard links one is left
    found = {(row.a, row.b) for row in result.pairs.itertuples()}
    assert found == ({(str(a), str(b)), (str(tmp_path / "a" / "near.png"), str(b))} if kind == "hard" else set())


def test_values_of_a_measure_are_floats_by_their_own_name(tmp_path, client, turned):
    def thirds(a, b):
        return np.abs(a.astype(float).mean((1, 2, 3))[:, None] - b.astype(float).mean((1, 2, 3))[None]) / 3 - 1

    with fd.FastDifPy(
        turned, store=tmp_path / "store", client=client, thumbnail_size_x=8, thumbnail_size_y=8, verbose=False
    ) as db:
        db.index_the_dirs()
        db.first_loop_iteration()
        pairs = db.find_pairs(-0.9, compare=thirds)
        result = db.result()
    assert list(pairs.columns) == ["a", "b", "value", "rotation", "mirrored", "verdict"]
    assert result.pixels is None
    assert (pairs.value == -1.0).sum() == 6  # three blank pages, and three forms of a picture
    assert math.isclose(pairs.value.max(), 16 / 192 / 3 - 1)
    write_json(result, str(tmp_path / "out.json"))
    content = json.loads((tmp_path / "out.json").read_text())
    assert [pair["value"] for pair in content["pairs"]] == pairs.value.to_list()
    assert "mse" not in content["pairs"][0]
    with pytest.raises(fd.UsageError, match=r"up to a value of -0\.9, not 0"):
        db.result(0)


def test_edited_copies_leak_from_one_side_to_the_other(tmp_path, client):
    """Of side b: a copy of the same picture, an edited copy, and a stranger."""
    photo = save_photo(tmp_path / "a" / "photo.jpg", 1)
    stranger = save_photo(tmp_path / "b" / "stranger.jpg", 2)
    with Image.open(photo) as picture:
        picture.resize((320, 240)).save(tmp_path / "b" / "small.jpg")
        make_edited_copy(picture, "crop 10").save(tmp_path / "b" / "crop.jpg")
    with fd.FastDifPy(tmp_path / "a", tmp_path / "b", store=tmp_path / "store", client=client, verbose=False) as db:
        db.index_the_dirs()
        db.first_loop_iteration()
        db.second_loop_iteration()
        db.verify()
        assert db.result().copied_verdicts == {"same picture": 1}
        db.find_edited()
        result = db.result()
    assert result.copied_verdicts == {"same picture": 1, "edited copy": 1}
    alone = result.with_verdict("edited copy")
    assert [Path(path).name for path in alone.images.index] == ["photo.jpg", "crop.jpg"]
    assert len(alone.edited) == 1
    assert not len(alone.pairs)
    assert len(result.with_verdict("same-picture, edited-copy").edited) == 1
    assert not len(result.with_verdict("same picture").edited)
    assert stranger.name not in {Path(path).name for path in result.images.index}
