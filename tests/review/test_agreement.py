"""A plan that people saw is carried out: no other files of the same number, and no other images of the same numbers."""

import json
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from support.review import Page
from support.system import wait_for

import fastdiff_dask as fd
from fastdiff_dask.actions.apply import apply_plan
from fastdiff_dask.actions.journal import journals
from fastdiff_dask.review import jobs
from fastdiff_dask.review.desk import Desk
from fastdiff_dask.review.server import serve_in_thread
from fastdiff_dask.storage.store import Store
from fastdiff_dask.testing import simulate_images

from .conftest import make_reviewed
from .test_jobs import mark_copies

JSON = {"Content-Type": "application/json"}


def test_other_marks_of_the_same_number_are_not_carried_out(server, reviewed):
    before = reviewed.there()
    one, two = (server.images()[name]["n"] for name in mark_copies(server)[:2])
    server.post("api/marks", marks={}, clear=True)
    server.post("api/marks", marks={str(one): "remove"})
    seen = server.post("api/plan")
    # another page
    server.post("api/marks", marks={str(one): None, str(two): "remove"})
    assert server.post("api/plan")["files"] == seen["files"] == 1
    error = server.apply("trash", 409, plan=seen["plan"])["error"]
    assert error == "the marks were changed meanwhile, and take other files; look at them again"
    assert reviewed.there() == before
    server.apply("trash")
    assert server.job()["went"] == 1


def test_another_image_that_is_kept_is_another_plan(tmp_path, client):
    photos, store = two_groups(tmp_path)
    shutil.copyfile(photos / "b" / "b-one.jpg", photos / "b" / "b-three.jpg")
    find(photos, store, client)
    with serve_in_thread(str(store), "127.0.0.1:0") as served:
        page = Page(served.url)
        numbers = {name: str(image["n"]) for name, image in page.images().items()}
        page.post("api/marks", marks={numbers["b-two.jpg"]: "remove", numbers["b-one.jpg"]: "keep"})
        seen = page.post("api/plan")
        page.post("api/marks", marks={numbers["b-one.jpg"]: None, numbers["b-three.jpg"]: "keep"})
        assert page.post("api/plan")["files"] == seen["files"] == 1
        page.apply("trash", 409, plan=seen["plan"])


def two_groups(folder: Path) -> tuple[Path, Path]:
    """A picture in b and another one in c, each twice."""
    simulate_images(folder / "made", images=2, duplicates=0, size=(120, 90))
    made = sorted(path for path in (folder / "made").rglob("*") if path.is_file())
    for name, path in zip("bc", made, strict=True):
        (folder / "photos" / name).mkdir(parents=True)
        for which in ("one", "two"):
            shutil.copyfile(path, folder / "photos" / name / f"{name}-{which}.jpg")
    return folder / "photos", folder / "store"


def find(photos: Path, store: Path, client) -> None:
    with fd.FastDifPy(photos, store=store, client=client, block_size=8, verbose=False) as db:
        db.index_the_dirs()
        db.first_loop_iteration()
        db.second_loop_iteration()
        db.verify()
        db.result()


@pytest.fixture
def blind(monkeypatch):
    """A server that looks at its store only when it is asked."""
    monkeypatch.setattr(Desk, "look", lambda desk: None)


def names_in(photos: Path) -> list[str]:
    return sorted(path.name for path in photos.rglob("*.jpg"))


@pytest.mark.parametrize("when", ["before the plan", "after the plan", "while apply begins"])
def test_numbers_of_a_store_that_was_made_anew_take_no_other_image(tmp_path, client, blind, monkeypatch, when):
    photos, store = two_groups(tmp_path)
    find(photos, store, client)

    def make_anew() -> None:
        shutil.rmtree(store)
        (photos / "b").rename(photos / "d")  # so that numbers are those of images of c
        find(photos, store, client)

    with serve_in_thread(str(store), "127.0.0.1:0") as served:
        page = Page(served.url)
        page.post("api/marks", marks={str(page.images()["b-two.jpg"]["n"]): "remove"})
        if when == "before the plan":
            make_anew()
            error = page.post("api/plan", 409)["error"]
        else:
            seen = page.post("api/plan")
            if when == "after the plan":
                make_anew()
            else:
                monkeypatch.setattr(jobs, "apply_plan", lambda *given: (make_anew(), apply_plan(*given))[1])
            body = {"action": "trash", "files": 1, "plan": seen["plan"]}
            answer = page.ask("POST", "api/apply", json.dumps(body).encode(), JSON)
            assert answer.status == 409
            error = answer.json["error"]
        assert error == "the store was made anew, and has other images than the page; look at them again"
        assert names_in(photos) == ["b-one.jpg", "b-two.jpg", "c-one.jpg", "c-two.jpg"]
        # now the page has them, without a mark
        images = page.images()
        assert {image["folder"] for image in images.values()} == {"c", "d"}
        assert {image["mark"] for image in images.values()} == {None}


def test_a_smaller_store_in_place_of_the_one_that_is_shown(tmp_path, client, blind):
    photos, store = two_groups(tmp_path)
    find(photos, store, client)
    with serve_in_thread(str(store), "127.0.0.1:0") as served:
        page = Page(served.url)
        page.post("api/marks", marks={str(page.images()["c-two.jpg"]["n"]): "remove"})
        shutil.rmtree(store)
        shutil.rmtree(photos / "b")
        find(photos, store, client)
        page.post("api/plan", 409)
        assert names_in(photos) == ["c-one.jpg", "c-two.jpg"]


def test_a_store_that_was_made_anew_is_shown(tmp_path, client):
    photos, store = two_groups(tmp_path)
    find(photos, store, client)
    with serve_in_thread(str(store), "127.0.0.1:0") as served:
        page = Page(served.url)
        assert {image["folder"] for image in page.images().values()} == {"b", "c"}
        shutil.rmtree(store)
        (photos / "b").rename(photos / "d")
        ended = int(time.time())
        wait_for(lambda: time.time() > ended + 1)  # a store has the second in which its result was shown
        find(photos, store, client)
        wait_for(lambda: {image["folder"] for image in page.images().values()} == {"c", "d"})


def test_a_mark_of_a_number_that_is_another_image_by_now_is_refused(server):
    image = next(iter(server.images().values()))
    number = str(image["n"])
    error = server.post("api/marks", 409, marks={number: "remove"}, contents={number: "0" * 16})["error"]
    assert error == f"image {number} is another one than on the page by now; look at it again"
    assert server.post("api/marks", marks={}, contents={})["marks"]["remove"] == 0
    assert server.post("api/marks", marks={number: "remove"}, contents={number: image["v"]})["marks"]["remove"] == 1


def test_a_job_names_the_journal_that_brings_its_own_files_back(server, reviewed):
    mark_copies(server)
    server.apply("trash")
    job = server.job()
    (journal,) = journals(Store(str(reviewed.store)).url)
    assert job["journal"] == journal.path.name


def test_a_job_that_moved_nothing_names_no_journal(tmp_path, client):
    reviewed = make_reviewed(tmp_path, client)
    with serve_in_thread(str(reviewed.store), "127.0.0.1:0") as served:
        page = Page(served.url)
        first, *others = mark_copies(page)
        numbers = {name: str(page.images()[name]["n"]) for name in (first, *others)}
        page.post("api/marks", marks={numbers[name]: None for name in others})
        page.apply("trash")
        assert page.job()["journal"] is not None
        page.post("api/marks", marks={numbers[others[0]]: "remove"})
        next(reviewed.photos.rglob(others[0])).write_bytes(b"another file")
        page.apply("trash")
        job = page.job()
        assert (job["went"], job["journal"], len(job["lines"])) == (0, None, 1)


def test_a_fault_of_this_program_ends_a_job_with_a_word(server, reviewed, monkeypatch):
    before = reviewed.there()
    mark_copies(server)

    def broken(*given):
        yield from ()
        raise RuntimeError("broken")

    monkeypatch.setattr(jobs, "apply_plan", broken)
    monkeypatch.setattr("threading.excepthook", lambda *given: None)
    server.apply("trash")
    assert server.job()["error"] == "RuntimeError: broken"
    assert reviewed.there() == before


def test_what_other_processes_take_and_bring_back_is_shown(server, reviewed):
    names = mark_copies(server)
    url = Store(str(reviewed.store)).url
    with serve_in_thread(url, "127.0.0.1:0") as served:
        other = Page(served.url)
        other.apply("trash")
        journal = other.job()["journal"]
        wait_for(lambda: [name for name, image in sorted(server.images().items()) if image["gone"]] == names)
        other.post("api/undo", journal=journal)
        assert other.job()["went"] == len(names)
    wait_for(lambda: not any(image["gone"] for image in server.images().values()))
    assert server.post("api/plan")["files"] == len(names)


def test_a_mark_makes_no_folder_where_the_store_was(server, reviewed):
    number = next(iter(server.images().values()))["n"]
    shutil.rmtree(reviewed.store)
    error = server.post("api/marks", 400, marks={str(number): "remove"})["error"]
    assert error.endswith("is not there any more; run find again")
    assert not reviewed.store.exists()


def test_marks_of_two_pages_at_the_same_time_are_both_seen(server):
    numbers = [str(image["n"]) for image in server.images().values()]
    with ThreadPoolExecutor(4) as threads:
        for mark in ("remove", "keep", None) * 5:
            list(threads.map(lambda number, mark=mark: server.post("api/marks", marks={number: mark}), numbers))
            assert {image["mark"] for image in server.images().values()} == {mark}
