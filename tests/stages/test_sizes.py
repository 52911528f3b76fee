"""Files and images of other sizes than are asked for leave the results, not the store."""

from pathlib import Path

import pytest
from support.command_line import invoke
from support.removals import SIZE

import fastdiff_dask as fd
from fastdiff_dask.config import IndexSettings, amount_of
from fastdiff_dask.testing import simulate_images


@pytest.fixture
def photos(tmp_path) -> Path:
    """Pictures of three sizes, each twice."""
    for number, size in enumerate([(40, 30), (80, 60), (60, 90)]):
        simulate_images(tmp_path / "photos" / f"{size[0]}", images=1, duplicates=0, size=size, seed=number)
    for path in list((tmp_path / "photos").rglob("*.*")):
        path.with_stem(f"{path.stem}-again").write_bytes(path.read_bytes())
    (tmp_path / "photos" / "40" / "bad.jpg").write_bytes(b"no picture")
    return tmp_path / "photos"


def found(tmp_path, photos, client, **rules) -> tuple[set[str], dict[str, int], int]:
    """Folders of the images in the result, ignored files by rule, and pictures that were read."""
    with fd.FastDifPy(photos, store=tmp_path / "store", client=client, verbose=False, **SIZE, **rules) as db:
        db.index_the_dirs()
        db.first_loop_iteration()
        db.second_loop_iteration(0.0)
        result = db.result()
        files = result.files
        assert files["found"] == 7
        assert len(db.images) == files["found"] - sum(files["ignored"].values())
        return {Path(path).parent.name for path in result.images.index}, files["ignored"], db.images_read


@pytest.mark.parametrize(
    ("rules", "left", "out"),
    [
        ({"min_pixels": 1201}, {"80", "60"}, 2),
        ({"min_pixels": "0.0012MP"}, {"40", "80", "60"}, 0),
        ({"max_pixels": 4800}, {"40", "80"}, 2),
        ({"min_width": 60}, {"80", "60"}, 2),
        ({"min_height": 61, "min_width": 60}, {"60"}, 4),
        ({"min_width": 9000}, set(), 6),
    ],
)
def test_images_of_another_resolution_leave_the_results_and_come_back(tmp_path, photos, client, rules, left, out):
    expected = {"resolution out of range": out} if out else {}
    assert found(tmp_path, photos, client, **rules) == (left, expected, 7)
    # nothing is read again by the same rules, by none, or by others
    assert found(tmp_path, photos, client, **rules) == (left, expected, 0)
    assert found(tmp_path, photos, client) == ({"40", "80", "60"}, {}, 0)
    assert found(tmp_path, photos, client, **rules) == (left, expected, 0)
    # a new picture is read, and left out then
    (photos / "40" / "more.png").write_bytes(next((photos / "40").glob("*again*")).read_bytes())
    (photos / "40" / "bad.jpg").unlink()
    again = found(tmp_path, photos, client, **rules)
    assert again == (left, {"resolution out of range": out + ("40" not in left)} if out else {}, 1)


def test_files_of_another_size_are_not_read(tmp_path, photos, client):
    sizes = sorted(
        {path.stat().st_size: path.parent.name for path in photos.rglob("*.*") if path.name != "bad.jpg"}.items()
    )
    least, most = sizes[1][0], sizes[2][0] - 1
    folders, ignored, read = found(tmp_path, photos, client, min_size=least, max_size=most)
    assert folders == {sizes[1][1]}
    assert ignored == {"file size out of range": 5}
    assert read == 2
    assert found(tmp_path, photos, client, min_size=least)[1:] == ({"file size out of range": 3}, 2)
    assert found(tmp_path, photos, client)[1:] == ({}, 3)


def test_vanished_and_changed_images_are_counted_as_without_the_rules(tmp_path, photos, client):
    def index(**rules) -> tuple[int, int, int, int]:
        with fd.FastDifPy(photos, store=tmp_path / "store", client=client, verbose=False, **SIZE, **rules) as db:
            counts = db.index_the_dirs()
            db.first_loop_iteration()
            return counts.new, counts.changed, counts.unchanged, counts.vanished

    assert index() == (7, 0, 0, 0)
    assert index(min_width=60) == (0, 0, 5, 0)
    next((photos / "80").iterdir()).unlink()
    assert index(min_width=60) == (0, 0, 4, 1)
    assert index() == (0, 0, 6, 0)


def test_on_the_command_line_and_in_a_file_of_settings(tmp_path, photos):
    store = ("--store", tmp_path / "store", "--thumbnail-size", "8x8")
    code, said = invoke("find", photos, *store, "--min-pixels", "0.002 MP", "--save-config", tmp_path / "s.toml")
    assert code == 0
    assert "2 images more left out by the resolution" in said
    code, said = invoke("find", "--config", tmp_path / "s.toml", *store)
    assert code == 0
    assert "2 resolution out of range" in said
    code, said = invoke("find", photos, *store, "--min-size", "1TB")
    assert code == 0
    assert "7 file size out of range" in said


@pytest.mark.parametrize(
    ("rules", "said"),
    [
        ({"min_size": "12 apples"}, "min_size='12 apples' cannot be used; use a number, as 5000, 100KB"),
        ({"min_size": -1}, "min_size=-1 cannot be used"),
        ({"max_pixels": True}, "max_pixels=True cannot be used"),
        ({"min_size": "1KiB", "max_size": "1KB"}, "min_size=1024 is more than max_size=1000"),
        ({"min_width": 0}, "min_width=0 cannot be used"),
    ],
)
def test_a_size_that_cannot_be_used_is_refused(tmp_path, photos, rules, said):
    with pytest.raises(fd.UsageError, match=said):
        fd.FastDifPy(photos, store=tmp_path / "store", **rules)


def test_amounts_in_words():
    given = ["0", "7 b", "1k", "1Ki", "2.5 MB", "3gib", " 1 TB ", "12mp", "5px", 9, None]
    assert [amount_of("x", one) for one in given] == [
        *(0, 7, 1000, 1024, 2_500_000, 3 * 1024**3, 10**12, 12_000_000, 5, 9, None)
    ]
    assert IndexSettings(min_size="1KB").has_size(1000)
    assert not IndexSettings(min_size="1KB").has_size(999)
