"""The command line as a process of its own: signals, terminals, listening sockets, the reader who goes away."""

import json
import os
import pty
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.request

import psutil
import pytest
from PIL import Image
from support.system import wait_for

from fastdiff_dask.storage.store import Store
from fastdiff_dask.testing import simulate_images

COMMAND = [sys.executable, "-m", "fastdiff_dask", "find"]


@pytest.fixture
def many_large(tmp_path, rng):
    """Pictures that take a while: 12 megapixels each."""
    folder = tmp_path / "large"
    folder.mkdir()
    first = folder / "0.jpg"
    Image.effect_noise((4000, 3000), 50).convert("RGB").save(first, quality=80)
    for number in range(1, 60):
        shutil.copyfile(first, folder / f"{number}.jpg")  # hard links would be one picture
    return folder


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopped_by_a_signal_in_the_middle(tmp_path, many_large, number):
    store = tmp_path / "store"
    command = [
        *COMMAND,
        str(many_large),
        "--store",
        str(store),
        "--block-size",
        "4",
        "--dashboard-address",
        "127.0.0.1:0",
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        wait_for(lambda: list(store.glob("arrays.zarr/thumbnails/c.*")))
        listening = [c.laddr.ip for c in psutil.Process(process.pid).net_connections() if c.status == "LISTEN"]
        assert listening
        assert set(listening) == {"127.0.0.1"}
        process.send_signal(number)
        out, err = process.communicate(timeout=120)
    assert process.returncode == 128 + number
    assert out == ""
    assert err.splitlines()[-1] == "Stopped. Finished work is kept in the store; the same command goes on from there."
    assert "Traceback" not in err
    link = re.search(r"Dashboard: (http://127\.0\.0\.1:\d+/status)", err)
    assert link
    blocks = Store(str(store)).finished_blocks()
    assert 0 < len(blocks) < 15


def test_an_ignored_signal_stays_ignored(tmp_path):
    """A shell starts jobs in the background of a script so: Ctrl-C is not for them."""
    simulate_images(tmp_path / "photos", images=120, duplicates=30, size=(320, 240))
    command = [*COMMAND, str(tmp_path / "photos"), "--store", str(tmp_path / "store"), "--block-size", "16", "--quiet"]
    ignoring = ["sh", "-c", 'trap "" INT; exec "$@"', "sh", *command]
    with subprocess.Popen(ignoring, stderr=subprocess.PIPE, text=True) as process:
        wait_for(lambda: list((tmp_path / "store").glob("arrays.zarr/thumbnails/c.*")))
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=120)[1] == ""
    assert process.returncode == 0


def test_the_second_signal_stops_at_once(tmp_path, many_large):
    """A block of 30 large pictures takes seconds, for which one signal waits and two do not."""
    command = [*COMMAND, str(many_large), "--block-size", "30", "--dashboard-address", "127.0.0.1:0"]
    left = {}
    for signals in (1, 2):
        store = tmp_path / f"store-{signals}"
        with subprocess.Popen([*command, "--store", str(store)], stderr=subprocess.PIPE, text=True) as process:
            assert process.stderr is not None
            wait_for(lambda store=store: list(store.glob("activity/*-*.json")))
            for _ in range(signals):
                process.send_signal(signal.SIGINT)
                while not process.stderr.readline().startswith(("Stopping when", "Stopped.")):
                    pass
            process.communicate(timeout=120)
        assert process.returncode == 130
        left[signals] = 2 - len(Store(str(store)).finished_blocks())
    assert left == {1: 0, 2: 2}


def test_dashboard_answers_where_it_says(tmp_path, many_large):
    command = [*COMMAND, str(many_large), "--store", str(tmp_path / "store")]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        line = next(line for line in process.stderr if line.startswith("Dashboard: "))
        with urllib.request.urlopen(line.split()[1], timeout=60) as page:
            assert b"Dask" in page.read()
        process.kill()


def test_killed_from_outside_at_any_time(tmp_path):
    simulate_images(tmp_path / "photos", images=120, duplicates=30, size=(320, 240))
    whole, resumed = tmp_path / "whole.json", tmp_path / "resumed.json"
    common = [*COMMAND, str(tmp_path / "photos"), "--block-size", "16", "--quiet"]
    subprocess.run([*common, "--store", str(tmp_path / "whole"), "--json", str(whole)], check=True)

    def files(store: str) -> int:
        return sum(len(names) for _, _, names in os.walk(tmp_path / store))

    kills = 0
    command = [*common, "--store", str(tmp_path / "store"), "--json", str(resumed)]
    for share in (0.1, 0.3, 0.5, 0.7, 0.9):
        with subprocess.Popen(command) as process:
            while process.poll() is None and files("store") < share * files("whole"):
                time.sleep(0.005)
            kills += process.poll() is None
            process.kill()
    assert kills
    subprocess.run(command, check=True)
    one, other = json.loads(whole.read_text()), json.loads(resumed.read_text())
    one.pop("stats"), other.pop("stats")
    assert json.dumps(one) == json.dumps(other)
    assert len(one["pairs"]) == 30


def run_on_a_terminal(command: list[str]) -> tuple[int, str]:
    controller, terminal = pty.openpty()
    with subprocess.Popen(command, stdout=terminal, stderr=terminal, env={**os.environ, "TERM": "xterm"}) as process:
        os.close(terminal)
        chunks = []
        while True:
            try:
                chunk = os.read(controller, 4096)
            except OSError:  # how Linux says that the other side is closed
                break
            if not chunk:
                break
            chunks.append(chunk)
    os.close(controller)
    return process.returncode, b"".join(chunks).decode()


def test_a_terminal_shows_progress(tmp_path, simulated):
    at_once = (  # a bar of a stage that takes less than a second is not shown
        "import sys; from fastdiff_dask.outputs import progress_bar; progress_bar._SHOWN_AFTER = 0.0; "
        "from fastdiff_dask.cli.commands import main; main()"
    )
    code, shown = run_on_a_terminal(
        [sys.executable, "-c", at_once, "find", str(tmp_path / "photos"), "--store", str(tmp_path / "store")]
    )
    assert code == 0
    for stage, count in (("index", "17/17 images"), ("thumbnail", "17/17 images"), ("compare", "136/136 pairs")):
        line = next(line for line in shown.splitlines() if stage in line and count in line)
        assert "/s" in line
        assert re.search(r"\d:\d\d:\d\d", line)


def test_no_main_guard_in_a_plain_script(tmp_path, simulated):
    script = tmp_path / "script.py"
    script.write_text(
        "import fastdiff_dask as fd\n"
        f"result = fd.find_duplicates({str(tmp_path / 'photos')!r}, store={str(tmp_path / 'store')!r})\n"
        "print(len(result.pairs), len(result.clusters))\n"
    )
    done = subprocess.run([sys.executable, "-W", "error", str(script)], capture_output=True, text=True, check=True)
    assert done.stdout == "5 5\n"
    assert "Warning" not in done.stderr


def test_a_reader_that_goes_away_is_no_error(tmp_path, simulated):
    command = [*COMMAND, str(tmp_path / "photos"), "--store", str(tmp_path / "store"), "--json", "-"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert "Traceback" not in process.stderr.read()


def test_ready_again_in_under_three_seconds(tmp_path, simulated):
    command = [*COMMAND, str(tmp_path / "photos"), "--store", str(tmp_path / "store"), "--quiet"]
    subprocess.run(command, check=True)
    before = os.times()
    subprocess.run(command, check=True)
    after = os.times()
    # of the processor, for it waits for nothing: a busy machine takes none of that
    assert after.children_user + after.children_system - before.children_user - before.children_system < 3


@pytest.mark.parametrize("closed", ["", "one.close()"])
def test_projects_that_are_not_closed_print_nothing_at_the_end(tmp_path, closed):
    for name in ("a", "b"):
        simulate_images(tmp_path / name, images=3, duplicates=1)
    script = (
        "import fastdiff_dask as fd\n"
        f"one, two = (fd.FastDifPy({str(tmp_path)!r} + '/' + name, store={str(tmp_path / 'store')!r} + name,\n"
        "             verbose=False, threads=1, dashboard_address='127.0.0.1:0') for name in 'ab')\n"
        "for project in (one, two):\n"
        "    project.index_the_dirs()\n"
        "    project.first_loop_iteration()\n"
        "    project.second_loop_iteration()\n"
        f"{closed}\n"
        "print(len(one.pairs), len(two.pairs))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("1 1\n", "")
