"""Ctrl-C and SIGTERM: real processes, whose tasks in flight end, and whose locks are released; twice, at once."""

import os
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from support.system import wait_for

import fastdiff_dask as fd
from fastdiff_dask.runtime import signals
from fastdiff_dask.storage.records import Records
from fastdiff_dask.storage.store import Store
from fastdiff_dask.testing import simulate_images

# Each image is a block. A file says when the hash of a thumbnail begins, or the comparison of two chunks of them. After
# `at_once` of these, a computation waits until there is a file "open".
JOB = """
import sys, time, uuid
from pathlib import Path
import fastdiff_dask as fd

folder, at_once = Path(sys.argv[1]), int(sys.argv[2])

def slow(thumbnail):
    (folder / "begun" / uuid.uuid4().hex).touch()
    while len(list((folder / "begun").iterdir())) > at_once and not (folder / "open").exists():
        time.sleep(0.02)
    return thumbnail.tobytes()

def slow_distance(a, b):
    slow(a)
    return ((a[:, None].astype(float) - b[None]) ** 2).sum(axis=(2, 3, 4))

try:
    with fd.FastDifPy(folder / "photos", store=folder / "store", threads=2, block_size=1, verbose=False) as db:
        with db.writing():
            db.index_the_dirs()
            db.first_loop_iteration(hash_function=slow)
            print("read", flush=True)
            db.second_loop_iteration(10.0, compare=slow_distance, sub_block=2, tile_side=1, rotations=False)
except KeyboardInterrupt:
    print("interrupted", flush=True)
    sys.exit(7)
"""


@pytest.fixture
def job(tmp_path, request):
    """A job of 12 blocks with 4 hashes each; eight hashes or, as the test asks, so many are computed at once."""
    (tmp_path / "begun").mkdir()
    simulate_images(tmp_path / "photos", images=12, duplicates=0, size=(32, 32))
    command = [sys.executable, "-c", JOB, str(tmp_path), str(getattr(request, "param", 8))]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        yield process
        process.kill()


def begun(folder: Path) -> int:
    return len(list((folder / "begun").iterdir()))


def stop(folder: Path, job: subprocess.Popen, number: int) -> None:
    """Ask the job to stop, and let it compute on when it has understood."""
    job.send_signal(number)
    assert job.stderr.readline() + job.stderr.readline() == (
        "\nStopping when what is in flight is done; again stops at once.\n"
    )
    (folder / "open").touch()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 7), (signal.SIGTERM, 143)])
def test_what_is_in_flight_is_ended(tmp_path, job, number, code):
    wait_for(lambda: begun(tmp_path) >= 9)
    stop(tmp_path, job, number)
    out, err = job.communicate(timeout=120)
    assert (job.returncode, out, err) == (code, "interrupted\n" if code == 7 else "", "")
    blocks = Store(str(tmp_path / "store")).finished_blocks()
    # four turns of each thumbnail are hashed
    assert begun(tmp_path) == 4 * len(blocks)
    assert 0 < len(blocks) < 12
    with Store.lock(str(tmp_path / "store")):  # released
        pass


@pytest.mark.parametrize("job", [48 + 3], indirect=True)
def test_tiles_in_flight_are_ended_and_the_rest_goes_on(tmp_path, job):
    assert job.stdout is not None
    assert job.stdout.readline() == "read\n"
    before = 48
    wait_for(lambda: begun(tmp_path) >= before + 4)
    stop(tmp_path, job, signal.SIGINT)
    assert job.communicate(timeout=120)[0] == "interrupted\n"
    done = begun(tmp_path) - before
    again = subprocess.run(job.args, capture_output=True, text=True, check=True)
    assert again.stdout == "read\n"
    # six sub-blocks make 21 tiles; none was computed twice
    assert begun(tmp_path) - before == 21 > done >= 4


def test_an_ignored_signal_stays_ignored(tmp_path):
    """A shell starts jobs in the background of a script so: Ctrl-C is not for them. SIGTERM is."""
    (tmp_path / "begun").mkdir()
    simulate_images(tmp_path / "photos", images=12, duplicates=0, size=(32, 32))
    command = [sys.executable, "-c", JOB, str(tmp_path), "8"]
    ignoring = ["sh", "-c", 'trap "" INT; exec "$@"', "sh", *command]
    with subprocess.Popen(ignoring, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as job:
        wait_for(lambda: begun(tmp_path) >= 9)
        job.send_signal(signal.SIGINT)
        job.send_signal(signal.SIGINT)
        stop(tmp_path, job, signal.SIGTERM)
        assert job.communicate(timeout=120) == ("", "")
    assert job.returncode == 143


def test_where_somebody_else_handles_signals(tmp_path):
    """A server that runs this keeps its own handlers; and a thread cannot have any."""
    seen = []
    former = signal.signal(signal.SIGTERM, lambda number, _: seen.append(number))
    try:
        with signals.stoppable():
            signal.raise_signal(signal.SIGTERM)
            assert not signals.is_asked()
        assert seen == [signal.SIGTERM]
    finally:
        signal.signal(signal.SIGTERM, former)

    def elsewhere() -> None:
        with signals.stoppable():
            seen.append(signals.is_asked())

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert seen == [signal.SIGTERM, False]


def test_a_stage_without_tasks_is_stopped_at_its_end(tmp_path, client, monkeypatch, capsys):
    simulate_images(tmp_path / "photos", images=2, duplicates=0, size=(32, 32))
    original = Records.write_index
    monkeypatch.setattr(Records, "write_index", lambda *a: (signal.raise_signal(signal.SIGINT), original(*a)))
    handler = signal.getsignal(signal.SIGINT)
    with fd.FastDifPy(tmp_path / "photos", store=tmp_path / "store", client=client, verbose=False) as db:
        with pytest.raises(KeyboardInterrupt):
            db.index_the_dirs()
        assert signal.getsignal(signal.SIGINT) is handler
        # the index came to its end
        assert Store(str(tmp_path / "store")).records.read_index()["ignored"] == {}
        assert len(db.images) == 2
        db.first_loop_iteration()
        assert db.images_read == 2
    assert "Stopping when" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "sign"),
    [
        (["--workers", "2", "--threads", "1", "--block-size", "8"], "arrays.zarr/thumbnails/c.*"),
        (["--compare", "ssim"], "arrays.zarr/comparisons/*/*/compared/c.*"),
    ],
)
def test_ctrl_c_in_a_terminal_reaches_all_processes(tmp_path, options, sign):
    """A terminal sends it to the whole group; what is in flight is ended, and the next run does the rest."""
    photos = tmp_path / "photos"
    if "ssim" in options:
        simulate_images(photos, images=300, duplicates=0, size=(64, 64))
    else:
        (one,) = simulate_images(photos, images=1, duplicates=0, size=(3000, 2000)).originals
        for number in range(103):
            shutil.copy(one, photos / f"{number}.jpg")
    command = [sys.executable, "-m", "fastdiff_dask", "find", str(photos), "--store", str(tmp_path / "store")]
    command += ["--dashboard-address", "127.0.0.1:0", *options]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as job:
        wait_for(lambda: job.poll() is not None or any((tmp_path / "store").glob(sign)))
        os.killpg(job.pid, signal.SIGINT)
        _, err = job.communicate(timeout=120)
    assert (job.returncode, "Traceback" in err) == (130, False), err
    assert "goes on from there" in err
    done = len(list((tmp_path / "store").glob(sign)))
    assert done
    if "ssim" not in options:
        subprocess.run(command, check=True, capture_output=True)
        assert len(list((tmp_path / "store").glob(sign))) == 13 > done
