"""Plots of pairs: which ones, what is on them, and that nothing else is touched."""

import re
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from distributed import LocalCluster
from PIL import Image

import fastdiff_dask as fd
from fastdiff_dask.outputs import plots
from fastdiff_dask.testing import simulate_images

pytest.importorskip("matplotlib", reason="matplotlib is not installed")


@pytest.fixture
def drawn(monkeypatch):
    """The texts of each figure that is drawn, and its images."""
    from matplotlib.figure import Figure

    seen = []
    original = Figure.savefig

    def savefig(self, *arguments, **options):
        texts = [text.get_text() for text in self.texts]
        titles = [axes.get_title() for axes in self.axes]
        images = [image.get_array() for axes in self.axes for image in axes.get_images()]
        seen.append((texts, titles, images))
        return original(self, *arguments, **options)

    monkeypatch.setattr(Figure, "savefig", savefig)
    return seen


def compared(folder: Path, client, **options) -> fd.FastDifPy:
    db = fd.FastDifPy(folder / "photos", store=folder / "store", client=client, verbose=False)
    db.index_the_dirs()
    db.first_loop_iteration()
    db.second_loop_iteration(make_diff_plots=True, **options)
    return db


def test_a_picture_of_each_pair(tmp_path, simulated, client, drawn):
    db = compared(tmp_path, client, diff_location=tmp_path / "plots")
    pairs = db.pairs.sort_values("mse")
    files = sorted((tmp_path / "plots").iterdir())
    assert len(files) == len(pairs) == len(drawn) == 5
    # by name, the best come first
    assert [re.fullmatch(r"mse-(\d{6}\.\d{4})_[0-9a-f]{16}\.png", path.name)[1] for path in files] == [
        f"{mse:011.4f}" for mse in pairs.mse
    ]
    for path in files:
        with Image.open(path) as picture:
            assert picture.format == "PNG"
            assert picture.width > 1000
    # names are folded where they are too long for a line
    by_names = [("".join(texts[1].split("\n")), "".join(texts[2].split("\n")), texts, *rest) for texts, *rest in drawn]
    thumbnails = db.thumbnails.compute()
    metadata = db.images.compute().set_index("path")
    for row in pairs.itertuples():
        names = tuple(Path(path).name for path in (row.a, row.b))
        ((_, _, texts, titles, images),) = [one for one in by_names if names[0] in one[0] and names[1] in one[1]]
        turned = f", a turned by {row.rotation}°" if row.rotation else ""
        assert texts[0] == f"difference (MSE) {row.mse:.2f}{turned}"
        for text, name in zip(texts[1:3], names, strict=True):
            assert f"{metadata.width[name]} × {metadata.height[name]} pixels, " in text
        assert titles[:3] == ["a", "b", "difference of the thumbnails"]
        # the map has the MSE as its mean, and the images are in their shapes
        assert images[2].mean() == row.mse
        a, b = (thumbnails[metadata.index.get_loc(name)].astype(int) for name in names)
        assert (images[2] == ((np.rot90(a, row.rotation // 90) - b) ** 2).sum(axis=2)).all()
        shape = (metadata.height[names[0]], metadata.width[names[0]])
        assert images[0].shape[:2] == (shape[::-1] if row.rotation % 180 else shape)
    # once more: they are there already
    before = {path: path.stat().st_mtime_ns for path in files}
    db.second_loop_iteration(make_diff_plots=True, diff_location=tmp_path / "plots")
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "plots").iterdir()} == before
    files[0].unlink()
    db.second_loop_iteration(make_diff_plots=True, diff_location=tmp_path / "plots")
    assert len(drawn) == 6


def test_at_most_so_many_the_best_first(tmp_path, simulated, client):
    db = compared(tmp_path, client, diff_location=tmp_path / "plots", plot_limit=2)
    best = sorted(db.pairs.mse)[:2]
    assert sorted(path.name[4:15] for path in (tmp_path / "plots").iterdir()) == [f"{mse:011.4f}" for mse in best]
    # none unless asked for
    db.second_loop_iteration(diff_location=tmp_path / "others")
    assert not (tmp_path / "others").exists()
    db.second_loop_iteration(similarity_threshold=best[0], make_diff_plots=True, diff_location=tmp_path / "one")
    assert len(list((tmp_path / "one").iterdir())) == 1
    # beside the store if no folder is named
    db.second_loop_iteration(make_diff_plots=True)
    assert len(list((tmp_path / "store" / "plots").iterdir())) == 5
    assert fd.FastDifPy.from_store(tmp_path / "store").config.state == "second_loop_done"


def test_of_many_equal_pairs_in_parts(tmp_path, client, monkeypatch):
    (tmp_path / "photos").mkdir()
    for number in range(12):
        Image.new("RGB", (8, 8), (number // 6 * 9, 0, 0)).save(tmp_path / "photos" / f"{number:02}.png")
    db = fd.FastDifPy(tmp_path / "photos", store=tmp_path / "store", client=client, verbose=False)
    db.index_the_dirs()
    db.first_loop_iteration()
    db.second_loop_iteration()
    result = db.result()
    monkeypatch.setattr(type(result), "iter_pairs", lambda self, **_: (
        self.numbered_pairs().iloc[start : start + 5] for start in range(0, 66, 5)
    ))  # fmt: skip
    best = plots.best_pairs(result, 20)
    wanted = result.numbered_pairs().sort_values(["mse", "a", "b"]).iloc[:20].reset_index(drop=True)
    assert best.equals(wanted)
    assert len(plots.best_pairs(result, 99)) == 66


def test_hostile_names_and_files_that_are_gone(tmp_path, client, drawn):
    photos = simulate_images(tmp_path / "photos", images=3, duplicates=3)
    names = ["$x^2$ <script>.jpg", "日本 🎉\n\\frac{.jpg", "a" * 200 + ".jpg"]
    for path, name in zip(photos.duplicates, names, strict=True):
        path.rename(path.with_name(name))
    db = fd.FastDifPy(tmp_path / "photos", store=tmp_path / "store", client=client, verbose=False)
    db.index_the_dirs()
    db.first_loop_iteration()
    photos.originals[0].unlink()
    photos.originals[1].write_bytes(b"another one")
    db.second_loop_iteration(make_diff_plots=True, diff_location=tmp_path / "plots")
    assert len(list((tmp_path / "plots").iterdir())) == 3
    texts = ["\n".join(texts) for texts, _, _ in drawn]
    assert sum("$x^2$<script>.jpg" in re.sub(r"\s", "", text) for text in texts) == 1
    assert sum("by its thumbnail: " in text for text in texts) == 2
    assert all(len(line) < 100 for text in texts for line in text.splitlines())


def test_between_two_stores_without_the_pictures(tmp_path, simulated, client, drawn):
    for name in ("a", "b"):
        with fd.FastDifPy(tmp_path / "photos", store=tmp_path / name, client=client) as db:
            db.index_the_dirs()
            db.first_loop_iteration()
    (tmp_path / "photos").rename(tmp_path / "elsewhere")
    with fd.FastDifPy.from_stores(tmp_path / "a", tmp_path / "b", store=tmp_path / "both", client=client) as db:
        db.index_the_dirs()
        db.first_loop_iteration()
        db.second_loop_iteration(make_diff_plots=True, diff_location=tmp_path / "plots", plot_limit=3, mirror=True)
    assert len(drawn) == 3
    assert all("by its thumbnail: " in texts[1] for texts, _, _ in drawn)


def test_folders_that_cannot_be_used(tmp_path, simulated, client, monkeypatch):
    (tmp_path / "file").write_text("")
    db = fd.FastDifPy(tmp_path / "photos", store=tmp_path / "store", client=client, verbose=False)
    with pytest.raises(fd.UsageError, match=r"plots cannot be written to .*file/x: Not a directory; name another"):
        db.second_loop_iteration(make_diff_plots=True, diff_location=tmp_path / "file" / "x")
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(fd.UsageError, match=r"pip install 'fastdiff_dask\[plot\]'"):
        db.second_loop_iteration(make_diff_plots=True, diff_location=tmp_path / "plots")
    remote = fd.FastDifPy(tmp_path / "photos", store="memory://plots/x", client=client)
    with pytest.raises(fd.UsageError, match="name one for the plots by diff_location"):
        remote.second_loop_iteration(make_diff_plots=True)


def test_drawn_by_workers(tmp_path, simulated):
    with (
        LocalCluster(n_workers=2, threads_per_worker=2, dashboard_address="127.0.0.1:0", host="127.0.0.1") as cluster,
        cluster.get_client() as client,
    ):
        compared(tmp_path, client, diff_location=tmp_path / "plots")
    assert len(list((tmp_path / "plots").iterdir())) == 5


def test_threads_draw_one_after_the_other(tmp_path, simulated, client, monkeypatch):
    original, at_once = plots._draw, []

    def draw(*arguments):
        at_once.append(threading.active_count() and plots._drawing.locked())
        original(*arguments)

    monkeypatch.setattr("fastdiff_dask.outputs.plots._draw", draw)
    compared(tmp_path, client, diff_location=tmp_path / "plots")
    assert at_once == [True] * 5


def test_on_the_command_line(tmp_path, simulated):
    command = [sys.executable, "-m", "fastdiff_dask", "find", str(tmp_path / "photos")]
    command += ["--store", str(tmp_path / "store")]
    command += ["--dashboard-address", "127.0.0.1:0", "--diff-plots", str(tmp_path / "plots"), "--plot-limit", "3"]
    subprocess.run(command, check=True, capture_output=True)
    assert len(list((tmp_path / "plots").iterdir())) == 3


def test_another_picture_at_the_same_place_is_drawn_again(tmp_path, simulated, client):
    compared(tmp_path, client, diff_location=tmp_path / "plots")
    before = {path.name for path in (tmp_path / "plots").iterdir()}
    (copy, original) = next(iter(simulated.duplicates.items()))
    for path in (copy, original):
        Image.new("RGB", (40, 30), (200, 10, 10)).save(path)
    db = compared(tmp_path, client, diff_location=tmp_path / "plots")
    after = {path.name for path in (tmp_path / "plots").iterdir()}
    assert len(after - before) == 1
    # another measure of the same value is another picture
    db.second_loop_iteration(0.0, compare="hamming", make_diff_plots=True, diff_location=tmp_path / "plots")
    hamming = {path.name for path in (tmp_path / "plots").iterdir()} - after
    db.second_loop_iteration(0.0, compare="ssim", make_diff_plots=True, diff_location=tmp_path / "plots")
    assert {path.name for path in (tmp_path / "plots").iterdir()} - after - hamming
