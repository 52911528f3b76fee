"""The report in a real browser: what it shows, marks and exports, and what becomes of it on disk."""

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
from fastdiff_dask.outputs.report import write_report
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
    page.wait_for_selector(".image canvas")


def test_marked_exported_and_applied(tmp_path, found, page):
    report = tmp_path / "report.html"
    assert found.report(report) == 5
    opened(page, report)
    assert page.title() == "Similar images: 5 clusters"
    assert page.locator(".cluster").count() == 5
    names = page.locator(".image .name").all_inner_texts()
    assert len(names) == 10
    assert all(any(name[:12] in shown for shown in names) for name in HOSTILE[:3])
    # by certainty: the largest value of each cluster ascends
    titles = page.locator(".cluster header span").all_inner_texts()
    values = [float(re.search(r"up to (\S+)", text)[1]) for text in titles]
    assert values == sorted(values)
    assert sorted(values) == pytest.approx(sorted(float(f"{mse:.4g}") for mse in found.pairs.mse))
    # filter, then mark what is suggested in what is shown
    page.fill("#high", str((values[1] + values[2]) / 2))
    assert page.locator(".cluster:visible").count() == 2
    page.click("#suggest")
    assert page.locator('.image[data-mark="remove"]').count() == 2
    page.fill("#high", "")
    page.fill("#folder", "nothing of that name")
    assert page.locator(".cluster:visible").count() == 0
    page.fill("#folder", "")
    page.fill("#size", "1000000")
    assert page.locator(".cluster:visible").count() == 0
    page.fill("#size", "")
    page.select_option("#state", "open")
    assert page.locator(".cluster:visible").count() == 3
    page.select_option("#state", "all")
    # the third one is no duplicate; by keys
    page.locator(".cluster").nth(2).locator(".image .view").nth(1).focus()
    page.keyboard.press("n")
    page.locator(".cluster").nth(3).locator(".image .view").nth(0).focus()
    page.keyboard.press("e")
    assert "2 images to remove" in page.inner_text("#count")
    assert "1 no duplicates" in page.inner_text("#count")
    with page.expect_download() as download:
        page.click("#export")
    file = tmp_path / "decisions.json"
    download.value.save_as(file)
    decisions = json.loads(file.read_text())
    assert sorted(mark["mark"] for mark in decisions["marks"]) == ["keep", "keep", "keep", "remove", "remove"]
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
    found.report(tmp_path / "report.html")
    opened(page, tmp_path / "report.html")
    pair = found.pairs.sort_values("mse").iloc[0]
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    page.wait_for_selector("dialog[open]")
    assert f"MSE {pair.mse:.6g}" in page.inner_text("#title")
    # the other one is turned so that it looks like the first
    shapes = [page.evaluate(f"(c => [c.width, c.height])(document.all.{side})") for side in ("left", "right")]
    assert (shapes[0][0] > shapes[0][1]) == (shapes[1][0] > shapes[1][1])
    alike = """() => {
        const [a, b] = ["under", "over"].map(id => {
            const small = document.createElement("canvas"), context = small.getContext("2d");
            small.width = small.height = 16;
            context.drawImage(document.getElementById(id), 0, 0, 16, 16);
            return context.getImageData(0, 0, 16, 16).data;
        });
        let sum = 0;
        for (let i = 0; i < a.length; i++) sum += (a[i] - b[i]) ** 2;
        return sum / 256;
    }"""
    two = """number => {
        const cluster = data.clusters[number];
        cluster.images.forEach(image => delete image.u);
        return compare(cluster, 1);
    }"""
    # of files the page may not read the pixels, of the thumbnails it may
    for number in range(5):
        page.evaluate(two, number)
        page.wait_for_timeout(200)
        assert page.evaluate(alike) < 300, number
    page.fill("#slider", "20")
    assert page.evaluate("document.getElementById('over').style.clipPath") == "inset(0px 0px 0px 20%)"
    page.locator("#dialog-marks .r").click()
    assert page.locator('#dialog-marks .r[aria-pressed="true"]').count() == 1
    page.keyboard.press("Escape")
    assert page.locator("dialog[open]").count() == 0
    assert not page.wrong


def test_ten_thousand_clusters_are_fluent(tmp_path, browser, client):
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
    # the same clusters again and again, under other numbers
    text = report.read_text()
    data = json.loads(re.search(r'id="data">(.*?)</script>', text)[1])
    sheets = re.findall(r'<script type="text/plain" id="sheet-\d+">.*?</script>\n', text, re.DOTALL)
    clusters = [
        {**one, "images": [{**image, "n": image["n"] + 1000 * k} for image in one["images"]]}
        for k in range(50)
        for one in data["clusters"]
    ]
    first = text.index(sheets[0])
    last = text.index(sheets[-1]) + len(sheets[-1])
    many = "".join(
        re.sub(r"sheet-\d+", f"sheet-{k * 200 + n}", sheet) for k in range(50) for n, sheet in enumerate(sheets)
    )
    text = text[:first] + many + text[last:]
    text = re.sub(
        r'(id="data">).*?(</script>)', lambda m: m[1] + json.dumps(data | {"clusters": clusters}) + m[2], text, count=1
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

    page.goto(report.as_uri())
    page.wait_for_selector(".cluster:nth-of-type(10000)", state="attached")
    opened = spent()
    # a scroll through all of it
    page.evaluate("""() => new Promise(done => {
            let frames = 0;
            const step = () => {
                if (++frames > 60) return done();
                scrollBy(0, 3000);
                requestAnimationFrame(step);
            };
            requestAnimationFrame(step);
        })""")
    frame = (spent() - opened) / 60
    print(f"{opened:.2f} s to open it, {1000 * frame:.0f} ms a frame")
    assert opened < 5
    assert frame < 0.4
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
    options = page.locator("#verdict option").all_inner_texts()
    assert options == ["all verdicts", "same file (1)", "same picture (3)"]
    assert page.get_by_text("report --verdict similar shows all 1 of them").count() == 1
    names = page.locator(".cluster:visible .image:visible .name")
    assert names.count() == 7
    page.select_option("#verdict", "same file")
    assert [Path(name).name for name in names.all_inner_texts()] == ["picture_00000.jpg", "same.jpg"]
    assert page.locator("#count").inner_text().startswith("1 of 3 clusters")
    # what is hidden is not marked, nor shown beside another one
    page.click("#suggest")
    assert page.locator("#count").inner_text().startswith("1 of 3 clusters, 1 images to remove")
    page.locator(".view:visible").first.click()
    for _ in range(3):
        assert page.locator("#right-name").inner_text().endswith("same.jpg")
        assert page.locator("#title").inner_text().endswith(", same file")
        page.keyboard.press("ArrowRight")
    page.keyboard.press("Escape")
    page.select_option("#verdict", "all")
    assert names.count() == 7
    assert page.wrong == []


def test_a_report_of_some_verdicts(tmp_path, looked_at, page, run):
    report = tmp_path / "report.html"
    assert looked_at.report(report, verdict="similar") == 1
    opened(page, report)
    names = [Path(name).name for name in page.locator(".image .name").all_inner_texts()]
    assert sorted(names) == ["page0.png", "page1.png"]
    assert "only pairs of the verdict similar" in page.locator("header").first.inner_text()
    assert page.locator(".verdict").all_inner_texts() == ["similar"]
    code, out, _ = run("report", tmp_path / "store", "-o", report, "--verdict", "same-file,similar")
    assert code == 0
    assert out.startswith(f"2 clusters in {report}: difference (MSE) ≤ 200 with rotations, as shown on ")
    assert out.endswith("; only pairs of the verdict same file or similar\n")
    # a verdict that no pair has, and words that are none
    assert looked_at.report(report, verdict="same pixels") == 0
    code, _, err = run("report", tmp_path / "store", "-o", report, "--verdict", "cats")
    choices = "same file, same pixels, same picture, edited copy, not looked at, similar"
    assert (code, err) == (2, f"fastdiff-dask: --verdict 'cats' is none of the verdicts: {choices}\n")


def test_limits_and_mistakes(tmp_path, found):
    report = tmp_path / "report.html"
    assert found.report(report, limit=2) == 2
    assert "only the first 2 clusters are shown, 3 are left out" in report.read_text()
    for limit in (0, True, "3"):
        with pytest.raises(fd.UsageError, match="limit="):
            write_report(found.store, found.result(), report, limit=limit)
    with pytest.raises(fd.UsageError, match="cannot be written"):
        found.report(tmp_path / "none" / "report.html")
    done = CliRunner().invoke(commands, ["report", str(tmp_path / "store"), "-o", str(report), "--threshold", "0.001"])
    assert (done.exit_code, done.output) == (0, f"0 clusters in {report}: difference (MSE) ≤ 0.001 with rotations\n")
    text = report.read_text()
    assert "No similar images were found." in text
    # nothing of a name is markup, and nothing is asked for elsewhere
    found.report(report)
    text = report.read_text()
    assert "<script>alert" not in text
    assert "<img src=x" not in text
    assert not re.search(r"https?://", text)


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
    data = json.loads(re.search(r'id="data">(.*?)</script>', (tmp_path / "r.html").read_text())[1])
    for cluster in data["clusters"]:
        assert [(image["d"], image["g"]) for image in cluster["images"]] == [("a", 2), ("b", 1)]


def test_marks_say_one_thing(tmp_path, found, page):
    """The export has the marks that are shown, and a suggestion changes no mark."""
    report = tmp_path / "report.html"
    found.report(report)
    opened(page, report)
    image = page.locator(".cluster").nth(0).locator(".image").nth(1)
    image.locator(".n").click()
    image.locator(".r").click()
    assert image.get_attribute("data-mark") == "remove"
    other = page.locator(".cluster").nth(1).locator(".image").nth(1)
    other.locator(".k").click()
    page.click("#suggest")
    assert other.get_attribute("data-mark") == "keep"
    third = page.locator(".cluster").nth(2).locator(".image").nth(1)
    third.locator(".n").click()
    assert third.get_attribute("data-mark") == "not"
    with page.expect_download() as download:
        page.click("#export")
    download.value.save_as(tmp_path / "d.json")
    decisions = json.loads((tmp_path / "d.json").read_text())
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
    page.reload()
    page.wait_for_selector('.image[data-mark="remove"]')
    shutil.rmtree(tmp_path / "store")
    shutil.rmtree(tmp_path / "photos")
    simulate_images(tmp_path / "photos", images=8, duplicates=5, size=(96, 64), seed=7)
    compared(tmp_path, client).report(report)
    opened(page, report)
    assert page.locator('.image[data-mark="remove"]').count() == 0
    assert "0 images to remove" in page.inner_text("#count")


def test_names_that_would_mislead(tmp_path, client, page):
    photos = simulate_images(tmp_path / "photos", images=1, duplicates=1)
    (copy,) = photos.duplicates
    copy.rename(copy.with_name("a\u202egpj.exe\n.jpg"))
    compared(tmp_path, client).report(tmp_path / "report.html")
    opened(page, tmp_path / "report.html")
    shown = page.locator(".image .name").all_inner_texts()
    assert any(r"a\u202egpj.exe\n.jpg" in name for name in shown)
    page.click("#suggest")
    with page.expect_download() as download:
        page.click("#export")
    download.value.save_as(tmp_path / "d.json")
    assert any("\u202e" in mark["path"] for mark in json.loads((tmp_path / "d.json").read_text())["marks"])


def test_marks_and_keys_in_the_view_of_two(tmp_path, client, page):
    photos = simulate_images(tmp_path / "photos", images=2, duplicates=2, size=(96, 64))
    shutil.copy(photos.originals[0], tmp_path / "photos" / "third.jpg")
    compared(tmp_path, client).report(tmp_path / "report.html")
    opened(page, tmp_path / "report.html")
    card = page.locator(".cluster", has=page.locator(".image").nth(2))
    card.locator(".image .r").nth(1).click()
    card.locator(".view").nth(1).click()
    pressed = page.locator('#dialog-marks button[aria-pressed="true"]')
    assert pressed.all_inner_texts() == ["remove"]
    first = page.inner_text("#right-name")
    page.keyboard.press("ArrowRight")
    assert page.inner_text("#right-name") != first
    assert pressed.count() == 0
    page.keyboard.press("e")
    assert pressed.all_inner_texts() == ["keep"]
    page.keyboard.press("n")
    assert pressed.all_inner_texts() == ["no duplicate"]
    page.keyboard.press("ArrowLeft")
    assert page.inner_text("#right-name") == first
    page.keyboard.press("Escape")
    assert [card.locator(".image").nth(place).get_attribute("data-mark") for place in (1, 2)] == ["remove", "not"]
    # a filter by marks follows them
    page.select_option("#state", "open")
    assert page.locator(".cluster:visible").count() == 1
    page.click("#suggest")
    assert page.locator(".cluster:visible").count() == 0
    assert page.inner_text("#count").startswith("0 of 2 clusters")
    page.click("#clear")
    assert page.locator(".cluster:visible").count() == 2


def test_the_view_of_two_on_a_phone(tmp_path, found, page):
    found.report(tmp_path / "report.html")
    page.set_viewport_size({"width": 390, "height": 844})
    opened(page, tmp_path / "report.html")
    page.locator(".view").nth(1).click()
    page.wait_for_selector("#compare[open]")
    left, right, marks = (page.locator(name).bounding_box() for name in ("#left", "#right", "#dialog-marks"))
    assert left["y"] == right["y"]
    assert left["x"] + left["width"] <= right["x"]
    assert right["x"] + right["width"] <= 390
    assert marks["y"] < left["y"] < 400
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.screenshot(path=tmp_path / "phone.png")


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
