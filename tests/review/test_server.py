"""The server as a whole: what it says, to whom, and how it ends."""

import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from support.review import Page, Server

import fastdiff_dask as fd
from fastdiff_dask.review import server as review_server
from fastdiff_dask.review.server import risk_of, serve_in_thread


def test_the_command_prints_the_address_and_ends_by_a_signal(reviewed):
    server = Server(reviewed.store)
    token = server.page.parts.path.strip("/")
    assert len(token) >= 32
    assert server.page.parts.hostname == "127.0.0.1"
    assert server.page.get("api/state")["groups"] > 0
    server.page.ask("GET", "api/nothing")
    processes = [server.process.pid, *(one.pid for one in psutil.Process(server.process.pid).children(recursive=True))]
    assert not any(token in " ".join(psutil.Process(pid).cmdline()) for pid in processes)
    output, errors = server.end(signal.SIGINT)
    assert (server.process.returncode, output, errors) == (0, "", "")


def test_the_browser_is_led_to_the_page_by_a_file_of_the_user_alone(monkeypatch):
    opened = []
    monkeypatch.setattr(review_server.webbrowser, "open", opened.append)
    end = review_server._open_browser("http://127.0.0.1:1/token/")
    for _ in range(1000):
        if opened:
            break
    path = Path(opened[0].removeprefix("file://"))
    assert "token" not in opened[0]
    assert "http://127.0.0.1:1/token/" in path.read_text()
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    end()
    assert not path.parent.exists()


@pytest.mark.parametrize("address", [None, "127.0.0.1:1", "localhost:1", "[::1]:1"])
def test_loopback_is_no_risk(address):
    assert risk_of(address) is None


def test_another_host_is_a_risk_that_is_told(reviewed):
    assert "unencrypted" in risk_of("192.0.2.1:80")
    command = [sys.executable, "-m", "fastdiff_dask", "review", str(reviewed.store), "--address", "0.0.0.0:0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=60)
    assert errors == (
        "Careful: 0.0.0.0 is reached by other machines, unencrypted: whoever has the address below, or listens on the "
        "way, can look at the pictures and move them to the trash.\n"
    )


def test_a_project_shows_its_page_in_a_notebook(reviewed, client):
    with fd.FastDifPy(reviewed.photos, store=reviewed.store, client=client, verbose=False) as db, db.review() as served:
        token = served.url.rstrip("/").rpartition("/")[2]
        assert f'src="{served.url}"' in served._repr_html_()
        assert token not in repr(served)
        answer = Page(served.url).ask("GET", "api/state")
        assert answer.status == 200
        assert "frame-ancestors" not in answer.headers["Content-Security-Policy"]
    assert "closed" in repr(served)
    assert "closed" in served._repr_html_()
    with pytest.raises(OSError, match="refused"):
        Page(served.url).ask("GET", "api/state")


def test_a_page_of_the_command_is_shown_in_no_frame(reviewed):
    server = Server(reviewed.store)
    headers = server.page.ask("GET", "api/state").headers
    server.end(signal.SIGTERM)
    assert headers["Content-Security-Policy"].endswith("; frame-ancestors 'none'")
    assert headers["X-Frame-Options"] == "DENY"


def test_a_store_that_is_not_there_is_said_at_once(tmp_path):
    with pytest.raises(fd.UsageError, match="no store at"):
        serve_in_thread(str(tmp_path / "nothing"), "127.0.0.1:0")
