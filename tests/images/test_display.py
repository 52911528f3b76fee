"""Display in notebooks: bars of progress, the project, clusters and pairs."""

import base64
import io
import os
import re
import shutil

import nbformat
import numpy as np
import pytest
from nbclient import NotebookClient
from PIL import Image

import fastdiff_dask as fd
from fastdiff_dask.images.display import read_shown
from fastdiff_dask.images.preview import as_heat, data_url, fitted
from fastdiff_dask.outputs.progress_bar import in_notebook
from fastdiff_dask.testing import simulate_images

HOSTILE = "<script>alert(1)<b> & \"quotes\" 'x'.png"


def pictures_in(html):
    found = re.findall(r'src="data:image/(?:png|jpeg);base64,([^"]+)"', html)
    return [Image.open(io.BytesIO(base64.b64decode(one))) for one in found]


@pytest.fixture
def photos(tmp_path):
    """Three similar pictures, one of them turned, and one on its own."""
    folder = tmp_path / "photos"
    folder.mkdir()
    rng = np.random.default_rng(5)
    base = Image.fromarray(rng.integers(0, 255, (6, 9, 3), np.uint8)).resize((900, 600), Image.Resampling.BICUBIC)
    base.save(folder / "large.png")
    base.resize((300, 200)).save(folder / HOSTILE)
    base.transpose(Image.Transpose.ROTATE_90).save(folder / "turned.png")
    Image.fromarray(rng.integers(0, 255, (40, 40, 3), np.uint8)).save(folder / "other.png")
    return folder


@pytest.fixture
def db(photos, tmp_path):
    with fd.FastDifPy(photos, store=tmp_path / "store", dashboard_address="127.0.0.1:0") as db:
        yield db


def all_stages(db):
    db.index_the_dirs()
    db.first_loop_iteration()
    db.second_loop_iteration()


def test_a_pair_of_images_that_came_later(db, photos):
    """They are in a block of their own, and the one before it is not full."""
    all_stages(db)
    shutil.copy(photos / "turned.png", photos / "later.png")
    Image.open(photos / "large.png").resize((200, 150)).save(photos / "latest.png")
    all_stages(db)
    db.verify()
    assert {"same file", "same picture"} <= set(db.pairs.verdict)
    for row in db.pairs.itertuples():
        pair = db.pair(row.a, row.b)
        assert (pair.mse, pair.rotation, pair.verdict) == (row.mse, row.rotation, row.verdict)


def test_the_project_tells_its_stages(db, photos, tmp_path):
    assert "FastDifPy: init" in db._repr_html_()
    assert db._repr_html_().count("not begun") == 4
    Image.new("RGB", (9, 9)).save(photos / "broken.png")
    (photos / "broken.png").write_bytes((photos / "broken.png").read_bytes()[:40])
    db.index_the_dirs()
    assert "5 images" in db._repr_html_()
    assert "0 of 5 images read" in db._repr_html_()
    assert db._repr_html_().count("not begun") == 2
    db.first_loop_iteration()
    assert "5 of 5 images read, 1 of them errors" in db._repr_html_()
    assert db.config.fl_errors == 1
    db.second_loop_iteration(similarity_threshold=150.0)
    html = db._repr_html_()
    assert "second_loop_done" in html
    assert "no pair left" in html
    assert html.count('value="1.0000"') == 3
    assert "150.0 (default: none)" in html
    looked = db.verify()
    assert f"{looked} pairs looked at" in db._repr_html_()
    assert db._repr_html_().count('value="1.0000"') == 4
    assert str(tmp_path / "store") in html


def test_a_project_of_two_sides(photos, tmp_path):
    other = tmp_path / "other"
    simulate_images(other, images=3, duplicates=0)
    with fd.FastDifPy(photos, other, store=tmp_path / "store", dashboard_address="127.0.0.1:0") as db:
        db.index_the_dirs()
        html = db._repr_html_()
    assert "4 images and 3 to compare with" in html
    assert str(other) in html


def test_a_cluster_is_a_contact_sheet(db, photos):
    all_stages(db)
    ((cluster,), low_quality) = db.get_duplicates()
    html = cluster._repr_html_()
    assert cluster.keep == str(photos / "large.png")
    assert "3 similar images: 1 to keep, 2 could be removed" in html
    assert html.index("large.png") < html.index("turned.png")
    assert html.count(">keep<") == 1
    assert html.count(">could be removed<") == 2
    assert html.index(">keep<") < html.index(">could be removed<")
    assert "900 × 600 pixels" in html
    assert "300 × 200 pixels" in html
    assert "width:min(100%,210.0px);height:auto;aspect-ratio:1.5000" in html
    assert len(pictures_in(html)) == 3
    # names are text
    assert "<script" not in html
    assert "&lt;script&gt;" in html
    # it is still what it was
    keep, others, sides = cluster
    assert (keep, sorted(others), sides) == (str(photos / "large.png"), low_quality, ())


def test_a_cluster_whose_files_went_says_so(photos, tmp_path):
    Image.new("RGB", (9, 9)).save(photos / "broken.png")
    (photos / "broken.png").write_bytes((photos / "broken.png").read_bytes()[:40])
    away = [str(tmp_path / "away.png"), "s3://bucket/key.png", str(photos / "broken.png"), "a\0b", str(tmp_path)]
    html = fd.Cluster(str(photos / "large.png"), away)._repr_html_()
    assert "No such file or directory" in html
    assert "not a file of this machine" in html
    assert len(pictures_in(html)) == 1
    assert read_shown(str(photos / "broken.png")).error
    assert read_shown(str(tmp_path)).error


def test_a_large_cluster_is_cut(photos):
    html = fd.Cluster(str(photos / "large.png"), [str(photos / "other.png")] * 40)._repr_html_()
    assert "and 17 more" in html
    assert len(pictures_in(html)) == 24


@pytest.mark.skipif(os.name != "posix", reason="names of any bytes")
def test_names_that_are_no_text(photos):
    name = os.fsdecode(os.fsencode(str(photos)) + b"/\xff\n.png")
    shutil.copy(photos / "large.png", name)
    html = fd.Cluster(name, [])._repr_html_()
    html.encode()
    assert r"\udcff\n.png" in html
    assert len(pictures_in(html)) == 1


def test_a_pair_shows_both_and_where_they_differ(db, photos):
    all_stages(db)
    for row in db.pairs.itertuples():
        pair = db.pair(row.a, row.b)
        assert (pair.mse, pair.rotation, pair.mirrored) == (row.mse, row.rotation, row.mirrored)
        assert pair.difference.mean() == pytest.approx(row.mse, abs=1e-9)
        html = pair._repr_html_()
        assert f"<b>not looked at, difference (MSE) {row.mse:.6g}" in html
        assert (f"turned by {row.rotation}°" in html) == bool(row.rotation)
        assert "<script" not in html
        first, second, heat = pictures_in(html)
        # turned, they look alike
        x, y = (np.asarray(one.convert("RGB").resize((60, 60)), float) for one in (first, second))
        assert np.abs(x - y).mean() < 5
        assert np.array_equal(np.asarray(heat), as_heat(pair.difference))


def test_a_pair_has_the_verdict_of_the_result(db, photos):
    shutil.copy(photos / "large.png", photos / "the same file.png")
    all_stages(db)
    db.verify()
    assert {"same file", "same picture"} <= set(db.pairs.verdict)
    for row in db.pairs.itertuples():
        for pair in (db.pair(row.a, row.b), db.pair(row.b, row.a)):
            assert pair.verdict == row.verdict
            assert f"<b>{row.verdict}, difference (MSE)" in pair._repr_html_()


def test_a_pair_that_is_not_similar(db, photos):
    all_stages(db)
    pair = db.pair(photos / "large.png", photos / "other.png")
    a, b = (db.thumbnails[place].compute().astype(int) for place in (1, 2))  # "<script…", large, other, turned
    turns = [((np.rot90(a, turn) - b) ** 2).sum() / 64**2 for turn in range(4)]
    assert pair.mse == min(turns) > 200
    assert pair.rotation == 90 * int(np.argmin(turns))


def test_a_pair_is_shown_by_thumbnails_when_the_files_are_gone(db, photos):
    all_stages(db)
    (photos / "turned.png").unlink()
    html = db.pair(str(photos / "large.png"), str(photos / "turned.png"))._repr_html_()
    assert "by its thumbnail: " in html
    assert len(pictures_in(html)) == 3


def test_a_pair_of_what_is_no_image(db, photos):
    Image.new("RGB", (9, 9)).save(photos / "broken.png")
    (photos / "broken.png").write_bytes((photos / "broken.png").read_bytes()[:40])
    db.index_the_dirs()
    with pytest.raises(fd.UsageError, match="not read yet"):
        db.pair("x", "y")
    db.first_loop_iteration()
    with pytest.raises(fd.UsageError, match=r"nothing\.png is no image of this store"):
        db.pair("nothing.png", str(photos / "large.png"))
    with pytest.raises(fd.UsageError, match=r"broken\.png could not be read"):
        db.pair(str(photos / "broken.png"), str(photos / "large.png"))


def test_mirrored_pairs_follow_the_settings(tmp_path):
    folder = tmp_path / "photos"
    simulate_images(folder, images=1, duplicates=0)
    (one,) = folder.iterdir()
    with Image.open(one) as image:
        image.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(folder / "zz.png")
    with fd.FastDifPy(folder, store=tmp_path / "store", dashboard_address="127.0.0.1:0") as db:
        all_stages(db)
        assert not db.pair(str(one), str(folder / "zz.png")).mirrored
        db.second_loop_iteration(mirror=True)
        pair = db.pair(str(one), str(folder / "zz.png"))
        assert pair.mirrored
        assert "the first one mirrored" in pair._repr_html_()


def test_pictures():
    assert fitted(10, 4000, 400) == (1, 400)
    pixels = np.arange(4 * 5 * 3, dtype=np.uint8).reshape(4, 5, 3)
    (image,) = pictures_in(f'src="{data_url(pixels, exact=True)}"')
    assert np.array_equal(np.asarray(image), pixels)
    assert as_heat(np.zeros((2, 2), np.int64)).sum() == 0


NOTEBOOK = """
import fastdiff_dask as fd
from fastdiff_dask.testing import simulate_images
simulate_images("photos", images=30, duplicates=5)
db = fd.FastDifPy("photos", store="store", dashboard_address="127.0.0.1:0"{quiet})
db.index_the_dirs()
db.first_loop_iteration()
db.second_loop_iteration()
"""


@pytest.mark.parametrize("quiet", [False, True])
def test_progress_in_a_notebook_is_html(tmp_path, quiet):
    source = NOTEBOOK.format(quiet=", verbose=False" if quiet else "")
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source), nbformat.v4.new_code_cell("db")])
    NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(tmp_path)}}).execute()
    first, second = notebook.cells
    assert not [output for output in first.outputs if output.output_type == "stream"]
    html = [output.data.get("text/html", "") for output in first.outputs if output.output_type == "display_data"]
    bars = [one for one in html if "<progress" in one]
    assert len(bars) == (0 if quiet else 3)
    if not quiet:
        # one bar a stage, and the last state of each stays
        assert ["index" in bars[0], "thumbnail" in bars[1], "compare" in bars[2]] == [True] * 3
        assert "35/35 images" in bars[1]
        assert 'value="35" max="35"' in bars[1]
        assert "595/595 pairs" in bars[2]
        assert any('href="http://127.0.0.1:' in one and "Dashboard" in one for one in html)
    assert "second_loop_done" in second.outputs[-1].data["text/html"]
    assert not in_notebook()


def test_rows_of_images_in_any_order(db, photos):
    """Of a store, by their numbers: each block is read once, however often it is named."""
    db.index_the_dirs()
    whole = db.store.read_images(["image", "path"])
    numbers = np.array([3, 0, 2, 0])
    rows = db.store.image_rows(numbers, ["image", "path"])
    assert rows.image.tolist() == numbers.tolist()
    assert rows.path.tolist() == [whole.path[number] for number in numbers]
    assert rows.index.tolist() == [0, 1, 2, 3]
    nothing = db.store.image_rows(numbers[:0], ["image", "path"])
    assert (len(nothing), list(nothing.columns)) == (0, ["image", "path"])
