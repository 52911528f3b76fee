"""The review page in a real browser with its own server: from what was found to the trash and back, checked on disk."""

import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from support.review import Page, Server
from support.system import wait_for

import fastdiff_dask as fd
from fastdiff_dask.review.server import serve_in_thread
from fastdiff_dask.storage.store import Store
from fastdiff_dask.testing import simulate_images

HOSTILE = "<script>alert(1)<.jpg"


class Way:
    """A person who goes by the page: counts clicks, and knows what is on disk."""

    def __init__(self, page, url: str, photos: Path) -> None:
        self.page, self.url, self.photos, self.clicks = page, url, photos, 0
        page.goto(url)
        page.wait_for_selector(".view img")

    def click(self, name: str) -> None:
        self.clicks += 1
        self.page.get_by_role("button", name=name, exact=True).last.click()

    def there(self) -> set[str]:
        return {str(path.relative_to(self.photos)) for path in self.photos.rglob("*") if path.is_file()}

    def totals(self, start: str) -> None:
        wait_for(lambda: self.page.inner_text("#totals").startswith(start))

    def dialog(self, text: str) -> None:
        self.page.locator("dialog.ask", has_text=text).wait_for()


@pytest.fixture
def photos(tmp_path):
    """12 pictures and 5 altered copies; two equal files in a folder of their own, one with a hostile name."""
    folder = tmp_path / "photos"
    made = simulate_images(folder, images=12, duplicates=5, size=(240, 180))
    (folder / "phone").mkdir()
    shutil.copyfile(made.originals[0], folder / "phone" / made.originals[0].name)
    shutil.copyfile(made.originals[7], folder / "phone" / HOSTILE)
    return folder


@pytest.fixture
def store(photos, tmp_path, client):
    with fd.FastDifPy(photos, store=tmp_path / "store", client=client, verbose=False) as db:
        db.index_the_dirs()
        db.first_loop_iteration()
        db.second_loop_iteration()
        db.verify()
        db.result()
    return tmp_path / "store"


@pytest.fixture
def way(photos, store, page):
    page.set_viewport_size({"width": 1280, "height": 900})
    with serve_in_thread(Store(str(store)).url, "127.0.0.1:0") as served:
        yield Way(page, served.url, photos)


@pytest.fixture
def server(photos):
    """The server of the command line, after its `find`."""
    command = [sys.executable, "-m", "fastdiff_dask", "find", str(photos)]
    subprocess.run(command, check=True, capture_output=True)
    server = Server(photos)
    yield server
    if server.process.poll() is None:
        server.end(signal.SIGINT)


def test_all_plain_copies_are_in_the_trash_after_three_clicks_and_come_back(photos, server, page):
    way = Way(page, server.page.url, photos)
    before = way.there()
    assert page.evaluate("document.querySelectorAll('script').length") == 1
    assert HOSTILE in page.locator(".name").all_inner_texts()
    way.click("Mark all plain copies")
    way.totals("7 images to be removed")
    way.click("Move to trash")
    way.dialog("7 images")
    # nothing moves before it is confirmed
    assert way.there() == before
    way.click("Move 7 images")
    way.dialog("7 images moved to the trash")
    assert way.clicks == 3
    gone = before - way.there()
    assert len(gone) == 7
    assert not {name for name in gone if name.startswith("picture_") and "copy" not in name and "/" in name}
    # each group keeps an image
    assert page.locator('.image[data-mark="gone"]').count() == 7
    assert all(card.locator('.image:not([data-mark="gone"])').count() for card in page.locator(".card").all())
    way.click("Undo")
    way.dialog("7 images brought back")
    assert way.there() == before
    way.click("Close")
    page.wait_for_selector(".card")
    wait_for(lambda: page.locator('.image[data-mark="gone"]').count() == 0)
    assert page.wrong == []


def test_keys_are_for_the_first_image_from_the_start(way, page):
    page.keyboard.press("r")
    way.totals("1 image to be removed")
    page.keyboard.press("r")
    way.totals("0 images to be removed")
    page.keyboard.press("Enter")
    page.wait_for_selector("#large[open]")


def test_a_folder_that_cannot_be_is_asked_for_again(way, page, tmp_path):
    before = way.there()
    page.get_by_role("button", name="Mark all plain copies").click()
    way.totals("7 images to be removed")
    page.get_by_role("button", name="Move to folder").click()
    (tmp_path / "file").write_text("")
    page.fill("#target", str(tmp_path / "file"))
    page.get_by_role("button", name="Move 7 images").click()
    wait_for(lambda: "no folder" in page.inner_text("#alert"))
    wait_for(lambda: page.locator("#target").count() == 1)
    assert page.input_value("#target") == str(tmp_path / "file")
    assert way.there() == before


@pytest.mark.parametrize("reached", [True, False], ids=["the next group comes late", "the next group never comes"])
def test_a_key_after_the_one_for_the_next_group_marks_no_image_of_the_group_before(way, page, reached):
    page.keyboard.press("ArrowRight")
    page.locator(".view").first.click()
    page.wait_for_selector("#large[open]")

    def late(route) -> None:
        page.wait_for_timeout(300)
        route.continue_() if reached else route.abort()

    number = Page(way.url).images()[HOSTILE]["n"]
    page.route("**/api/groups/details*", late)
    before = page.locator("#large .name").all_inner_texts()
    # what is known of all groups is forgotten when another page marks
    with page.expect_request("**/api/groups/details*"):
        Page(way.url).post("api/marks", marks={str(number): "keep"})
    page.evaluate("""() => {
        const press = key => document.activeElement.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
        press("ArrowDown");
        press("r");
    }""")
    page.wait_for_timeout(1000)
    after = page.locator("#large .name").all_inner_texts()
    assert (after != before) is reached
    page.unroute("**/api/groups/details*")
    page.keyboard.press("Escape")
    page.reload()
    page.wait_for_selector(".view img")
    marked = page.locator('.image[data-mark="remove"] .name').all_inner_texts()
    assert marked == ([after[1]] if reached else [])


def test_marks_by_key_are_applied_and_undone_later(way, page):
    before = way.there()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("r")
    name = page.evaluate("document.activeElement.dataset.name")
    page.keyboard.press("Enter")
    page.wait_for_selector("#large[open]")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("k")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("n")
    page.keyboard.press("Escape")
    way.totals("1 image to be removed")
    wait_for(lambda: "1 pair is not a duplicate" in page.inner_text("#totals"))
    wait_for(lambda: "1 to keep" in page.inner_text("#totals"))
    page.wait_for_timeout(500)
    # all of it is there after the page is loaded again
    page.reload()
    page.wait_for_selector('.image[data-mark="remove"]')
    assert page.locator('.image[data-mark="keep"]').count() == 1
    assert page.locator('.image[data-mark="apart"]').count() == 1
    target = way.photos.parent / "removed"
    way.click("Move to folder …")
    page.locator("#target").fill(str(target))
    way.click("Move 1 image")
    way.dialog("1 image moved to the folder")
    (gone,) = before - way.there()
    assert gone.endswith(name)
    assert [path.name for path in target.rglob("*") if path.is_file()] == [name]
    way.click("Close")
    way.click("Undo …")
    way.dialog("1 file")
    page.locator(".back").first.click()
    way.dialog("1 image brought back")
    assert way.there() == before
    assert page.wrong == []


def test_what_stays_is_said_with_its_reason(way, page):
    way.click("Mark all plain copies")
    way.totals("7 images to be removed")
    # one is changed, all images of a group are marked
    (way.photos / "phone" / HOSTILE).write_bytes(b"another picture")
    way.click("Move to trash")
    page.locator("dialog.ask .buttons .danger").click()
    way.dialog("moved to the trash")
    way.dialog("1 image stayed")
    assert HOSTILE in page.locator("dialog.ask .lines li").inner_text()
    assert (way.photos / "phone" / HOSTILE).read_bytes() == b"another picture"
    way.click("Undo")
    way.dialog("6 images brought back")


def test_a_folder_is_kept_in_all_groups(way, page):
    way.click("Folder …")
    page.select_option("#folder-to-keep", "phone")
    way.dialog("In 2 groups")
    way.click("Set the marks")
    wait_for(lambda: page.locator('.image[data-mark="keep"]').count() == 2)
    kept = page.locator('.image[data-mark="keep"] .name').all()
    assert {one.get_attribute("title") for one in kept} == {f"phone/{HOSTILE}", "phone/picture_00000.jpg"}


def test_rules_say_first_what_they_would_mark(way, page):
    way.click("Rules …")
    way.dialog("Would mark 7 images")
    page.select_option("#rule-protect", "phone")
    page.locator("dialog.ask", has_text="Would mark 7 images").wait_for()
    way.click("most pixels")
    way.click("Cancel")
    assert page.inner_text("#totals").startswith("0 images")
    way.click("Rules …")
    page.select_option("#rule-prefer", "phone")
    page.wait_for_timeout(500)
    way.dialog("Would mark 7 images")
    way.click("Set the marks")
    way.totals("7 images to be removed")
    assert page.locator('[data-mark="remove"] .name[title^="phone/"]').count() == 0
    way.click("Clear marks")
    page.locator("dialog.ask .buttons .main").click()
    way.totals("0 images")


def test_filters_leave_what_passes(way, page):
    groups = page.locator(".card").count()
    page.select_option("#folder", "phone")
    wait_for(lambda: page.locator(".card").count() == 2)
    page.locator("#unfilter").click()
    wait_for(lambda: page.locator(".card").count() == groups)
    page.fill("#text", "SCRIPT")
    wait_for(lambda: page.locator(".card").count() == 1)
    way.click("Mark all plain copies")
    way.totals("1 image to be removed")
    page.fill("#text", "")
    page.select_option("#marked", "none")
    wait_for(lambda: page.locator(".card").count() == groups - 1)
    page.fill("#min_size", "100")
    page.get_by_text("No group passes the filters.").wait_for()


def test_two_pages_see_the_same(way, page, browser):
    other = browser.new_page()
    other.goto(way.url)
    other.wait_for_selector(".view img")
    page.locator(".image .r").first.click()
    other.wait_for_selector('.image[data-mark="remove"]')
    other.locator(".image .k").first.click()
    page.wait_for_selector('.image[data-mark="keep"]')
    other.close()


def test_a_server_that_went_away_is_said_so(photos, server, page):
    Way(page, server.page.url, photos)
    server.process.kill()
    server.process.communicate()
    page.locator(".image .r").first.click()
    page.get_by_text("The server does not answer").wait_for()
    assert page.locator('.image[data-mark="remove"]').count() == 1


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_whole_way_on_a_phone(way, page, scheme):
    page.set_viewport_size({"width": 360, "height": 740})
    page.emulate_media(color_scheme=scheme)
    before = way.there()
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    way.click("Mark all plain copies")
    way.totals("7 images")
    way.click("Move to trash")
    way.click("Move 7 images")
    way.dialog("7 images moved")
    box = page.locator("dialog.ask").bounding_box()
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= 360
    assert len(before - way.there()) == 7
    way.click("Undo")
    way.dialog("brought back")
    assert way.there() == before
    assert page.wrong == []
