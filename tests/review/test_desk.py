"""Groups, details and pictures as the page gets them; and a find that still runs."""

import io
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
from PIL import Image
from support.review import Page
from support.system import wait_for

import fastdiff_dask as fd
from fastdiff_dask.results.stored import stored_result
from fastdiff_dask.review.desk import Desk
from fastdiff_dask.review.server import serve_in_thread
from fastdiff_dask.storage.store import Store
from fastdiff_dask.testing import simulate_images

SUPPORT = Path(__file__).parents[1] / "support"


def test_groups_are_those_of_the_result_most_certain_first(server, reviewed):
    result = stored_result(Store(str(reviewed.store)))
    state, groups = server.get("api/state"), server.get("api/groups")
    assert state["groups"] == len(groups["ids"]) == len(result.clusters)
    assert sum(groups["counts"]) == state["images"]
    assert groups["verdicts"] == state["verdicts"]
    assert (state["measure"], state["threshold"], state["finding"], state["finished"]) == ("MSE", 200.0, None, True)
    assert state["common"] == str(reviewed.photos)
    details = server.get("api/groups/details", ids=",".join(map(str, groups["ids"])))["groups"]
    assert [group["id"] for group in details] == groups["ids"]
    keep = [f"{state['common']}/{group['images'][0]['folder']}/{group['images'][0]['name']}" for group in details]
    assert sorted(name.replace("//", "/") for name in keep) == [cluster.keep for cluster in result.clusters]
    verdicts = [group["verdict"] for group in details]
    certain = [name for name, _ in state["verdicts"]]
    assert verdicts == sorted(verdicts, key=certain.index)
    for group in details:
        first, *others = group["images"]
        assert (first["verdict"], first["value"]) == (None, None)
        for image in others:
            pair = result.similar_to(path_of(state, first), [path_of(state, image)]).iloc[0]
            assert (image["value"], image["verdict"]) == (pair.mse, pair.verdict)


def path_of(state: dict, image: dict) -> str:
    return str(Path(state["common"], image["folder"], image["name"]))


def test_the_turn_of_an_image_is_that_by_which_it_looks_like_the_first(tmp_path, client):
    photos = tmp_path / "photos"
    simulate_images(photos, images=1, duplicates=0, size=(90, 90))
    (path,) = (one for one in photos.rglob("*") if one.is_file())
    picture = np.asarray(Image.open(path).convert("RGB"))
    path.unlink()
    Image.fromarray(picture).save(photos / "first.png")
    Image.fromarray(np.rot90(picture)).save(photos / "turned copy.png")
    Image.fromarray(picture[:, ::-1]).save(photos / "mirrored copy.png")
    with fd.FastDifPy(photos, store=tmp_path / "store", client=client, block_size=8, verbose=False) as db:
        db.index_the_dirs()
        db.first_loop_iteration()
        db.second_loop_iteration(mirror=True)
        db.result()
    with serve_in_thread(str(tmp_path / "store"), "127.0.0.1:0") as served:
        images = Page(served.url).images()
    first = next(image for image in images.values() if image["verdict"] is None)
    arrays = {name: np.asarray(Image.open(photos / name).convert("RGB")) for name in images}
    for name, image in images.items():
        turned = arrays[name][:, ::-1] if image["mirror"] else arrays[name]
        assert (np.rot90(turned, image["turn"] // 90) == arrays[first["name"]]).all(), name


def test_conditions_choose_groups(server):
    whole = server.images()
    by_folder = server.images(folder="phone")
    assert {image["group"] for image in by_folder.values()} == {
        image["group"] for image in whole.values() if image["folder"].startswith("phone")
    }
    assert server.images(folder="pho") == {}
    assert server.images(text="EQUAL").keys() == server.images(folder="phone/2024").keys() != set()
    assert server.images(format=".nothing") == {}
    largest = max(image["size"] for image in whole.values())
    assert {image["group"] for image in server.images(min_size=largest).values()} == {
        image["group"] for image in whole.values() if image["size"] == largest
    }
    day = max(image["date"] for image in whole.values())[:10]
    assert server.images(after="2999-01-01") == {}
    assert server.images(before=day).keys() == whole.keys()
    number = next(iter(whole.values()))["n"]
    server.post("api/marks", marks={str(number): "remove"})
    with_marks, without = server.images(marked="any"), server.images(marked="none")
    assert with_marks.keys() == server.images(marked="remove").keys() == whole.keys() - without.keys() != set()
    assert server.images(marked="keep") == {}


def test_a_thumbnail_is_that_of_the_file_and_else_that_of_the_store(server, reviewed):
    image = next(one for one in server.images().values() if one["folder"] == "phone/2024")
    answer = server.ask("GET", f"thumb/{image['n']}?v={image['v']}")
    assert Image.open(io.BytesIO(answer.body)).size == (image["width"], image["height"])
    other = next(one for one in server.images().values() if one["n"] != image["n"])
    path = Path(reviewed.photos, other["folder"], other["name"])
    path.unlink()
    answer = server.ask("GET", f"thumb/{other['n']}?v={other['v']}")
    shown = Image.open(io.BytesIO(answer.body))
    assert (answer.status, shown.format, shown.size) == (200, "WEBP", (other["width"], other["height"]))
    assert server.ask("GET", f"picture/{other['n']}").status == 404


def test_the_original_pixels_are_sent(server, reviewed):
    for image in server.images().values():
        path = Path(reviewed.photos, image["folder"], image["name"])
        answer = server.ask("GET", f"picture/{image['n']}")
        assert answer.status == 200
        if image["format"] in ("JPEG", "PNG", "WEBP", "GIF"):
            assert answer.body == path.read_bytes()
        shown = np.asarray(Image.open(io.BytesIO(answer.body)).convert("RGB"))
        assert (shown == np.asarray(Image.open(path).convert("RGB"))).all()


def test_the_pictures_that_are_kept_take_no_more_than_their_bound(server, reviewed, monkeypatch):
    monkeypatch.setattr("fastdiff_dask.review.pictures.CACHE_BYTES", 10_000)
    desk = Desk(Store(str(reviewed.store)).url)
    try:
        for image in server.images().values():
            desk.picture(image["n"], original=False)
            assert desk.pictures.kept_bytes <= 10_000
        assert desk.pictures.kept_bytes > 0
    finally:
        desk.close()


def test_a_find_that_runs_is_shown_and_its_groups_so_far(tmp_path):
    simulate_images(tmp_path / "photos", images=36, duplicates=12, size=(40, 30))
    store = tmp_path / "store"
    command = [sys.executable, SUPPORT / "slow_job.py", tmp_path / "photos", store, "0.4"]
    job = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for(lambda: (store / "arrays.zarr" / "comparisons").exists())
        with serve_in_thread(str(store), "127.0.0.1:0") as served:
            page = Page(served.url)
            wait_for(lambda: 0 < page.get("api/state")["groups"] < 9)
            state = page.get("api/state")
            assert (state["finding"]["stage"], state["finished"]) == ("compare", False)
            assert 0 < state["finding"]["done"] <= 1
            number = next(iter(page.images().values()))["n"]
            assert page.post("api/marks", marks={str(number): "remove"})["marks"]["remove"] == 1
            first = page.get("api/groups")["ids"]
            assert "is being written by" in page.post("api/apart", 409, pairs=[[number, number]], on=True)["error"]
            error = page.post("api/apply", 409, action="trash", files=1, plan="")["error"]
            assert error.startswith("the comparison is not finished")
            wait_for(lambda: page.get("api/state")["finding"] is None)
            wait_for(lambda: page.get("api/state")["finished"])
            assert page.get("api/state")["groups"] == len(stored_result(Store(str(store))).clusters) >= len(first)
            assert [image["n"] for image in page.images().values() if image["mark"] == "remove"] == [number]
    finally:
        job.send_signal(signal.SIGKILL)
        job.wait()


def test_a_store_without_a_comparison_has_no_groups_yet(tmp_path, client):
    simulate_images(tmp_path / "photos", images=3, duplicates=1)
    with fd.FastDifPy(tmp_path / "photos", store=tmp_path / "store", client=client, verbose=False) as db:
        db.index_the_dirs()
        with db.review("127.0.0.1:0") as served:
            page = Page(served.url)
            assert page.get("api/state")["groups"] == 0
            groups = page.get("api/groups")
            assert (groups["ids"], groups["counts"], groups["verdicts"]) == ([], [], [])
            assert "nothing is compared yet" in page.post("api/plan", 400)["error"]
            db.first_loop_iteration()
            db.second_loop_iteration()
            wait_for(lambda: page.get("api/state")["groups"] == 1)


def test_images_that_an_earlier_apply_took_are_left_out(server, reviewed):
    server.post("api/suggest", rules=[])
    server.apply("trash")
    server.job()
    with serve_in_thread(Store(str(reviewed.store)).url, "127.0.0.1:0") as served:
        assert Page(served.url).get("api/state")["groups"] == 0
