"""Jobs that compare by correlation: the same as two loops, resumed, grown, two-sided, and acted on."""

import json

import numpy as np
import pytest
from PIL import Image
from support.correlation import correlation

import fastdiff_dask as fd

SIZE = {"thumbnail_size_x": 8, "thumbnail_size_y": 8, "verbose": False}


@pytest.fixture
def pixels(rng):
    """Pictures of 8 × 8 pixels, which are their own thumbnails: some equal, brighter, turned, mirrored or plain."""
    pixels = rng.integers(0, 200, (14, 8, 8, 3), dtype=np.uint8)
    pixels[3] = pixels[1]
    pixels[4] = np.rot90(pixels[1]) // 2 + 90
    pixels[5] = np.fliplr(pixels[2]) + 40
    pixels[6] = np.clip(pixels[0].astype(int) + rng.integers(-15, 16, (8, 8, 3)), 0, 255)
    pixels[7], pixels[8], pixels[9] = 77, 77, 200
    pixels[10] = 100 + pixels[11] // 100
    return pixels


def save(folder, pixels, numbers):
    folder.mkdir(exist_ok=True)
    for number in numbers:
        Image.fromarray(pixels[number]).save(folder / f"{number:03d}.png")


def expected(pixels, threshold, rows, columns, **options):
    """Pairs by two loops: the numbers of both, and the value."""
    found = []
    for i in rows:
        for j in columns:
            if rows is columns and j <= i:
                continue
            forms = [np.rot90(pixels[i], turn) for turn in range(4)]
            if options.get("mirror"):
                forms += [np.rot90(np.fliplr(pixels[i]), turn) for turn in range(4)]
            value = min(float(correlation(form[None], pixels[j][None])[0, 0]) for form in forms)
            if value <= threshold:
                found.append((f"{i:03d}.png", f"{j:03d}.png", value))
    return found


def rows_of(pairs):
    return sorted((a[-7:], b[-7:], value) for a, b, value in zip(pairs.a, pairs.b, pairs["value"], strict=True))


@pytest.mark.parametrize("threshold", [0.0, 0.05, 0.7, 1.0])
@pytest.mark.parametrize("options", [{}, {"mirror": True}])
def test_pairs_are_those_of_two_loops(tmp_path, pixels, threshold, options):
    save(tmp_path / "photos", pixels, range(14))
    with fd.FastDifPy(tmp_path / "photos", store=tmp_path / "store", **SIZE) as db:
        db.index_the_dirs()
        db.first_loop_iteration()
        for cut in ({}, {"sub_block": 2, "tile_side": 2}):
            pairs = db.find_pairs(threshold, compare="correlation", **cut, **options)
            numbers = range(14)
            assert rows_of(pairs) == expected(pixels, threshold, numbers, numbers, **options)


def test_two_sides(tmp_path, pixels):
    save(tmp_path / "a", pixels, range(7))
    save(tmp_path / "b", pixels, range(7, 14))
    Image.fromarray(pixels[4]).save(tmp_path / "b" / "020.png")
    with fd.FastDifPy(tmp_path / "a", tmp_path / "b", store=tmp_path / "store", **SIZE) as db:
        db.index_the_dirs()
        db.first_loop_iteration()
        found = rows_of(db.find_pairs(0.9, compare="correlation"))
    more = {**dict(enumerate(pixels)), 20: pixels[4]}
    assert found == expected(more, 0.9, range(7), [*range(7, 14), 20])


def test_a_grown_store_gives_the_file_of_a_fresh_one(run, tmp_path, pixels):
    options = ["--compare", "correlation", "--threshold", 0.8, "--thumbnail-size", "8x8", "--no-verify"]
    files = []
    for store, steps in (("fresh", [range(14)]), ("grown", [range(5), range(5, 9), range(9, 14)])):
        for path in (tmp_path / "photos").glob("*"):
            path.unlink()
        for numbers in steps:
            save(tmp_path / "photos", pixels, numbers)
            target = tmp_path / f"{store}.json"
            code, *_ = run("find", tmp_path / "photos", "--store", tmp_path / store, "--json", target, *options)
            assert code == 0
        result = json.loads(target.read_text())
        del result["stats"]
        files.append(result)
    assert files[0] == files[1]
    assert files[0]["settings"]["measure"] == "correlation"
    assert any(pair["value"] == 0.0 for pair in files[0]["pairs"])


def test_apply_compares_by_correlation_again(run, tmp_path, simulated):
    brighter = tmp_path / "photos" / "brighter.png"
    with Image.open(simulated.originals[-1]) as picture:
        picture.point(lambda level: min(255, level * 5 // 4)).save(brighter)
    photos, store = tmp_path / "photos", tmp_path / "store"
    assert run("find", photos, "--store", store)[0] == 0
    assert "brighter.png" not in run("apply", store, "--trash")[1]
    code, out, _ = run("find", photos, "--store", store, "--compare", "correlation", "--threshold", 0.05)
    assert (code, "1 similar" in out, "correlation distance" in out) == (0, True, True)
    _, out, _ = run("apply", store, "--trash", "--include", "similar")
    assert "brighter.png" in out
    code, out, err = run("apply", store, "--delete", "--include", "similar", "--yes", "--yes-really")
    assert code == 0, err
    assert brighter.exists() != simulated.originals[-1].exists()
