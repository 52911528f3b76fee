"""Choices that concern many images."""

import pytest
from support.system import wait_for

from fastdiff_dask.actions.choice import _Neighbours


def marked(page) -> dict[str, str]:
    return {name: image["mark"] for name, image in page.images().items() if image["mark"]}


def test_rules_choose_as_they_suggest_and_a_preview_changes_nothing(server):
    wait_for(lambda: any(image["suggest"] for image in server.images().values()))
    before = server.get("api/state")["revision"]
    preview = server.post("api/suggest", rules=["most-pixels"], preview=True)
    assert marked(server) == {}
    assert server.get("api/state")["revision"] == before
    done = server.post("api/suggest", rules=["most-pixels"])
    names = ("groups", "images", "bytes", "kept", "skipped")
    assert [preview[name] for name in names] == [done[name] for name in names]
    marks = list(marked(server).values())
    assert (marks.count("remove"), marks.count("keep")) == (done["images"], done["kept"])
    assert done["marks"] == {"remove": done["images"], "keep": done["kept"], "bytes": done["bytes"]}
    assert done["groups"] == server.get("api/state")["groups"]


def test_rules_choose_within_the_groups_that_are_shown(server):
    done = server.post("api/suggest", rules=[], filter={"folder": "phone"})
    shown = server.images(folder="phone")
    assert 0 < done["groups"] < server.get("api/state")["groups"]
    assert set(marked(server)) <= set(shown)


def test_marks_of_people_go_before_rules(server):
    first = server.post("api/suggest", rules=[], preview=True)
    wait_for(lambda: any(image["suggest"] for image in server.images().values()))
    going = next(image for image in server.images().values() if image["suggest"] == "remove")
    server.post("api/marks", marks={str(going["n"]): "keep"})
    done = server.post("api/suggest", rules=[])
    assert done["images"] == first["images"] - 1
    assert ["it is marked to be kept", 1] in done["skipped"]
    assert server.images()[going["name"]]["mark"] == "keep"


@pytest.mark.parametrize("absolute", [False, True])
def test_a_preferred_folder_may_be_named_as_on_the_page(server, reviewed, absolute):
    server.post("api/suggest", rules=[], prefer=[str(reviewed.photos / "phone") if absolute else "phone"])
    images = server.images().values()
    assert {image["mark"] for image in images if image["folder"].startswith("phone")} == {"keep"}


def test_nothing_of_a_protected_folder_is_chosen(server):
    done = server.post("api/suggest", rules=["shortest-path"], protect=["phone"])
    images = server.images().values()
    assert "remove" not in {image["mark"] for image in images if image["folder"].startswith("phone")}
    assert ["it is in a protected folder", 2] in done["skipped"]


def test_a_folder_is_kept_and_its_copies_elsewhere_go(server):
    preview = server.post("api/prefer", folder="phone", preview=True)
    assert marked(server) == {}
    done = server.post("api/prefer", folder="phone")
    assert [done[name] for name in ("groups", "images", "kept")] == [2, 4, 2]
    assert preview["images"] == done["images"]
    groups = {image["group"] for image in server.images(folder="phone").values()}
    for image in server.images().values():
        expected = None
        if image["group"] in groups:
            expected = "keep" if image["folder"].startswith("phone") else "remove"
        assert image["mark"] == expected


def test_an_image_is_tried_against_images_of_its_own_group_alone(server, monkeypatch):
    tried = []
    are_near = _Neighbours.are_near

    def counting(self, row, groups):
        tried.append(len(groups))
        return are_near(self, row, groups)

    monkeypatch.setattr(_Neighbours, "are_near", counting)
    server.post("api/suggest", rules=[], include=["similar"], preview=True)
    largest = max(server.get("api/groups")["counts"])
    assert 0 < max(tried) <= largest < server.get("api/state")["groups"]
