"""Films in a collection: their frames are images, which are found, and never removed."""

import shutil

import pytest
from support.command_line import invoke
from support.films import scene, write_film
from support.removals import removed, write_decisions

import fastdiff_dask as fd
from fastdiff_dask.errors import UsageError

pytest.importorskip("av")
SCENES = [scene(seed) for seed in range(5)]


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    write_film(folder / "film.mp4", SCENES[:3])
    SCENES[1].save(folder / "still.png")
    SCENES[4].save(folder / "other.png")
    SCENES[3].save(folder / "moving.gif", save_all=True, append_images=[SCENES[4]], duration=2000)
    return folder


def found(db):
    """Run all stages; names of the current images, and pairs of names."""
    db.index_the_dirs()
    db.first_loop_iteration()
    db.second_loop_iteration()
    pairs = [[path.rpartition("/")[2] for path in pair] for pair in db.pairs[["a", "b"]].to_numpy()]
    return sorted(db.images.path.compute()), {tuple(sorted(pair)) for pair in pairs}


FRAMES = ["film.mp4#t=0", "film.mp4#t=2", "film.mp4#t=4"]
FILES = ["moving.gif", "other.png", "still.png"]


def test_frames_are_images_of_their_own(photos, tmp_path):
    with fd.FastDifPy(photos, store=tmp_path / "store", frames_every=2) as db:
        paths, pairs = found(db)
        assert paths == sorted([*FRAMES, *FILES, "moving.gif#t=2"])
        assert pairs == {("film.mp4#t=2", "still.png"), ("moving.gif#t=2", "other.png")}
        assert db.errors.empty
    with fd.FastDifPy(photos, store=tmp_path / "store") as db:
        assert found(db) == (FILES, set())
    with fd.FastDifPy(photos, store=tmp_path / "store", frames_every=4) as db:
        assert found(db)[0] == sorted(["film.mp4#t=0", "film.mp4#t=4", *FILES])


def test_nothing_of_them_is_removed_nor_replaces_a_picture(photos, tmp_path):
    shutil.copy(photos / "film.mp4", photos / "twin.mp4")
    SCENES[2].resize((80, 60)).save(photos / "small.png")
    before = {path.name: path.read_bytes() for path in photos.iterdir()}
    with fd.FastDifPy(photos, store=tmp_path / "store", frames_every=2) as db:
        found(db)
        db.verify()
        assert "same file" not in set(db.pairs.verdict)
        plan = db.plan(include_similar=True)
        assert len(plan.chosen) == 0
        reasons = " ".join(one.reason for one in plan.skipped)
        assert "it is a frame of a film, which is never removed" in reasons
        assert "a file of its own" in reasons
        assert db.apply(plan, "move", tmp_path / "out", yes_really=True) == []
    assert {path.name: path.read_bytes() for path in photos.iterdir()} == before


def test_no_marked_picture_is_removed_for_a_frame(photos, tmp_path, client):
    SCENES[1].save(photos / "still.bmp")
    with fd.FastDifPy(photos, store=tmp_path / "store", frames_every=2, client=client, verbose=False) as db:
        found(db)
        both = write_decisions(db, tmp_path / "d.json", {"still.png": "remove", "still.bmp": "remove"})
        plan = db.plan(decisions=both)
        assert removed(plan) == {}
        assert {one.reason for one in plan.skipped} == {
            "no image that is kept is similar to it; raw files and frames of films do not count"
        }
        one = write_decisions(db, tmp_path / "d.json", {"still.png": "remove", "film.mp4#t=2": "keep"})
        assert removed(db.plan(decisions=one)) == {"still.png": "still.bmp"}


def test_known_films_are_not_opened_again(photos, tmp_path, monkeypatch):
    with fd.FastDifPy(photos, store=tmp_path / "store", frames_every=2) as db:
        first = found(db)
    (photos / "moving.gif").unlink()  # of a second at most: its length alone does not tell

    def opened(*_):
        raise AssertionError("a film was opened")

    from fastdiff_dask.stages.listing import film_frames

    monkeypatch.setattr(film_frames, "reader", opened)
    with fd.FastDifPy(photos, store=tmp_path / "store", frames_every=2) as db:
        counts = db.index_the_dirs()
        assert (counts.new, counts.changed, counts.unchanged) == (0, 0, len(first[0]) - 2)


def test_a_changed_film_has_other_frames(photos, tmp_path):
    with fd.FastDifPy(photos, store=tmp_path / "store", frames_every=2) as db:
        found(db)
    write_film(photos / "film.mp4", SCENES[:2])
    with fd.FastDifPy(photos, store=tmp_path / "store", frames_every=2) as db:
        assert found(db)[0] == sorted([*FRAMES[:2], *FILES, "moving.gif#t=2"])


def test_a_broken_film_costs_one_row(photos, tmp_path):
    (photos / "broken.mkv").write_bytes(b"no film" * 50)
    with fd.FastDifPy(photos, store=tmp_path / "store", frames_every=2) as db:
        _, pairs = found(db)
        (error,) = db.errors.itertuples()
        assert error.path.endswith("broken.mkv")
        assert "not a film that can be read" in error.error
        assert len(pairs) == 2


def test_undecodable_names(photos, tmp_path):
    import os

    target = os.fsencode(photos) + b"/f\xff.mp4"
    os.rename(os.fsencode(photos / "film.mp4"), target)  # noqa: PTH104
    for _ in range(2):
        with fd.FastDifPy(photos, store=tmp_path / "store", frames_every=2) as db:
            paths, pairs = found(db)
            assert len(pairs) == 2
            assert sum("#t=" in path for path in paths) == 4


def test_the_option_of_the_command_line(photos, tmp_path):
    store = str(tmp_path / "store")
    code, shown = invoke("find", photos, "--store", store, "--frames-every", "2", "--no-verify")
    assert (code, "film.mp4#t=2" in shown) == (0, True)
    assert "could be removed" not in shown  # frames never are
    assert "film.mp4" not in invoke("find", photos, "--store", store, "--no-verify")[1]
    code, shown = invoke("find", photos, "--store", store, "--frames-every", "0.01")
    assert code
    assert "seconds from 0.04" in shown


def test_seconds_that_cannot_be_used(photos):
    for wrong in (-1, 0.01, "2", True, float("nan")):
        with pytest.raises(UsageError, match="frames_every="):
            fd.FastDifPy(photos, frames_every=wrong)
