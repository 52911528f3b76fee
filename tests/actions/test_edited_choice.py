"""Edited copies that `apply` takes when it is told to, each for the picture that shows all of it."""

import json
import os
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from support.command_line import invoke
from support.edited_pairs import a_photo
from support.edited_stores import edited_store, found, save_photo, truth_of
from support.removals import contents, removed, write_decisions

import fastdiff_dask as fd
from fastdiff_dask.actions.journal import journals
from fastdiff_dask.actions.undo import undo
from fastdiff_dask.cli.actions import apply
from fastdiff_dask.config import EDITED_COPY
from fastdiff_dask.images.edited_copies import make_edited_copy

# Kinds of which nobody could take the copy for the original.
LASTING = (
    "border",
    "letterbox",
    "crop 5",
    "crop 10",
    "crop 20",
    "square crop",
    "turned 3",
    "screenshot",
    "grey",
    "sepia",
)


@pytest.fixture(autouse=True)
def _looks_decide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(fd.FastDifPy.plan.__kwdefaults__, "include_similar", False)
    (option,) = [one for one in apply.params if one.name == "include"]
    monkeypatch.setattr(option, "default", ())


def save(folder: Path, name: str, pixels: np.ndarray, age: int = 0, **options) -> Path:
    path = folder / "photos" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **options)
    os.utime(path, (1_000_000_000 - 3600 * age,) * 2)
    return path


def kept_for(plan) -> dict[str, str]:
    return {Path(one.path).name: Path(one.kept).name for one in plan.chosen if one.verdict == EDITED_COPY}


def reasons(plan) -> dict[str, str]:
    return {Path(one.path).name: one.reason for one in plan.skipped}


def check_chains(plan) -> None:
    assert not {one.path for one in plan.chosen} & {one.kept for one in plan.chosen}
    assert len({one.image for one in plan.chosen}) == len(plan.chosen)


def test_copies_of_every_kind_go_for_their_originals(tmp_path, client):
    with edited_store(tmp_path, client) as db:
        truth = truth_of(tmp_path)
        without, plan = (
            db.plan(prefer=[tmp_path / "photos"]),
            db.plan(prefer=[tmp_path / "photos"], include_edited=True),
        )
        by_rules = db.plan(include_edited=True)
    assert not kept_for(without)
    assert without.only_edited == len(kept_for(plan)) > 30
    assert plan.only_edited == 0
    going = removed(plan)
    assert all(truth[copy][0] == original for copy, original in going.items())
    assert set(going) >= {copy for copy, (_, kind) in truth.items() if kind in LASTING}
    check_chains(plan)
    # whatever the rules prefer, nothing that shows less is kept
    check_chains(by_rules)
    kinds = {copy: kind for copy, (_, kind) in truth.items()}
    assert kept_for(by_rules)
    assert not {kinds.get(kept) for kept in kept_for(by_rules).values()} & set(LASTING)


def test_the_command_takes_them_when_it_is_told_to(tmp_path, client, monkeypatch):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    kinds = ("crop 10", "brighter", "border", "mirrored")
    with edited_store(tmp_path, client, [3], kinds):
        pass
    before = contents(tmp_path / "photos", tmp_path / "copies")
    store, options = tmp_path / "store", ("--prefer", str(tmp_path / "photos"))
    code, out = invoke("apply", store, *options)
    assert code == 0
    assert "0 images could be removed" in out
    assert "4 edited copies stay; --include edited takes them as well" in " ".join(out.split())
    _, out = invoke("apply", store, *options, "--include", "similar")
    assert "0 images could be removed" in out
    code, out = invoke("apply", store, *options, "--include", "similar,edited")
    assert "4 images could be removed" in out
    assert re.search(r"edited copy: cropped to 8\d %", " ".join(out.split()))
    assert "confidence 0.9" in " ".join(out.split())
    code, out = invoke("apply", store, *options, "--include", "edited", "--trash", "--yes")
    assert code == 1
    assert "4 of the 5 images" in out
    assert contents(tmp_path / "photos", tmp_path / "copies") == before
    code, out = invoke("apply", store, *options, "--include", "edited", "--trash", "--yes-really")
    assert code == 0
    assert [path.name for path in (tmp_path / "copies").glob("*.jpg")] == []
    assert (tmp_path / "photos" / "photo3.jpg").exists()
    (journal,) = journals(str(store))
    assert any(line["why"].startswith("edited copy: cropped to 8") for line in journal.lines)
    assert all(outcome.reason is None for outcome in undo(journal))
    assert contents(tmp_path / "photos", tmp_path / "copies") == before


def test_an_unknown_kind_is_refused(tmp_path):
    code, out = invoke("apply", tmp_path / "store", "--include", "edits")
    assert code == 1
    assert "--include edits is not known; use similar, edited or similar,edited" in out


def test_a_file_that_has_changed_stays(tmp_path, client, monkeypatch):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    with edited_store(tmp_path, client, [3], ("crop 10", "border")) as db:
        plan = db.plan(prefer=[tmp_path / "photos"], include_edited=True)
        (copy,) = (tmp_path / "copies").glob("*crop*.jpg")
        status = copy.stat()
        content = bytearray(copy.read_bytes())
        content[-20] ^= 1  # another picture of the same size and time
        copy.write_bytes(content)
        os.utime(copy, ns=(status.st_atime_ns, status.st_mtime_ns))
        outcomes = {Path(one.path).name: one.reason for one in db.apply(plan, "trash")}
    assert "has changed since it was compared" in outcomes[copy.name]
    assert [reason for name, reason in outcomes.items() if name != copy.name] == [None]
    assert copy.exists()


def test_protected_and_marked_images_stay(tmp_path, client):
    with edited_store(tmp_path, client, [3], ("crop 10", "border")) as db:
        crop, border = (next((tmp_path / "copies").glob(f"*{kind}.jpg")).name for kind in ("crop 10", "border"))
        plan = db.plan(protect=[tmp_path / "copies"], include_edited=True)
        assert not plan.chosen
        assert "it is in a protected folder" in reasons(plan)[crop]
        marks = write_decisions(db, tmp_path / "marks.json", {crop: "remove", "photo3.jpg": "keep"})
        assert set(removed(db.plan(decisions=marks, include_edited=True))) == {crop}
        assert not removed(db.plan(decisions=marks))
        apart = write_decisions(db, tmp_path / "apart.json", {}, [(crop, "photo3.jpg")])
        plan = db.plan(decisions=apart, include_edited=True)
        assert not plan.chosen
        assert not db.plan(include_edited=True, only_identical=True).chosen
        assert set(removed(db.plan(include_edited=True))) == {crop, border}


def test_remembered_decisions_hold(tmp_path, client):
    with edited_store(tmp_path, client, [3], ("crop 10", "border")) as db:
        crop = next((tmp_path / "copies").glob("*crop*.jpg")).name
        apart = write_decisions(db, tmp_path / "apart.json", {}, [(crop, "photo3.jpg")])
        code, out = invoke("apply", tmp_path / "store", "--decisions", apart, "--yes")
        assert code == 0, out
        assert crop not in set(db.result().edited["copy"].map(lambda path: Path(path).name))
        assert crop not in removed(db.plan(include_edited=True))


def test_a_copy_with_more_pixels_stays(tmp_path, client):
    """A crop of a picture that is not there any more, of which a small one is."""
    whole = Image.fromarray(a_photo(5, 960, 720))
    save(tmp_path, "small.jpg", np.asarray(whole.resize((480, 360))), quality=95)
    save(tmp_path, "crop.jpg", np.asarray(whole.crop((0, 0, 800, 600))), quality=95)
    with found(tmp_path, client, "photos") as db:
        plan = db.plan(include_edited=True)
        assert not plan.chosen
        assert reasons(plan)["crop.jpg"].endswith("small.jpg lacks: more pixels")
        assert removed(db.plan(include_edited=True, give_up=["more pixels"])) == {"crop.jpg": "small.jpg"}


@pytest.mark.parametrize("smaller", ["bright", "plain"])
def test_a_brighter_copy_goes_by_the_rules(tmp_path, client, smaller):
    plain = a_photo(6)
    bright = np.asarray(make_edited_copy(Image.fromarray(plain), "brighter"))
    sizes = {"plain": (480, 360), "bright": (480, 360), smaller: (320, 240)}
    for name, pixels in (("plain", plain), ("bright", bright)):
        save(tmp_path, f"{name}.png", np.asarray(Image.fromarray(pixels).resize(sizes[name])))
    with found(tmp_path, client, "photos") as db:
        (one,) = db.plan(include_edited=True).chosen
        assert Path(one.path).name == f"{smaller}.png"
        assert ("brighter" if smaller == "bright" else "darker") in one.why
        assert not db.plan(["largest"] if smaller == "bright" else [], include_edited=True).only_edited
        # a rule for the smaller one does not let the larger one go
        plan = db.plan(prefer=[], keep=["oldest"], include_edited=True)
        assert f"{smaller}.png" not in {Path(one.kept).name for one in plan.chosen}


def test_pictures_that_both_lack_something_stay(tmp_path, client):
    """A crop in colour and the whole in grey; two crops of one picture."""
    photo = Image.fromarray(a_photo(7))
    save(tmp_path, "grey.png", np.asarray(make_edited_copy(photo, "grey")))
    save(tmp_path, "crop.png", np.asarray(photo)[30:, 40:])
    other = a_photo(8)
    save(tmp_path, "left.png", other[:, :430])
    save(tmp_path, "right.png", other[:, 50:])
    with found(tmp_path, client, "photos") as db:
        assert set(db.result().edited.part) == {"both"}
        assert len(db.result().edited) == 2
        assert not db.plan(include_edited=True).chosen


def test_what_a_copy_has_besides_keeps_it(tmp_path, client):
    photo = a_photo(9)
    save(tmp_path, "photo.png", photo)
    alpha = np.dstack([photo[40:, 40:], np.full(photo[40:, 40:].shape[:2], 255, np.uint8)])
    alpha[0, 0, 3] = 0
    save(tmp_path, "clear.png", alpha)
    with found(tmp_path, client, "photos") as db:
        plan = db.plan(include_edited=True)
        assert not plan.chosen
        assert reasons(plan)["clear.png"].endswith("lacks: transparency")
        assert removed(db.plan(include_edited=True, give_up=["transparency"])) == {"clear.png": "photo.png"}


def test_nothing_goes_from_the_reference(tmp_path, client):
    originals = [save_photo(tmp_path / "b" / f"photo{seed}.jpg", seed) for seed in (1, 2)]
    for name, kind in zip(originals, ("crop 10", "border"), strict=True):
        (tmp_path / "a").mkdir(exist_ok=True)
        with Image.open(name) as picture:
            make_edited_copy(picture, kind).save(tmp_path / "a" / f"{kind}.jpg", quality=90)
    with fd.FastDifPy(tmp_path / "a", tmp_path / "b", store=tmp_path / "store", client=client, verbose=False) as db:
        db.index_the_dirs()
        db.first_loop_iteration()
        db.second_loop_iteration()
        db.find_edited()
        plan = db.plan(include_edited=True)
        assert not plan.chosen
        assert "it is in A, the reference" in reasons(plan)["crop 10.jpg"]
        both = removed(db.plan(include_edited=True, both_sides=True))
    assert both == {"crop 10.jpg": "photo1.jpg", "border.jpg": "photo2.jpg"}


def test_a_copy_goes_for_what_is_kept_in_place_of_its_original(tmp_path, client):
    photo = a_photo(10)
    save(tmp_path, "photo.png", photo)
    save(tmp_path, "twin.jpg", photo, quality=90)
    save(tmp_path, "crop.png", photo[40:, 40:])
    with found(tmp_path, client, "photos") as db:
        plan = db.plan(include_edited=True)
    check_chains(plan)
    assert removed(plan) == {"twin.jpg": "photo.png", "crop.png": "photo.png"}


def test_copies_of_copies_form_no_chain(tmp_path, client):
    """Pairs as if only neighbours had been looked at: each image goes for one that stays."""
    with edited_store(tmp_path, client, [3], ("crop 5", "border", "grey")) as db:
        result = db.result()
        names = [Path(path).name for path in result.images.index]
        row = result.edited_pairs.iloc[0]
        circle = [(0, 1), (1, 2), (2, 3), (3, 0)]
        pairs = [{**row, "a": a, "b": b, "part": "b", "copy_of_other": "b"} for a, b in circle]
        from fastdiff_dask.actions.removal_plan import plan_removals
        from fastdiff_dask.results.keep_rules import KeepRules

        made = replace(result, edited_pairs=pd.DataFrame(pairs))
        plan = plan_removals(db.store, made, KeepRules(), include_edited=True, give_up=["more pixels"])
        check_chains(plan)
        assert len(names) == 4
        assert len(plan.chosen) + len(plan.skipped) <= 4


def test_the_table_of_a_plan_is_json(tmp_path, client):
    with edited_store(tmp_path, client, [3], ("crop 10",)) as db:
        frame = db.plan(include_edited=True).to_frame()
        assert frame.why.str.startswith("edited copy: cropped to").all()
        json.dumps(frame.to_dict("records"))


def test_a_caption_stays(tmp_path, client):
    """Its text is nowhere else, and the other picture may have another one."""
    picture = a_photo(5)
    save(tmp_path, "a.jpg", picture, age=10, quality=95)
    captioned = np.asarray(make_edited_copy(Image.fromarray(picture), "caption", 1))
    save(tmp_path, "b.jpg", captioned, quality=90)
    with found(tmp_path, client, "photos") as db:
        (row,) = db.result().edited.itertuples()
        assert "caption or sticker" in row.words
        plan = db.plan(include_edited=True)
    assert not kept_for(plan)
    assert "it has a caption or sticker" in reasons(plan)["b.jpg"]
