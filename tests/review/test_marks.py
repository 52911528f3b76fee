"""Marks in the store: kept, shared, and of a content."""

import json
import signal
from concurrent.futures import ThreadPoolExecutor

import pytest
from support.review import Page, Server
from support.system import wait_for

import fastdiff_dask as fd
from fastdiff_dask.errors import FastDiffError
from fastdiff_dask.review import marks as marks_module
from fastdiff_dask.review.marks import Marks
from fastdiff_dask.review.server import serve_in_thread
from fastdiff_dask.storage.store import Store


def content(number: int) -> str:
    return f"{number:016x}"


@pytest.fixture
def store(reviewed) -> Store:
    return Store(str(reviewed.store))


def known(store: Store, numbers: range = range(50)) -> dict[int, str]:
    return Marks(store).get(numbers, map(content, numbers))


def test_the_latest_mark_counts_and_may_be_taken_back(store):
    marks = Marks(store)
    marks.set({1: "keep", 2: "remove"}, {1: content(1), 2: content(2)})
    marks.set({2: "keep", 1: None}, {1: content(1), 2: content(2)})
    assert known(store) == {2: "keep"}
    assert Marks(store).marked() == [2]


def test_a_mark_is_that_of_a_content(store):
    Marks(store).set({1: "remove"}, {1: content(1)})
    assert Marks(store).get([1], [content(2)]) == {}


def test_a_clock_that_goes_back_undoes_nothing(store, monkeypatch):
    marks = Marks(store)
    marks.set({1: "keep"}, {1: content(1)})
    monkeypatch.setattr(marks_module.time, "time_ns", lambda: 5)
    marks.set({1: "remove"}, {1: content(1)})
    assert known(store) == {1: "remove"}


def test_files_are_merged_and_nothing_is_lost_by_two_that_do(store):
    one, other = Marks(store), Marks(store)
    for number in range(200):
        (one, other)[number % 2].set({number: "keep"}, {number: content(number)})
    assert len(list(store.files.names("marks"))) < 140
    assert known(store, range(200)) == dict.fromkeys(range(200), "keep")
    assert one.refresh()
    assert one.get(range(200), map(content, range(200))) == dict.fromkeys(range(200), "keep")
    assert not one.refresh()


def test_several_threads_mark_at_the_same_time(store):
    marks = Marks(store)
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda number: marks.set({number: "keep"}, {number: content(number)}), range(300)))
    assert known(store, range(300)) == dict.fromkeys(range(300), "keep")


@pytest.mark.parametrize("entry", [["delete", "0" * 16, 1], ["keep", "x", 1], ["keep", "0" * 16, "1"], ["keep"], 3])
def test_a_mark_that_is_none_is_left_out(store, entry):
    store.files.write(
        f"marks/{'0' * 32}.json", json.dumps({"marks": {"1": entry, "2": ["keep", content(2), 1]}}).encode()
    )
    assert known(store) == {2: "keep"}


def test_a_damaged_file_is_said(store):
    store.files.write(f"marks/{'0' * 32}.json", b"{")
    with pytest.raises(FastDiffError, match="is damaged: marks/0"):
        Marks(store)


def test_a_killed_server_loses_no_mark_that_was_answered(reviewed):
    server = Server(reviewed.store)
    numbers = [image["n"] for image in server.page.images().values()]
    for number in numbers:
        server.page.post("api/marks", marks={str(number): "keep"})
    server.end(signal.SIGKILL)
    server = Server(reviewed.store)
    assert {image["mark"] for image in server.page.images().values()} == {"keep"}
    server.end(signal.SIGTERM)


def test_two_pages_of_two_servers_see_the_same(server, reviewed):
    number = next(iter(server.images().values()))["n"]
    with serve_in_thread(Store(str(reviewed.store)).url, "127.0.0.1:0") as other:
        page = Page(other.url)
        revision = page.get("api/state")["revision"]
        server.post("api/marks", marks={str(number): "keep"})
        wait_for(lambda: page.get("api/state")["marks"]["keep"] == 1)
        assert page.get("api/events", revision=revision)["revision"] != revision


def test_a_page_hears_of_a_mark_of_another_page_at_once(server):
    number = next(iter(server.images().values()))["n"]
    with ThreadPoolExecutor(1) as threads:
        revision = server.get("api/state")["revision"]
        waiting = threads.submit(server.get, "api/events", revision=revision)
        answer = server.post("api/marks", marks={str(number): "remove"})
        assert waiting.result(timeout=10)["revision"] > revision
    assert answer["marks"]["remove"] == 1


def test_all_marks_are_cleared_by_one_call(server):
    server.post("api/suggest", rules=[])
    assert server.get("api/state")["marks"]["remove"] > 0
    answer = server.post("api/marks", marks={}, clear=True)
    assert answer["marks"] == {"keep": 0, "remove": 0, "bytes": 0}


def test_a_mark_does_not_make_the_page_ask_for_the_groups_again(server):
    wait_for(lambda: any(image["suggest"] for image in server.images().values()))
    before = server.get("api/state")["result"]
    images = list(server.images().values())
    server.post("api/marks", marks={str(images[0]["n"]): "keep"})
    assert server.get("api/state")["result"] == before
    server.post("api/apart", pairs=[[images[0]["n"], images[1]["n"]]], on=True)
    assert server.get("api/state")["result"] != before


def test_marks_are_of_the_store_and_go_with_it(reviewed, server, client):
    number = next(iter(server.images().values()))["n"]
    server.post("api/marks", marks={str(number): "keep"})
    with fd.FastDifPy(reviewed.photos, store=reviewed.store, client=client, verbose=False) as db:
        db.clean_up()
    assert not (reviewed.store / "marks").exists()
