"""Calibration: figures by hand, killed and resumed, more images, options and mistakes on the command line."""

import json
import math

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import fastdiff_dask as fd
from fastdiff_dask.evaluation.calibration import Calibration
from fastdiff_dask.images.edited_copies import KINDS, PLAIN_KINDS
from fastdiff_dask.kernels.similarity import CorrelationLimit, SquaredErrorLimit, similar_pairs
from fastdiff_dask.kernels.transforms import available_transforms
from fastdiff_dask.storage.derived.calibrations import CalibrationFiles
from fastdiff_dask.tasks.copies import make_copies as making
from fastdiff_dask.tasks.copies.measure_copies import THRESHOLDS
from fastdiff_dask.testing import make_edited_copy, simulate_photo, write_edited_copies

SOME = ("recompressed", "brighter")


@pytest.fixture
def db(tmp_path, simulated):
    with fd.FastDifPy(tmp_path / "photos", store=tmp_path / "store", block_size=5, verbose=False) as db:
        db.index_the_dirs()
        db.first_loop_iteration()
        yield db


def test_figures_are_those_of_comparing_all_with_all(db):
    figures = db.calibrate(6, SOME)
    store = db.store
    frame = store.read_images(["image", "content_hash"])
    chosen = sorted(frame.sort_values("content_hash").image[:6])
    files = CalibrationFiles(store, SOME, np.array(chosen))
    thumbnails = store.arrays.thumbnail_rows(frame.image.to_numpy())
    transforms = available_transforms(64, 64)
    wrong, nearest, pairs = np.zeros((2, 2, len(THRESHOLDS[0])), int), [math.inf] * 2, 0
    for place, image in enumerate(chosen):
        own = thumbnails[frame.image.tolist().index(image)][None]
        alike = distances(own, thumbnails, transforms)
        other = ~((alike[0] <= 200) | (alike[1] <= 0.1))
        for kind, copy in enumerate(files.read_copies(image)):
            apart = distances(copy[None], thumbnails, transforms)
            pairs += int(other.sum())
            row = figures.copies[figures.copies.kind == SOME[kind]].iloc[place]
            for measure, name in enumerate(("mse", "correlation")):
                assert row[name] == apart[measure][frame.image.tolist().index(image)]
                nearest[measure] = min(nearest[measure], *apart[measure][other])
                wrong[kind, measure] += [(apart[measure][other] <= limit).sum() for limit in THRESHOLDS[measure]]
    assert figures.images == 6
    assert (figures.pairs, list(figures.nearest.values())) == (pairs, nearest)
    for measure, name in enumerate(("mse", "correlation")):
        assert figures.wrong[name].to_numpy().tolist() == wrong[:, measure].tolist()
    assert figures.recall["mse"].loc["recompressed", 200.0] == 1.0
    assert figures.recall["mse"].loc["brighter", 50.0] == 0.0
    assert figures.recall["correlation"].loc["brighter", 0.1] == 1.0


def distances(a, b, transforms):
    """Of one image from some others, by each measure."""
    mse = similar_pairs(a, b, limit=SquaredErrorLimit(10**12), transforms=transforms)[:, 2] / 4096
    correlation = similar_pairs(a, b, limit=CorrelationLimit(2.0, 4096), transforms=transforms)[:, 2]
    return mse, correlation.view(np.float64)


def test_a_run_that_was_stopped_goes_on(db, monkeypatch):
    real, made = making._thumbnail, []

    def fail_after_some(picture, kind, seed, settings):
        made.append(seed)
        if len(made) == 11:
            raise RuntimeError("stopped")
        return real(picture, kind, seed, settings)

    monkeypatch.setattr(making, "_thumbnail", fail_after_some)
    with pytest.raises(fd.FastDiffError):
        db.calibrate(8, SOME)
    first = db.calibrate(8, SOME).to_dict()
    total = len(made)
    assert db.calibrate(8, SOME).to_dict() == first
    assert len(made) == total  # nothing is made again
    assert total < 11 + 2 * 8  # nor what was committed before the stop


def test_more_images_are_measured_and_a_changed_one_is_left_out(db, simulated, rng):
    before = db.calibrate(4, SOME)
    for number in range(3):
        noise = Image.fromarray(rng.integers(0, 256, (50, 50, 3), np.uint8))
        noise.save(simulated.originals[0].parent / f"new{number}.png")
    db.index_the_dirs()
    db.first_loop_iteration()
    after = db.calibrate(4, SOME)
    assert after.pairs > before.pairs
    with fd.FastDifPy(simulated.originals[0].parent, store=f"{db.store_url}-other", verbose=False) as fresh:
        fresh.index_the_dirs()
        fresh.first_loop_iteration()
        assert fresh.calibrate(4, SOME).to_dict() == after.to_dict()


def test_a_picture_that_is_gone_is_not_copied(db, simulated):
    for path in simulated.originals[3:]:
        path.unlink()
    figures = db.calibrate(17, SOME)
    assert 0 < figures.images < 17
    assert len(figures.copies) == 2 * figures.images


@pytest.mark.parametrize(
    ("plain", "nearest", "suggested"),
    [
        ([1.0] * 99 + [50.0], 60.0, 1.0),
        ([1.0] * 98 + [123.4] * 2, 200.0, 130.0),
        ([1.0] * 98 + [123.4] * 2, 125.0, 123.4),
        ([1.0] * 98 + [123.4] * 2, 100.0, None),
        ([0.0] * 100, 1.0, 0.0),
        ([], 1.0, None),
    ],
)
def test_the_suggested_threshold(plain, nearest, suggested):
    rows = {"kind": [PLAIN_KINDS[0]] * len(plain) + ["grey"], "mse": [*plain, 9999.0]}
    figures = Calibration(1, 1, pd.DataFrame(rows), {}, {}, {"mse": nearest})
    assert figures.suggested("mse") == suggested


def test_on_the_command_line(run, tmp_path, simulated):
    store = tmp_path / "store"
    assert run("find", tmp_path / "photos", "--store", store)[0] == 0
    arguments = ["calibrate", store, "--sample", 5, "--kinds", "half-size,grey", "--kinds", "crop 5"]
    code, out, _ = run(*arguments, "--json", tmp_path / "figures.json", "--plot", tmp_path / "figures.png")
    assert code == 0
    assert "5 images copied" in out
    assert "finds 99 % of the plain copies" in out
    assert [line.split("  ")[1] for line in out.splitlines() if line.startswith("  crop 5")] == ["crop 5"] * 2
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert list(figures["measures"]["mse"]["recall"]) == ["half size", "grey", "crop 5"]
    with Image.open(tmp_path / "figures.png") as picture:
        assert picture.size == (1400, 700)
    assert json.loads(run(*arguments, "--json", "-")[1]) == figures
    for wrong, message in (
        (["--kinds", "foo"], "there is no kind 'foo' of copies in --kinds"),
        (["--sample", "0"], "--sample 0 cannot be used"),
    ):
        code, _, err = run("calibrate", store, *wrong)
        assert (code, message in err, err.count("\n")) == (2, True, 1)
    assert run("calibrate", tmp_path / "nothing")[0] == 2


@pytest.mark.parametrize("kind", KINDS)
def test_kinds_are_edits_that_a_seed_repeats(kind, rng):
    picture = Image.fromarray(simulate_photo(rng, 90, 60))
    copy = make_edited_copy(picture, kind, 3)
    assert copy.mode == "RGB"
    assert copy.tobytes() == make_edited_copy(picture, kind, 3).tobytes()
    if kind != "recompressed":
        assert (copy.size, copy.tobytes()) != (picture.size, picture.tobytes())


def test_written_copies_are_evaluated(run, tmp_path, simulated):
    truth = write_edited_copies(simulated.originals[:2], tmp_path / "photos" / "edited", kinds=("half size", "sepia"))
    assert run("find", tmp_path / "photos", "--store", tmp_path / "store", "--compare", "correlation")[0] == 0
    _, out, _ = run("evaluate", tmp_path / "store", truth)
    assert "of 4 known pairs found" in out
    assert "half size" in out
