"""Apply and undo from the page."""

import signal
from collections import Counter
from pathlib import Path

import pytest
from support.review import Page, Server
from support.system import wait_for

from fastdiff_dask.actions.journal import acting, journals
from fastdiff_dask.review.server import serve_in_thread
from fastdiff_dask.storage.store import Store


def mark_copies(page: Page) -> list[str]:
    """Mark what apply would choose; gives the names that would go."""
    page.post("api/suggest", rules=[])
    return sorted(name for name, image in page.images().items() if image["mark"] == "remove")


def trashed(tmp_path: Path) -> list[str]:
    files = tmp_path / "data" / "Trash" / "files"
    return sorted(path.name for path in files.iterdir()) if files.exists() else []


def test_marked_images_go_to_the_trash_and_come_back(server, reviewed, tmp_path):
    before = reviewed.there()
    names = mark_copies(server)
    plan = server.post("api/plan")
    assert plan["files"] == len(names) > 2
    assert plan["bytes"] == sum(image["size"] for image in server.images().values() if image["mark"] == "remove")
    assert reviewed.there() == before

    server.apply("trash", files=plan["files"], plan=plan["plan"])
    job = server.job()
    assert (job["kind"], job["done"], job["went"], job["of"], job["lines"], job["error"]) == (
        *("apply", plan["files"], plan["files"], plan["files"]),
        [],
        None,
    )
    assert trashed(tmp_path) == names
    assert not {Path(path).name for path in reviewed.there()} & set(names)
    images = server.images()
    assert sorted(name for name, image in images.items() if image["gone"]) == names
    assert server.get("api/state")["marks"]["remove"] == 0
    assert server.ask("GET", f"thumb/{images[names[0]]['n']}").status == 200  # as the store has it

    (journal,) = server.get("api/state")["journals"]
    assert (journal["text"], journal["files"]) == (f"{len(names)} files moved to the trash", len(names))
    assert journal["bytes"] == plan["bytes"]
    server.post("api/undo", journal=journal["id"])
    job = server.job()
    assert (job["kind"], job["went"], job["lines"], job["error"]) == ("undo", len(names), [], None)
    assert reviewed.there() == before
    assert not any(image["gone"] for image in server.images().values())
    assert server.get("api/state")["journals"] == []
    assert server.get("api/state")["marks"]["remove"] == len(names)


def test_marked_images_are_moved_to_a_folder(server, reviewed, tmp_path):
    names = mark_copies(server)
    server.apply("move", folder=str(tmp_path / "away"), files=len(names))
    assert server.job()["went"] == len(names)
    assert sorted(path.name for path in (tmp_path / "away").iterdir()) == names


def test_only_the_number_that_was_seen_is_carried_out(server, reviewed):
    before = reviewed.there()
    error = server.apply("trash", 409, files=0)["error"]
    assert error == "no image is marked that could be removed"
    names = mark_copies(server)
    for files in (0, len(names) - 1, len(names) + 1):
        error = server.apply("trash", 409, files=files)["error"]
        assert error.startswith(f"the marks now take {len(names)} files, not {files}")
    assert reviewed.there() == before


def test_a_file_that_has_changed_stays_and_the_page_says_why(server, reviewed):
    names = mark_copies(server)
    (path,) = reviewed.photos.rglob(names[0])
    content = path.read_bytes()
    path.write_bytes(content + b"x")
    server.apply("trash", files=len(names))
    job = server.job()
    assert job["went"] == len(names) - 1
    (line,) = job["lines"]
    assert line["path"] == str(path)
    assert "changed" in line["reason"]
    assert path.read_bytes() == content + b"x"


def test_an_image_marked_to_go_stays_if_nothing_is_kept_for_it(server, reviewed):
    before = reviewed.there()
    images = list(server.images().values())
    group = [image for image in images if image["group"] == images[0]["group"]]
    server.post("api/marks", marks={str(image["n"]): "remove" for image in group})
    plan = server.post("api/plan")
    assert plan["files"] == 0
    assert len(plan["stay"]) == plan["staying"] == len(group)
    assert {line["reason"] for line in plan["stay"]} == {"no image that is kept is similar to it"}
    assert reviewed.there() == before


def test_a_limit_is_told_before(server, monkeypatch):
    mark_copies(server)
    assert server.post("api/plan")["limits"] == []
    monkeypatch.setattr("fastdiff_dask.actions.removal_plan._FEW", 1)
    (limit,) = server.post("api/plan")["limits"]
    assert limit.startswith("it takes all 2 images of the folder")


def test_one_job_runs_at_a_time(server, reviewed):
    names = mark_copies(server)
    with acting():
        server.apply("trash", files=len(names))
        job = server.job()
    assert job["went"] == 0
    assert "another apply or undo is at work" in job["error"]
    server.apply("trash", files=len(names))
    assert server.job()["went"] == len(names)


def test_not_a_duplicate_is_no_more_removed(server, reviewed):
    names = mark_copies(server)
    images = server.images()
    copy = images["copy_00004.jpg"]
    first = next(image for image in images.values() if image["group"] == copy["group"] == image["n"])
    server.post("api/apart", pairs=[[first["n"], copy["n"]]], on=True)
    assert server.images()["copy_00004.jpg"]["apart"]
    assert server.get("api/state")["apart"] == 1
    assert server.post("api/plan")["files"] == len(names) - 1
    server.post("api/apart", pairs=[[copy["n"], first["n"]]], on=False)
    assert not server.images()["copy_00004.jpg"]["apart"]
    assert server.post("api/plan")["files"] == len(names)


@pytest.mark.parametrize("action", ["trash", "move"])
def test_a_server_killed_in_the_middle_of_applying_loses_nothing(reviewed, tmp_path, action):
    before = reviewed.there()
    server = Server(reviewed.store)
    names = mark_copies(server.page)
    folder = {"folder": str(tmp_path / "away")} if action == "move" else {}
    server.page.apply(action, files=len(names), **folder)
    places = [tmp_path / "away", tmp_path / "data" / "Trash" / "files"]
    # with the first file there, it may still have its old name as well, and no line in the journal
    wait_for(lambda: any(place.exists() and len(list(place.iterdir())) > 1 for place in places))
    server.end(signal.SIGKILL)
    went = [path.read_bytes() for place in places if place.exists() for path in place.iterdir()]
    assert went
    # a file may have both of its names at that moment
    assert Counter(before.values()) <= Counter([*reviewed.there().values(), *went])

    url = Store(str(reviewed.store)).url
    with serve_in_thread(url, "127.0.0.1:0") as served:
        page = Page(served.url)
        (journal,) = page.get("api/state")["journals"]
        page.post("api/undo", journal=journal["id"])
        job = page.job()
        assert (job["lines"], job["error"]) == ([], None)
        assert reviewed.there() == before
        assert not any(path for place in places if place.exists() for path in place.iterdir())
        assert journals(url) == []
        # the marks are those of before, and the rest is done by a click
        page.apply(action, files=len(names), **folder)
        assert page.job()["went"] == len(names)
