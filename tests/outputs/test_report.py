"""The report in a real browser: what it shows, marks and exports, and what becomes of it on disk."""

import base64
import io
import json
import re
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image
from support.command_line import invoke
from support.edited_stores import edited_store
from support.outputs import make_verdicts

import fastdiff_dask as fd
from fastdiff_dask.cli.commands import commands
from fastdiff_dask.outputs.page.report import write_report
from fastdiff_dask.testing import simulate_images

HOSTILE = ["<script>alert(1)<", "'\"><img src=x onerror=alert(2)>", "{{ 7 * 7 }} &amp; ${x}", "ünï 日本 \udcff"]


def compared(folder: Path, client) -> fd.FastDifPy:
    db = fd.FastDifPy(folder / "photos", store=folder / "store", client=client, verbose=False)
    db.index_the_dirs()
    db.first_loop_iteration()
    db.second_loop_iteration()
    return db


@pytest.fixture
def found(tmp_path, client):
    """A project with five clusters, four of them with hostile names."""
    photos = simulate_images(tmp_path / "photos", images=8, duplicates=5, size=(96, 64))
    for path, name in zip(photos.duplicates, HOSTILE, strict=False):
        path.rename(path.with_name(name.replace("/", "") + ".jpg"))
    db = compared(tmp_path, client)
    assert len(db.result().clusters) == 5
    return db


def opened(page, path: Path) -> None:
    page.goto(path.as_uri())
    page.wait_for_selector(".view img")


def data_of(path: Path) -> dict:
    return json.loads(re.search(r'id="data">(.*?)</script>', path.read_text())[1])


def exported(page, path: Path) -> dict:
    with page.expect_download() as download:
        page.click("#export")
    download.value.save_as(path)
    return json.loads(path.read_text())


def searched(page, text: str) -> None:
    page.fill("#text", text)
    page.wait_for_timeout(400)


def chosen(page, name: str, value: str) -> None:
    page.select_option(f"#{name}", value)
    page.wait_for_timeout(200)


def of_group(page, number: int):
    return page.locator(f'.card[data-id="{number}"] .image')


def test_marked_exported_and_applied(tmp_path, found, page):
    report = tmp_path / "report.html"
    assert found.report(report) == 5
    opened(page, report)
    assert page.title() == "5 groups · fastdiff-dask report"
    assert page.locator(".card").count() == 5
    names = page.locator(".image .name").all_inner_texts()
    assert len(names) == 10
    assert all(any(name[:12] in shown for shown in names) for name in HOSTILE[:3])
    # by certainty: the largest value of each group ascends
    groups = data_of(report)["groups"]
    values = [max(image["value"] for image in group["images"][1:]) for group in groups]
    assert values == sorted(values)
    assert sorted(values) == pytest.approx(sorted(found.pairs.mse))
    shown = page.locator(".facts b").all_inner_texts()
    assert [float(text.removeprefix("difference ")) for text in shown] == pytest.approx(values, rel=0.1)
    # filter, then mark what is suggested in what is shown
    for group in groups[:2]:
        searched(page, group["images"][0]["name"])
        assert page.locator(".card").count() == 1
        page.click("#suggest")
        page.wait_for_selector('.image[data-mark="remove"]')
    searched(page, "nothing of that name")
    assert page.locator(".card").count() == 0
    assert page.get_by_text("No group passes the filters.").count() == 1
    searched(page, "")
    page.fill("#min_size", "1000")
    page.wait_for_timeout(400)
    assert page.locator(".card").count() == 0
    page.fill("#min_size", "")
    chosen(page, "marked", "none")
    assert page.locator(".card").count() == 3
    chosen(page, "marked", "")
    assert page.locator('.image[data-mark="remove"]').count() == 2
    # the third one is no duplicate; by keys
    of_group(page, 2).locator(".view").nth(1).focus()
    page.keyboard.press("n")
    of_group(page, 3).locator(".view").nth(0).focus()
    page.keyboard.press("k")
    page.wait_for_timeout(300)
    assert "2 images to be removed" in page.inner_text("#totals")
    assert "1 pair is not a duplicate" in page.inner_text("#totals")
    file = tmp_path / "decisions.json"
    decisions = exported(page, file)
    assert sorted(mark["mark"] for mark in decisions["marks"]) == ["keep", "keep", "keep", "remove", "remove"]
    assert len(decisions["not_duplicates"]) == 1
    # marks are there again when it is opened again
    page.reload()
    page.wait_for_selector('.image[data-mark="remove"]')
    assert not page.wrong
    assert all(url.startswith(("file:", "data:", "blob:")) for url in page.asked)
    before = {path.name for path in (tmp_path / "photos").iterdir()}
    done = CliRunner().invoke(
        commands,
        ["apply", str(tmp_path / "store"), "--decisions", str(file), "--move", str(tmp_path / "gone"), "--yes"],
    )
    assert done.exit_code == 0, done.output
    gone = {path.name for path in (tmp_path / "gone").iterdir()}
    assert gone == {Path(mark["path"]).name for mark in decisions["marks"] if mark["mark"] == "remove"}
    assert {path.name for path in (tmp_path / "photos").iterdir()} == before - gone
    found.index_the_dirs()
    found.second_loop_iteration()
    assert len(found.result().clusters) == 2


def test_two_side_by_side(tmp_path, found, page):
    """The other one is turned so that it looks like the first."""
    found.report(tmp_path / "report.html")
    opened(page, tmp_path / "report.html")
    page.locator(".view").first.focus()
    page.keyboard.press("Enter")
    page.wait_for_selector("#large[open]")
    for number, group in enumerate(data_of(tmp_path / "report.html")["groups"]):
        assert page.locator("#large .about .name").all_inner_texts()[0] == group["images"][0]["name"]
        page.wait_for_timeout(500)
        # the files themselves, as large as they are
        sources = page.evaluate("[...document.querySelectorAll('.frame img')].map(one => one.src.slice(0, 5))")
        assert sources == ["file:", "file:"]
        screen = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
        panes = []
        for frame in page.locator("#large .pane:not(.map) .frame").all():
            box = frame.bounding_box()
            part = screen.crop([box["x"], box["y"], box["x"] + box["width"], box["y"] + box["height"]])
            panes.append(np.asarray(part.resize((16, 16), Image.Resampling.BOX), np.float64))
        assert ((panes[0] - panes[1]) ** 2).sum(axis=2).mean() < 300, number
        # of files the page may not read the pixels, of the pictures in it it may
        page.keyboard.press("d")
        page.get_by_text("By the thumbnails").wait_for()
        page.keyboard.press("s")
        page.keyboard.press("ArrowDown")
    page.keyboard.press("w")
    page.locator("#large [type=range]").fill("20")
    assert "20%" in page.evaluate("document.querySelectorAll('#large .pane')[1].style.clipPath")
    page.locator("#large .about .r").nth(1).click()
    assert page.locator('#large .about .r[aria-pressed="true"]').count() == 1
    page.keyboard.press("Escape")
    assert page.locator("dialog[open]").count() == 0
    assert not page.wrong


def test_ten_thousand_groups_are_fluent(tmp_path, browser, client):
    (tmp_path / "photos").mkdir()
    rng = np.random.default_rng(1)
    pixels = rng.integers(0, 256, (200, 8, 8, 3)).astype(np.uint8)
    for number, one in enumerate(pixels):
        for copy in "ab":
            Image.fromarray(one).save(tmp_path / "photos" / f"{number:03}{copy}.bmp")
    db = fd.FastDifPy(tmp_path / "photos", store=tmp_path / "store", client=client, verbose=False)
    db.index_the_dirs()
    db.first_loop_iteration()
    db.second_loop_iteration(0.0)
    report = tmp_path / "report.html"
    assert db.report(report) == 200
    # the same groups again and again, under other numbers
    text, data = report.read_text(), data_of(report)
    sheets = re.findall(r'<script type="text/plain" id="sheet-\d+">.*?</script>\n', text, re.DOTALL)
    groups = [
        {**one, "images": [{**image, "n": image["n"] + 1000 * k} for image in one["images"]]}
        for k in range(50)
        for one in data["groups"]
    ]
    first = text.index(sheets[0])
    last = text.index(sheets[-1]) + len(sheets[-1])
    many = "".join(
        re.sub(r"sheet-\d+", f"sheet-{k * 200 + n}", sheet) for k in range(50) for n, sheet in enumerate(sheets)
    )
    text = text[:first] + many + text[last:]
    text = re.sub(
        r'(id="data">).*?(</script>)', lambda m: m[1] + json.dumps(data | {"groups": groups}) + m[2], text, count=1
    )
    report.write_text(text)
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    # seconds of the processor: a busy machine holds up frames
    tools = page.context.new_cdp_session(page)
    tools.send("Performance.enable", {"timeDomain": "threadTicks"})

    def spent():
        (seconds,) = (
            one["value"] for one in tools.send("Performance.getMetrics")["metrics"] if one["name"] == "TaskDuration"
        )
        return seconds

    opened(page, report)
    start = spent()
    # a scroll through all of it
    step = """() => new Promise(done => {
        document.getElementById("scroller").scrollTop += 4000;
        requestAnimationFrame(done);  // once: a frame each
    })"""
    frames = []
    for _ in range(180):
        before = spent()
        page.evaluate(step)
        frames.append(spent() - before)
    page.wait_for_selector('.card[data-id="9999"] .name')
    frames.sort()
    print(f"{start:.2f} s to open it, {1000 * frames[90]:.0f} ms a frame, the longest {1000 * frames[-1]:.0f} ms")
    assert start < 5
    assert frames[-1] < 0.1
    page.close()


@pytest.fixture
def looked_at(tmp_path, client):
    """A project whose pairs have different verdicts."""
    make_verdicts(tmp_path / "photos")
    with compared(tmp_path, client) as db:
        db.verify()
        assert set(db.pairs.verdict) >= {"same file", "same picture", "similar"}
        yield db


def test_the_page_is_sorted_and_filtered_by_verdict(tmp_path, looked_at, page):
    report = tmp_path / "report.html"
    assert looked_at.report(report) == 3
    opened(page, report)
    # the least certain verdict of a group counts; a surer one is said with the image
    assert page.locator("#verdict option").all_inner_texts() == ["all", "same picture (3)"]
    assert page.get_by_text("report --verdict similar shows all 1 of them").count() == 1
    assert page.locator(".heading").inner_text().startswith("Same picture")
    assert page.locator(".image .name").count() == 7
    assert page.locator(".facts b").all_inner_texts().count("same file") == 1
    # what is hidden is not marked, nor shown beside another one
    looked_at.report(report, verdict="same file,similar")
    opened(page, report)
    assert page.locator("#verdict option").all_inner_texts() == ["all", "same file (1)", "similar (1)"]
    headings = page.locator(".heading").all_inner_texts()
    assert [text.split("\n")[0] for text in headings] == ["Same file", "Similar"]
    chosen(page, "verdict", "same file")
    assert sorted(page.locator(".image .name").all_inner_texts()) == ["picture_00000.jpg", "same.jpg"]
    assert page.inner_text("#found") == "1 of 2 groups, 4 images"
    page.click("#suggest")
    page.wait_for_selector('.image[data-mark="remove"]')
    page.locator(".view").first.click()
    page.keyboard.press("ArrowDown")
    assert page.locator("#large .name").all_inner_texts()[1] in ("picture_00000.jpg", "same.jpg")
    page.keyboard.press("Escape")
    chosen(page, "verdict", "")
    assert page.locator(".image .name").count() == 4
    assert page.inner_text("#totals").startswith("1 image to be removed")
    assert page.wrong == []


def test_a_report_of_some_verdicts(tmp_path, looked_at, page, run):
    report = tmp_path / "report.html"
    assert looked_at.report(report, verdict="similar") == 1
    opened(page, report)
    names = page.locator(".image .name").all_inner_texts()
    assert sorted(names) == ["page0.png", "page1.png"]
    assert "only pairs of the verdict similar" in page.locator("#report").inner_text()
    assert page.locator(".heading").inner_text().startswith("Similar")
    code, out, _ = run("report", tmp_path / "store", "-o", report, "--verdict", "same-file,similar")
    assert code == 0
    assert f" in {report}: difference (MSE) ≤ 200 with rotations, as shown on " in out
    assert out.startswith("2 ")
    assert out.endswith("; only pairs of the verdict same file or similar\n")
    # a verdict that no pair has, and words that are none
    assert looked_at.report(report, verdict="same pixels") == 0
    code, _, err = run("report", tmp_path / "store", "-o", report, "--verdict", "cats")
    choices = "same file, same pixels, same picture, edited copy, not looked at, similar"
    assert (code, err) == (2, f"fastdiff-dask: --verdict 'cats' is none of the verdicts: {choices}\n")


def test_limits_and_mistakes(tmp_path, found, page):
    report = tmp_path / "report.html"
    assert found.report(report, limit=2) == 2
    assert "only the first 2 groups are shown, 3 are left out" in report.read_text()
    for limit in (0, True, "3"):
        with pytest.raises(fd.UsageError, match="limit="):
            write_report(found.store, found.result(), report, limit=limit)
    with pytest.raises(fd.UsageError, match="cannot be written"):
        found.report(tmp_path / "none" / "report.html")
    done = CliRunner().invoke(commands, ["report", str(tmp_path / "store"), "-o", str(report), "--threshold", "0.001"])
    assert done.exit_code == 0
    assert done.output.startswith("0 ")
    assert done.output.endswith(f" in {report}: difference (MSE) ≤ 0.001 with rotations\n")
    page.goto(report.as_uri())
    page.wait_for_selector(".empty")
    assert page.locator(".empty").inner_text() == "No similar images were found."
    # nothing of a name is markup, and nothing is asked for elsewhere
    found.report(report)
    text = report.read_text()
    assert "<script>alert" not in text
    assert "<img src=x" not in text
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg\b)", text)


def test_between_two_sides_with_suggestions(tmp_path, client):
    simulate_images(tmp_path / "a", images=4, duplicates=0, size=(64, 64))
    simulate_images(tmp_path / "b", images=4, duplicates=0, size=(64, 64))
    db = fd.FastDifPy(tmp_path / "a", tmp_path / "b", store=tmp_path / "store", client=client, verbose=False)
    db.index_the_dirs()
    db.first_loop_iteration()
    db.second_loop_iteration()
    start = time.monotonic()
    assert db.report(tmp_path / "r.html", prefer=tmp_path / "b") == 4
    assert time.monotonic() - start < 20
    data = data_of(tmp_path / "r.html")
    assert (data["sides"], data["common"]) == (True, str(tmp_path))
    for group in data["groups"]:
        found = [(image["side"], image["suggest"], image["folder"]) for image in group["images"]]
        assert found == [("a", "keep", "a"), ("b", "remove", "b")]


def pictures(report: Path) -> list[list]:
    """Read the pictures of a report by group; the number of another line stays a text."""
    sheets = re.findall(r'id="sheet-\d+">(.*?)</script>', report.read_text(), re.DOTALL)
    return [
        [line if line.isdecimal() else Image.open(io.BytesIO(base64.b64decode(line))) for line in one.split()]
        for one in sheets
    ]


def test_pictures_are_of_the_files_or_else_of_thumbnails(tmp_path, client, monkeypatch):
    """Files that are gone, or for which there is no time left, are shown by their thumbnails."""
    simulate_images(tmp_path / "photos", images=4, duplicates=2, size=(600, 400))
    db, report = compared(tmp_path, client), tmp_path / "r.html"

    def made():
        assert db.report(report) == 2
        return [one for sheet in pictures(report) for one in sheet]

    sharp = made()
    assert {max(one.size) for one in sharp} == {160}
    monkeypatch.setattr("fastdiff_dask.outputs.page.report_groups._SECONDS", -1.0)
    slow = made()
    monkeypatch.undo()
    shutil.rmtree(tmp_path / "photos")
    gone = made()
    assert [one.size for one in slow] == [one.size for one in gone] == [one.size for one in sharp]
    assert [one.tobytes() for one in slow] == [one.tobytes() for one in gone]
    assert all(x.tobytes() != y.tobytes() for x, y in zip(sharp, slow, strict=True))


def test_equal_files_have_one_picture(tmp_path, client, page):
    photos = simulate_images(tmp_path / "photos", images=2, duplicates=0, size=(600, 400))
    shutil.copy(photos.originals[0], tmp_path / "photos" / "same.jpg")
    compared(tmp_path, client).report(tmp_path / "r.html")
    ((picture, other),) = pictures(tmp_path / "r.html")
    assert (picture.size, other) == ((160, 107), "0")
    opened(page, tmp_path / "r.html")
    page.wait_for_timeout(300)
    assert page.evaluate("[...document.querySelectorAll('.view img')].map(one => one.naturalWidth)") == [160, 160]


def test_marks_say_one_thing(tmp_path, found, page):
    """The export has the marks that are shown, and a suggestion changes no mark."""
    report = tmp_path / "report.html"
    found.report(report)
    opened(page, report)
    image = of_group(page, 0).nth(1)
    image.locator(".n").click()
    image.locator(".r").click()
    page.wait_for_timeout(300)
    assert image.get_attribute("data-mark") == "remove"
    other = of_group(page, 1).nth(1)
    other.locator(".k").click()
    page.click("#suggest")
    page.wait_for_timeout(500)
    assert other.get_attribute("data-mark") == "keep"
    third = of_group(page, 2).nth(1)
    third.locator(".n").click()
    page.wait_for_timeout(300)
    assert third.get_attribute("data-mark") == "apart"
    decisions = exported(page, tmp_path / "d.json")
    assert len(decisions["not_duplicates"]) == 1
    marked = {mark["image"] for mark in decisions["marks"] if mark["mark"] == "remove"}
    assert not marked & set(decisions["not_duplicates"][0]["images"])
    assert len(marked) == 3


def test_marks_are_of_contents(tmp_path, found, page, client):
    """Another collection comes to the same places."""
    report = tmp_path / "report.html"
    found.report(report)
    opened(page, report)
    page.click("#suggest")
    page.wait_for_timeout(300)
    page.reload()
    page.wait_for_selector('.image[data-mark="remove"]')
    shutil.rmtree(tmp_path / "store")
    shutil.rmtree(tmp_path / "photos")
    simulate_images(tmp_path / "photos", images=8, duplicates=5, size=(96, 64), seed=7)
    compared(tmp_path, client).report(report)
    opened(page, report)
    assert page.locator('.image[data-mark="remove"]').count() == 0
    assert "0 images to be removed" in page.inner_text("#totals")


def test_names_that_would_mislead(tmp_path, client, page):
    photos = simulate_images(tmp_path / "photos", images=1, duplicates=1)
    (copy,) = photos.duplicates
    copy.rename(copy.with_name("a\u202egpj.exe\n.jpg"))
    compared(tmp_path, client).report(tmp_path / "report.html")
    opened(page, tmp_path / "report.html")
    shown = page.locator(".image .name").all_inner_texts()
    assert any(r"a\u202egpj.exe\n.jpg" in name for name in shown)
    page.click("#suggest")
    page.wait_for_timeout(300)
    decisions = exported(page, tmp_path / "d.json")
    assert any("\u202e" in mark["path"] for mark in decisions["marks"])


def test_marks_and_keys_in_the_large_view(tmp_path, client, page):
    photos = simulate_images(tmp_path / "photos", images=2, duplicates=2, size=(96, 64))
    shutil.copy(photos.originals[0], tmp_path / "photos" / "third.jpg")
    compared(tmp_path, client).report(tmp_path / "report.html")
    opened(page, tmp_path / "report.html")
    card = page.locator(".card", has=page.locator(".image").nth(2))
    card.locator(".image .r").nth(1).click()
    card.locator(".view").nth(1).click()
    right = page.locator("#large .about").nth(1)
    pressed = right.locator('[aria-pressed="true"]')
    assert pressed.all_inner_texts() == ["Remove"]
    first = right.locator(".name").inner_text()
    page.keyboard.press("ArrowRight")
    assert right.locator(".name").inner_text() != first
    assert pressed.count() == 0
    page.keyboard.press("k")
    assert pressed.all_inner_texts() == ["Keep"]
    page.keyboard.press("n")
    page.wait_for_timeout(300)
    assert pressed.all_inner_texts() == ["Not a duplicate"]
    page.keyboard.press("ArrowLeft")
    assert right.locator(".name").inner_text() == first
    page.keyboard.press("Escape")
    assert [card.locator(".image").nth(place).get_attribute("data-mark") for place in (1, 2)] == ["remove", "apart"]
    # a filter by marks follows them
    chosen(page, "marked", "none")
    assert page.locator(".card").count() == 1
    page.click("#suggest")
    page.wait_for_timeout(500)
    assert page.locator(".card").count() == 0
    assert page.inner_text("#found").startswith("0 of 2 groups")
    page.click("#clear")
    page.get_by_role("button", name=re.compile(r"Clear \d marks")).click()
    page.wait_for_timeout(500)
    chosen(page, "marked", "")
    assert page.locator(".card").count() == 2
    assert page.locator('.image[data-mark="remove"], .image[data-mark="keep"]').count() == 0


def test_the_large_view_on_a_phone(tmp_path, found, page):
    found.report(tmp_path / "report.html")
    page.set_viewport_size({"width": 390, "height": 844})
    opened(page, tmp_path / "report.html")
    page.locator(".view").nth(1).click()
    page.wait_for_selector("#large[open]")
    names = (".pane >> nth=0", ".pane >> nth=1", "#large .choices >> nth=1")
    left, right, marks = (page.locator(name).bounding_box() for name in names)
    assert left["y"] == right["y"]
    assert left["x"] + left["width"] <= right["x"]
    assert right["x"] + right["width"] <= 390
    assert marks["y"] + marks["height"] <= 844
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_edited_copies_are_shown_with_their_box(tmp_path, client, page):
    """Both pictures of each pair, the words, and a frame around what a crop shows."""
    with edited_store(tmp_path, client, [1], ("crop 20", "grey")) as db:
        edited = db.result().edited
        crop = edited[edited["copy"].str.contains("crop 20") & edited.original.str.contains("photo1.jpg")].iloc[0]
    code, out = invoke("report", tmp_path / "store", "-o", tmp_path / "report.html")
    assert code == 0, out
    page.goto((tmp_path / "report.html").as_uri())
    assert page.wrong == []
    cards = page.locator("#edited article")
    assert cards.count() == len(edited[edited.via == ""])
    card = cards.filter(has_text="cropped to 64 %").first
    assert card.locator("img").count() == 2
    assert all(card.locator("img").nth(place).evaluate("one => one.naturalWidth") == 64 for place in range(2))
    frame, box = card.locator(".frame").first.bounding_box(), card.locator(".box").bounding_box()
    assert (box["x"] - frame["x"]) / frame["width"] == pytest.approx(crop.left / 480, abs=0.02)
    assert box["width"] / frame["width"] == pytest.approx((crop.right - crop.left) / 480, abs=0.02)
    assert frame["width"] / frame["height"] == pytest.approx(480 / 360, abs=0.02)
    invoke("report", tmp_path / "store", "-o", tmp_path / "report.html", "--verdict", "same-picture")
    page.goto((tmp_path / "report.html").as_uri())
    assert page.locator("#edited").count() == 0


def test_the_data_set_is_a_section_that_unfolds(tmp_path, client, page):
    """Each issue with its number, its rule and five pictures at most, and the pairs across parts."""
    for part in ("train", "test"):
        simulate_images(tmp_path / "photos" / part, images=3, duplicates=0)
    for number in range(7):
        Image.new("RGB", (200 + number, 100), "black").save(tmp_path / "photos" / "train" / f"<b>{number}.png")
    compared(tmp_path, client).report(tmp_path / "report.html")
    page.goto((tmp_path / "report.html").as_uri())
    assert page.wrong == []
    section = page.locator("#issues")
    assert "7 blank, 7 dark" in section.locator("summary").inner_text()
    assert not section.locator("img").first.is_visible()
    section.locator("summary").click()
    dark = section.locator(".kind").nth(1)
    assert dark.locator("img").count() == 5
    assert dark.locator("img").first.evaluate("one => one.naturalWidth") == 64
    box = dark.locator("img").first.bounding_box()
    assert box["width"] / box["height"] == pytest.approx(2, abs=0.1)
    assert dark.locator(".name").first.inner_text() == "train/<b>0.png"
    assert "99 % of the pixels are darker than 0.32" in section.inner_text()
    assert section.locator("li").count() == 3
    assert re.match(r"test: test/.*, train: train/.* \(same file\)", section.locator("li").first.inner_text())


def test_a_report_of_an_older_store_says_that_figures_are_missing(tmp_path, client):
    simulate_images(tmp_path / "photos", images=3, duplicates=1)
    db = compared(tmp_path, client)
    frame = db.store.read_partition(0)
    db.store.write_partition(0, frame.assign(blur=float("nan")))
    db.report(tmp_path / "report.html")
    told = "Not all figures of 4 images are known; fastdiff-dask inspect completes them."
    assert told in (tmp_path / "report.html").read_text()
    db.inspect()
    db.report(tmp_path / "report.html")
    assert told not in (tmp_path / "report.html").read_text()
