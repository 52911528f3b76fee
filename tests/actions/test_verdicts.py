"""Images that `apply` takes by their verdict, and those that stay for what a copy lacks."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms, ImageDraw, ImageFont
from support.command_line import invoke
from support.removals import removed, write_decisions

import fastdiff_dask as fd
from fastdiff_dask.cli.actions import apply
from fastdiff_dask.storage.schema import VERDICTS


@pytest.fixture(autouse=True)
def _thumbnails_decide(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take back what `conftest.py` sets: here the second look decides."""
    monkeypatch.setitem(fd.FastDifPy.plan.__kwdefaults__, "include_similar", False)
    (option,) = [one for one in apply.params if one.name == "include"]
    monkeypatch.setattr(option, "default", ())


def picture(seed: int, size: tuple[int, int] = (160, 120)) -> Image.Image:
    few = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), np.uint8)
    return Image.fromarray(few).resize(size, Image.Resampling.BICUBIC)


def save(path: Path, image: Image.Image, **options) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, **options)


def save_page(path: Path, left: int, top: int) -> None:
    page = Image.new("RGB", (150, 200), (250, 250, 250))
    ImageDraw.Draw(page).ellipse([left, top, left + 4, top + 4], fill=(40, 40, 40))
    save(path, page)


def project(folder: Path, client, *, verify: bool = True, **options) -> fd.FastDifPy:
    db = fd.FastDifPy(folder / "photos", store=folder / "store", client=client, verbose=False, **options)
    db.index_the_dirs()
    db.first_loop_iteration()
    db.second_loop_iteration()
    if verify:
        db.verify()
    return db


def reasons(plan) -> dict[str, str]:
    return {Path(one.path).name: one.reason for one in plan.skipped}


@pytest.fixture
def photos(tmp_path) -> Path:
    """A photo with copies of the first three verdicts, and three pages with a mark each."""
    folder = tmp_path / "photos"
    save(folder / "a.png", picture(1))
    (folder / "file.png").write_bytes((folder / "a.png").read_bytes())
    save(folder / "pixels.bmp", picture(1))
    save(folder / "picture.jpg", picture(1).resize((80, 60)), quality=80)
    for number in range(3):
        save_page(folder / f"page{number}.png", 20 + 40 * number, 30 + 50 * number)
    return folder


@pytest.mark.parametrize("verify", [True, False])
def test_only_the_first_three_verdicts_go(photos, client, tmp_path, verify):
    """A store without verdicts is looked at by the plan itself."""
    with project(tmp_path, client, verify=verify) as db:
        assert (tmp_path / "store" / VERDICTS).exists() == verify
        plan = db.plan()
        kept = set(removed(plan).values())
        assert len(kept) == 1
        assert set(removed(plan)) | kept == {"a.png", "file.png", "pixels.bmp", "picture.jpg"}
        verdicts = {one.verdict for one in plan.chosen}
        assert verdicts <= {"same file", "same pixels", "same picture"}
        assert "same picture" in verdicts
        # what was seen is kept for the next time
        assert (tmp_path / "store" / VERDICTS).exists()


def test_similar_images_go_if_that_is_asked_for(photos, client, tmp_path):
    with project(tmp_path, client) as db:
        plan, whole = db.plan(), db.plan(include_similar=True)
        # of three pages that are all similar one is kept; the plan tells before how many would go
        added = set(removed(whole)) - set(removed(plan))
        assert len(added) == 2
        assert {name[:4] for name in added} == {"page"}
        assert {Path(one.path).name for one in plan.only_similar} == added
        assert {one.verdict for one in whole.chosen if Path(one.path).name in added} <= {"similar", "not looked at"}


def test_the_command_takes_similar_images_if_told(photos, client, tmp_path):
    project(tmp_path, client).close()
    code, out = invoke("apply", tmp_path / "store", "--trash")
    assert code == 0
    assert "--include similar takes them as well" in out
    code, out = invoke("apply", tmp_path / "store", "--trash", "--yes", "--yes-really")
    assert code == 0, out
    names = {path.name for path in photos.iterdir()}
    assert len(names) == 4
    assert {"page0.png", "page1.png", "page2.png"} < names
    code, out = invoke("apply", tmp_path / "store", "--trash", "--yes", "--yes-really", "--include", "similar")
    assert "2 files were moved to the trash" in out
    assert len([path for path in photos.iterdir() if path.name.startswith("page")]) == 1


def adobe() -> bytes:
    """SRGB with another red."""
    content = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    start = content.index(b"rXYZ")
    at = int.from_bytes(content[start + 4 : start + 8], "big") + 8
    content[at : at + 4] = (0x9C18).to_bytes(4, "big")
    return bytes(content)


def deep(seed: int) -> Image.Image:
    grey = np.asarray(picture(seed).convert("L"), np.uint16) * 257
    return Image.fromarray(grey + (grey % 7))


def clear_edge(seed: int) -> Image.Image:
    image = picture(seed).convert("RGBA")
    image.putalpha(250)
    return image


@pytest.mark.parametrize("part", ["transparency", "colour profile", "more than 8 bits"])
def test_an_image_stays_for_what_the_kept_one_lacks(client, tmp_path, part):
    folder = tmp_path / "photos"
    if part == "more than 8 bits":
        save(folder / "has.png", deep(3))
        plain = picture(3).convert("L").convert("RGB")
    elif part == "transparency":
        save(folder / "has.png", clear_edge(3))
        plain = Image.alpha_composite(Image.new("RGBA", (160, 120), "white"), clear_edge(3)).convert("RGB")
    else:
        save(folder / "has.png", picture(3), icc_profile=adobe())
        plain = picture(3)
    # the plain one has more pixels, so that the rules keep it
    save(folder / "plain.png", plain.resize((320, 240), Image.Resampling.BICUBIC))
    with project(tmp_path, client) as db:
        plan = db.plan(["most-pixels"])
        assert removed(plan) == {}
        assert part in reasons(plan)["has.png"]
        assert removed(db.plan(["most-pixels"], give_up=[part])) == {"has.png": "plain.png"}
        others = {"transparency", "colour profile", "more than 8 bits"} - {part}
        assert removed(db.plan(["most-pixels"], give_up=sorted(others))) == {}
    code, out = invoke("apply", tmp_path / "store", "--trash", "--keep", "most-pixels", "--give-up", part)
    assert code == 0
    assert "has.png" in out


def test_what_both_have_is_not_lost(client, tmp_path):
    save(tmp_path / "photos" / "small.png", picture(3), icc_profile=adobe())
    save(tmp_path / "photos" / "large.png", picture(3, (320, 240)), icc_profile=adobe())
    with project(tmp_path, client) as db:
        assert removed(db.plan(["most-pixels"])) == {"small.png": "large.png"}


@pytest.mark.parametrize("form", ["gif", "webp", "tif"])
@pytest.mark.parametrize("still_is_larger", [True, False])
def test_an_animation_and_a_still_do_not_stand_for_each_other(client, tmp_path, form, still_is_larger):
    others = [picture(seed) for seed in (6, 7)]
    save(tmp_path / "photos" / f"moving.{form}", picture(5), save_all=True, append_images=others)
    save(tmp_path / "photos" / "still.png", picture(5, (320, 240) if still_is_larger else (80, 60)))
    with project(tmp_path, client) as db:
        assert len(db.pairs) == 1
        assert removed(db.plan(["most-pixels"])) == {}
        assert removed(db.plan(["largest"])) == {}
        # whatever the verdict
        assert f"moving.{form}" not in removed(db.plan(["most-pixels"], include_similar=True))


def test_a_store_that_does_not_know_the_parts_of_a_file_loses_none(client, tmp_path):
    folder = tmp_path / "photos"
    save(folder / "large.png", picture(4, (320, 240)))
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("XYZ")).tobytes()
    save(folder / "small.png", picture(4), icc_profile=profile)
    with project(tmp_path, client) as db:
        frame = db.store.read_partition(0)
        assert frame.extras.notna().sum() == 1
        db.store.write_partition(0, frame.assign(extras=None, frames=0))  # as in a store of an earlier version
        plan = db.plan(["most-pixels"])
        assert removed(plan) == {"small.png": "large.png"}
        (outcome,) = db.apply(plan, "trash")
        assert "colour profile" in outcome.reason
        assert (folder / "small.png").exists()


def test_an_animation_goes_only_for_one_of_the_same_frames(client, tmp_path):
    folder = tmp_path / "photos"
    for name, seeds in {"a": (5, 6, 7), "copy": (5, 6, 7), "other": (5, 8, 7), "short": (5, 6)}.items():
        first, *others = (picture(seed) for seed in seeds)
        compression = "tiff_lzw" if name == "copy" else None
        save(folder / f"{name}.tif", first, save_all=True, append_images=others, compression=compression)
    with project(tmp_path, client) as db:
        assert len(db.pairs) == 6
        gone = removed(db.plan())
        assert gone in ({"copy.tif": "a.tif"}, {"a.tif": "copy.tif"})


def test_a_raw_file_stays(client, tmp_path):
    folder = tmp_path / "photos"
    tags = {50706: b"\x01\x04\x00\x00", 271: "Maker", 272: "Model"}  # with DNGVersion
    save(folder / "raw.tif", picture(4), format="TIFF", tiffinfo=tags)
    save(folder / "large.png", picture(4, (320, 240)))
    with project(tmp_path, client) as db:
        assert len(db.pairs) == 1
        plan = db.plan(["most-pixels"], give_up=["transparency", "more than 8 bits", "colour profile", "layers"])
        assert removed(plan) == {}
        assert "raw" in reasons(plan)["raw.tif"]


def test_a_raw_file_does_not_stand_for_a_picture(client, tmp_path):
    folder = tmp_path / "photos"
    save(folder / "raw.tif", picture(4, (320, 240)), format="TIFF", tiffinfo={50706: b"\x01\x04\x00\x00"})
    save(folder / "developed.png", picture(4))
    save(folder / "small.png", picture(4, (120, 90)))
    with project(tmp_path, client) as db:
        plan = db.plan(["most-pixels"])
        assert removed(plan) == {"small.png": "developed.png"}
        assert "raw.tif lacks: a developed picture" in reasons(plan)["developed.png"]


def test_films_behind_equal_pictures_may_differ(client, tmp_path):
    folder = tmp_path / "photos"
    save(folder / "a.jpg", picture(5))
    still = (folder / "a.jpg").read_bytes()
    for name in ("a.jpg", "b.jpg", "c.jpg"):
        film = bytes(8 + ord(name[0])) if name < "c" else bytes(8 + ord("a"))
        (folder / name).write_bytes(still + b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom" + film)
    with project(tmp_path, client) as db:
        plan = db.plan()
        assert set(removed(plan)) < {"a.jpg", "c.jpg"}  # the same file
        assert len(removed(plan)) == 1
        assert "has otherwise, perhaps: motion picture" in " ".join(reasons(plan).values())
        assert len(removed(db.plan(give_up=["motion picture"]))) == 2


def save_table(path: Path, text: str, **options) -> None:
    page = Image.new("RGB", (1200, 900), "white")
    draw = ImageDraw.Draw(page)
    for row in range(20):
        for column in range(6):
            draw.rectangle(
                [40 + 190 * column, 40 + 42 * row, 230 + 190 * column, 82 + 42 * row], outline=(180, 180, 180)
            )
            words = text if (row, column) == (11, 3) else f"{row * 137 % 97}.{column * 31 % 89:02}"
            draw.text((55 + 190 * column, 50 + 42 * row), words, font=ImageFont.load_default(20), fill=0)
    save(path, page, **options)


def test_tables_that_differ_in_a_digit_stay(client, tmp_path):
    folder = tmp_path / "photos"
    for number, text in enumerate(("12.50", "12.60", "12.80")):
        save_table(folder / f"{number}.png", text)
    save_table(folder / "copy.bmp", "12.60")
    with project(tmp_path, client) as db:
        assert len(db.pairs) == 6
        assert set(removed(db.plan())) in ({"copy.bmp"}, {"1.png"})


def test_a_plan_without_the_pictures_takes_no_pair_that_was_not_looked_at(photos, client, tmp_path):
    with project(tmp_path, client, verify=False) as db:
        for path in photos.iterdir():
            if not path.name.startswith("a."):
                content = io.BytesIO(path.read_bytes()).getvalue()
                path.write_bytes(content[: len(content) // 2])
        assert set(removed(db.plan())) <= {"a.png", "file.png"}  # equal bytes when they were compared


def test_marks_of_pairs_that_nobody_looked_at_are_looked_at(tmp_path, photos, client):
    """As of "mark as suggested" in a report that was made without the second look."""
    db = project(tmp_path, client, verify=False)
    names = sorted(Path(path).name for path in db.result().images.index)
    pages = [name for name in names if name.startswith("page")]
    marks = {"file.png": "remove", **dict.fromkeys(pages[1:], "remove")}
    file = write_decisions(db, tmp_path / "d.json", marks)
    plan = db.plan(decisions=file)
    assert list(removed(plan)) == ["file.png"]
    assert all("another picture than" in reasons(plan)[name] for name in pages[1:])
    # who saw them, or asks for them, decides
    assert set(removed(db.plan(decisions=file, include_similar=True))) == set(marks)
    db.verify()
    assert set(removed(db.plan(decisions=file))) == set(marks)
