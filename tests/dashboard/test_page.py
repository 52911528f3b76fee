"""The page on which a store is watched, in a real browser, while another process works on the store."""

import http.client
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from support.system import wait_for

import fastdiff_dask as fd
from fastdiff_dask.config import CompareSettings
from fastdiff_dask.dashboard import listening, server
from fastdiff_dask.errors import UsageError
from fastdiff_dask.runtime.activity import read_activity
from fastdiff_dask.storage.comparisons import Comparison
from fastdiff_dask.storage.store import Store
from fastdiff_dask.testing import simulate_images

HOSTILE = "<script>alert(1)<"  # no slash in the name of a file
CELLS = """() => {
    const data = Bokeh.documents[0].get_model_by_name("tiles-data").data
    return Object.fromEntries(Object.entries(data).map(([name, values]) => [name, Array.from(values)]))
}"""
RATES = """name => {
    const rates = Array.from(Bokeh.documents[0].get_model_by_name(name + "-rates-data").data.rate)
    return rates.map(rate => Number.isFinite(rate) ? rate : null)
}"""
TEXT = "name => Bokeh.documents[0].get_model_by_name(name).text"

SUPPORT = Path(__file__).parents[1] / "support"


@pytest.fixture
def serve():
    """Serve a store in a process of its own; gives the process and the address."""
    processes = []

    def serve(store, *options):
        command = [sys.executable, "-m", "fastdiff_dask", "dashboard", str(store), *options]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        processes.append(process)
        line = process.stdout.readline()
        assert line.startswith(f"Watching {store} at http://"), process.communicate()
        return process, line.split()[-1]

    yield serve
    for process in processes:
        process.kill()
        process.communicate()


def open_page(page, address: str) -> None:
    page.goto(address)
    page.wait_for_function("window.Bokeh && Bokeh.documents.length > 0")


def compared(store: Path) -> Comparison:
    return Comparison(Store(str(store)), CompareSettings())


def finished(store: Path) -> int:
    try:
        return sum(int((plan.counts[:, 0] >= 0).sum()) for plan in compared(store).plans())
    except UsageError:
        return 0


def test_a_run_in_another_process_is_shown_as_the_store_has_it(tmp_path, page, serve):
    simulate_images(tmp_path / "photos", images=36, duplicates=12, size=(40, 30))
    (tmp_path / "photos" / f"{HOSTILE}_script>.jpg").write_text("no picture")
    store = tmp_path / "store"
    job = subprocess.Popen([sys.executable, SUPPORT / "slow_job.py", tmp_path / "photos", store, "0.25"])
    try:
        wait_for(lambda: finished(store) >= 8)
        job.send_signal(signal.SIGSTOP)  # so that nothing changes while it is counted
        time.sleep(0.1)
        (plan,) = compared(store).plans()
        done = plan.counts[:, 0] >= 0
        _, works = read_activity(Store(str(store)).files)
        running = {work.running["tile"] for work in works if work.running} - set(done.nonzero()[0].tolist())
        assert 8 <= done.sum() < len(done) - len(running)

        process, address = serve(store, "--address", "127.0.0.1:0")
        open_page(page, address)
        page.wait_for_function(f"({CELLS})().left.length === {len(done)}")
        cells = page.evaluate(CELLS)
        states = [cells["state"].count(state) for state in ("done", "running", "pending")]
        assert states == [done.sum(), len(running), len(done) - done.sum() - len(running)]
        assert sum(cells["similar"]) == plan.counts[done, 0].sum() > 0
        assert sum(cells["pairs"]) == plan.counts[done, 1].sum()
        # each cell is where its tile is
        shown = {(cells["top"][k], cells["left"][k]): cells["similar"][k] for k in range(len(done))}
        for tile, similar in zip(plan.tiles, plan.counts[:, 0].tolist(), strict=True):
            assert shown[tile.rows.start * 8, tile.columns.start * 8] == max(similar, 0)
        text = f"{done.sum()} of {len(done)} tiles" + (f", {len(running)} running" if running else "")
        assert text in page.evaluate(TEXT, "progress")
        assert "Running: comparing" in page.evaluate(TEXT, "header")
        # a worker that was stopped between the end of a tile and saying so still names it
        assert len(running) <= page.evaluate(TEXT, "workers").count("tile ") <= len(works)
        assert page.get_by_text(HOSTILE).count() == 1  # as text, not as an element
        assert page.locator("progress").count() == 2
        assert len(page.screenshot(path=tmp_path / "page.png", full_page=True)) > 20_000

        job.send_signal(signal.SIGCONT)
        assert job.wait(60) == 0
        page.wait_for_function(f"({CELLS})().state.every(state => state === 'done')")
        page.wait_for_function(f"({TEXT})('header').includes('Finished')")
        (plan,) = compared(store).plans()
        assert sum(page.evaluate(CELLS)["similar"]) == plan.counts[:, 0].sum()
        rates = [rate for rate in page.evaluate(RATES, "pairs") if rate is not None]
        assert len(rates) > 1
        assert min(rates) > 0  # of the time of work alone
        assert page.evaluate(RATES, "images")  # read before anybody looked
        assert page.locator("figure img").count() == 2
        assert page.locator("figure img").evaluate_all("all => all.every(one => one.naturalWidth === 64)")

        shutil.rmtree(store)
        page.wait_for_function(f"({TEXT})('header').includes('no store at')")
    finally:
        job.kill()
        job.wait()
    assert page.wrong == []
    assert {re.split("[:/]+", url)[1] for url in page.asked} == {"127.0.0.1"}
    assert any(url.startswith("ws://") for url in page.asked)
    process.send_signal(signal.SIGINT)
    assert (process.wait(10), *process.communicate()) == (0, "", "")


def test_the_page_beside_dasks_own(tmp_path, page, capfd):
    simulate_images(tmp_path / "photos", images=6, duplicates=2, size=(40, 30))
    with fd.FastDifPy(tmp_path / "photos", store=tmp_path / "store", threads=1, dashboard_address="127.0.0.1:0") as db:
        db.index_the_dirs()
        db.first_loop_iteration()
        (address,) = re.findall(r"Progress: (http://127\.0\.0\.1:\d+/fastdiff)\n", capfd.readouterr().err)
        open_page(page, address)
        page.wait_for_function(f"({TEXT})('progress').includes('8 of 8 images')")
        db.second_loop_iteration()
        page.wait_for_function(f"({TEXT})('progress').includes('1 of 1 tiles')")
        # it took less time than lies between two looks
        page.wait_for_function(f"({RATES})('pairs').some(rate => rate > 0)")
        assert "28 pairs compared in 0." in page.evaluate("Bokeh.documents[0].get_model_by_name('pairs').title.text")
        page.screenshot(path=tmp_path / "quick.png", full_page=True)
        page.goto(address.replace("fastdiff", "workers"))
        page.get_by_text("images/s", exact=True).first.wait_for()
        page.get_by_text("pairs/s", exact=True).first.wait_for()
    assert {re.split("[:/]+", url)[1] for url in page.asked} == {"127.0.0.1"}


def test_a_store_in_which_nothing_was_begun(tmp_path, page, serve):
    (tmp_path / "photos").mkdir()
    with fd.FastDifPy(tmp_path / "photos", store=tmp_path / "store", threads=1, dashboard_address="127.0.0.1:0") as db:
        db.index_the_dirs()
    _, address = serve(tmp_path / "store", "--address", "127.0.0.1:0")
    open_page(page, address)
    page.wait_for_function(f"({TEXT})('header').includes('Nothing was begun')")
    assert page.wrong == []


def upgrade(address: str, origin: str) -> int:
    """Status of the answer to a websocket that a page from `origin` opens."""
    connection = http.client.HTTPConnection(address, timeout=10)
    headers = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13"}
    headers |= {"Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==", "Origin": origin}
    connection.request("GET", "/ws", headers=headers)
    status = connection.getresponse().status
    connection.close()
    return status


def test_only_pages_from_there_are_answered_and_only_loopback_is_listened_at(tmp_path, serve):
    Store.open_or_create(str(tmp_path / "store"), {"a": ["x"], "b": []}, fd.config.ThumbnailSettings())
    process, address = serve(tmp_path / "store")
    host = address.removeprefix("http://").strip("/")
    assert upgrade(host, f"http://{host}") != 403
    assert upgrade(host, "http://elsewhere.example") == 403
    assert upgrade(host, "http://127.0.0.1:1") == 403
    listening = [c.laddr.ip for c in psutil.Process(process.pid).net_connections() if c.status == "LISTEN"]
    assert listening == ["127.0.0.1"]


@pytest.mark.parametrize(
    ("host", "known", "unknown"),
    [
        ("127.0.0.1", {"127.0.0.1:80", "localhost:80"}, socket.gethostname()),
        ("::1", {"[::1]:80", "localhost:80"}, socket.gethostname()),
        ("192.0.2.1", {"192.0.2.1:80"}, "localhost"),
        ("0.0.0.0", {"127.0.0.1:80", "localhost:80", f"{socket.gethostname().lower()}:80"}, "elsewhere.example"),
    ],
)
def test_pages_from_the_address_served_are_answered(host, known, unknown):
    origins = listening.origins_of(host, 80)
    assert origins >= known
    assert f"{unknown.lower()}:80" not in origins
    assert "*" not in "".join(origins)


def test_addresses_that_cannot_be_served(tmp_path):
    store = str(tmp_path / "store")
    Store.open_or_create(store, {"a": ["x"], "b": []}, fd.config.ThumbnailSettings())
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        used = f"127.0.0.1:{taken.getsockname()[1]}"
        for address, message in (
            ("nonsense", "not of the form host:port"),
            (":8000", "not of the form host:port"),
            ("127.0.0.1:99999", "not of the form host:port"),
            ("192.0.2.1:1", "cannot be served at 192.0.2.1:1"),
            (used, f"cannot be served at {used} (Address already in use)"),
        ):
            with pytest.raises(UsageError, match=re.escape(message)):
                server.serve(store, address, started=pytest.fail)


def test_names_of_elsewhere_are_refused(tmp_path, serve):
    """A page from elsewhere whose name was made to lead here must not read this one (DNS rebinding)."""
    Store.open_or_create(str(tmp_path / "store"), {"a": ["x"], "b": []}, fd.config.ThumbnailSettings())
    _, address = serve(tmp_path / "store")
    port = address.strip("/").rpartition(":")[2]
    for name, status in (
        (f"127.0.0.1:{port}", 200),
        (f"localhost:{port}", 200),
        ("localhost:9000", 200),  # through a tunnel
        (f"elsewhere.example:{port}", 403),
        ("elsewhere.example", 403),
        ("", 403),
    ):
        for path in ("/", "/static/js/bokeh.min.js"):
            connection = http.client.HTTPConnection(f"127.0.0.1:{port}", timeout=10)
            connection.request("GET", path, headers={"Host": name})
            assert connection.getresponse().status == status, (name, path)
            connection.close()
