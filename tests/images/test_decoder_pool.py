"""Decoder processes: pictures that crash, hang or are too large cost one row; what is killed is started again."""

import contextlib
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image

from fastdiff_dask import FastDiffError, FastDifPy, UsageError
from fastdiff_dask.images import decoder_pool, decoder_process
from fastdiff_dask.images.decode import ImageRecord, open_file, read_image
from fastdiff_dask.images.decoder_pool import ImageReader
from fastdiff_dask.images.decoder_process import ListedFile, Request
from fastdiff_dask.project import job
from fastdiff_dask.runtime import connection, workers
from fastdiff_dask.stages import estimate, thumbnails  # noqa: F401 - before `workers` is changed
from fastdiff_dask.testing import simulate_images

# Stands in for bugs of decoders: what the content asks for happens while the file is opened.
BAD_DECODER = """
    import os, signal, time, PIL.Image as pillow
    def opened(source, *arguments, opened=pillow.open, **options):
        time.sleep(float(os.environ.get("SLOW", 0)))
        if "OPENED" in os.environ:
            with open(os.path.join(os.environ["OPENED"], str(os.getpid())), "a") as file:
                file.write(".")
        start = source.read(16)
        source.seek(0)
        if start.startswith(b"crash"):
            os.kill(os.getpid(), signal.SIGSEGV)
        if start.startswith(b"exit"):
            os._exit(3)
        if start.startswith(b"print"):
            print("noise", flush=True)
            os.write(1, b"noise")
        while start.startswith(b"hang"):
            pass
        if start.startswith(b"large"):
            bytes(2 << 30)
        if start.startswith(b"once") and not os.path.exists(os.environ["ONCE"]):
            open(os.environ["ONCE"], "w").close()
            os.kill(os.getpid(), signal.SIGKILL)
        return opened(source, *arguments, **options)
    pillow.open = opened
"""


@pytest.fixture
def bad_decoder(tmp_path, monkeypatch):
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "sitecustomize.py").write_text(textwrap.dedent(BAD_DECODER))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "bad"))
    monkeypatch.setenv("ONCE", str(tmp_path / "was-here"))
    decoder_pool.close_readers()  # those of other tests have good decoders
    yield
    decoder_pool.close_readers()


@pytest.fixture
def reader():
    one = ImageReader()
    yield one
    one.close()


def request(paths, **options):
    listed = [ListedFile(os.fsencode(path), os.stat(path).st_size, os.stat(path).st_mtime_ns) for path in paths]  # noqa: PTH116
    return Request(listed, 16, 16, **options)


def read(reader, paths, **options):
    """Record and thumbnail of each file."""
    answers, found = list(reader.read(request(paths, **options))), []
    for answer in answers:
        places = iter(range(0, len(answer.thumbnails), 16 * 16 * 3))
        for record in answer.records:
            start = 0 if record.error else next(places)
            found.append((record, b"" if record.error else answer.thumbnails[start : start + 16 * 16 * 3]))
        assert next(places, None) is None
    return found


def pictures(folder: Path, count: int) -> list[Path]:
    folder.mkdir(exist_ok=True)
    paths = [folder / f"{number}.png" for number in range(count)]
    for number, path in enumerate(paths):
        Image.new("RGB", (20, 20), (number, 0, 0)).save(path)
    return paths


def test_the_same_as_in_this_process(tmp_path, reader):
    paths = [Path(path) for path in simulate_images(tmp_path / "photos", images=30, duplicates=0).originals]
    answers = read(reader, paths)
    assert len(answers) == 30
    for path, (record, content) in zip(paths, answers, strict=True):
        wanted, thumbnail = read_image(str(path), 16, 16)
        assert record == wanted
        assert content == thumbnail.tobytes()


def test_a_process_is_used_again_and_ends_when_closed(tmp_path, reader):
    paths = pictures(tmp_path / "photos", 3)
    read(reader, paths)
    process = reader._process
    read(reader, paths)
    assert reader._process is process
    reader.close()
    assert process.returncode == 0


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (b"crash", "the decoder crashed (SIGSEGV)"),
        (b"exit", "the decoder crashed (exit code 3)"),
        (b"hang", "reading took longer than 0.5 s; a higher time limit tries again"),
    ],
)
@pytest.mark.parametrize("at_once", [1, 3, 32])
def test_one_bad_picture_costs_one_row(content, error, at_once, tmp_path, reader, bad_decoder):
    paths = pictures(tmp_path / "photos", 20)
    for place in (0, 7, 19):
        paths[place].write_bytes(content)
    answers = read(reader, paths, time_limit=0.5, at_once=at_once)
    assert len(answers) == 20
    for place, (record, thumbnail) in enumerate(answers):
        if place in (0, 7, 19):
            assert (record.error, thumbnail) == (error, b"")
            assert record.time_limit == (0.5 if content == b"hang" else 0)
            assert not record.retry
        else:
            assert record.error == ""
            assert np.frombuffer(thumbnail, np.uint8)[0] == place


@pytest.mark.skipif(sys.platform != "linux", reason="the system has no such limit")
def test_a_picture_that_needs_too_much_memory_costs_one_row(tmp_path, reader, bad_decoder):
    paths = pictures(tmp_path / "photos", 3)
    paths[1].write_bytes(b"large")
    errors = [record.error for record, _ in read(reader, paths, pixel_limit=1000)]
    assert errors == ["", "MemoryError: reading it takes more memory than a decoder has, or than is free", ""]
    errors = [record.error for record, _ in read(reader, paths, pixel_limit=2**62)]
    assert [error.partition(":")[0] for error in errors] == ["", "UnidentifiedImageError", ""]


def test_a_decoder_that_was_killed_once_is_no_error(tmp_path, reader, bad_decoder):
    paths = pictures(tmp_path / "photos", 5)
    paths[2].write_bytes(b"once" + bytes(100))
    answers = read(reader, paths)
    assert [record.error.partition(":")[0] for record, _ in answers] == ["", "", "UnidentifiedImageError", "", ""]
    assert (tmp_path / "was-here").exists()


def test_what_a_decoder_prints_is_not_mistaken_for_an_answer(tmp_path, reader, bad_decoder, capfd):
    paths = pictures(tmp_path / "photos", 3)
    paths[1].write_bytes(b"print" + bytes(100))
    answers = read(reader, paths)
    assert [bool(record.error) for record, _ in answers] == [False, True, False]
    assert capfd.readouterr() == ("", "")


def test_no_time_limit(tmp_path, reader):
    paths = pictures(tmp_path / "photos", 3)
    assert [record.error for record, _ in read(reader, paths, time_limit=0.0)] == [""] * 3


@pytest.mark.parametrize("executable", ["/bin/false", "/no/such/python", None])
def test_a_decoder_that_cannot_start_is_an_error_of_the_run(executable, tmp_path, reader, monkeypatch):
    if executable == "/bin/false" and not Path(executable).exists():
        pytest.skip("no /bin/false here")
    monkeypatch.setattr(sys, "executable", executable)
    with pytest.raises(FastDiffError, match="process to decode pictures"):
        read(reader, pictures(tmp_path / "photos", 1))


def test_a_pipe_in_the_place_of_a_file_does_not_block(tmp_path, reader):
    (path,) = pictures(tmp_path / "photos", 1)
    asked = request([path])
    path.unlink()
    os.mkfifo(path)
    (((record,), _),) = reader.read(asked)
    assert "changed after it was listed" in record.error
    assert record.retry


@pytest.mark.parametrize("change", ["content", "time", "gone"])
def test_a_file_that_is_not_as_listed(change, tmp_path, reader):
    (path,) = pictures(tmp_path / "photos", 1)
    asked = request([path])
    if change == "content":
        path.write_bytes(path.read_bytes() + b" ")
    elif change == "time":
        os.utime(path, ns=(0, 1))
    else:
        path.unlink()
    (((record,), content),) = reader.read(asked)
    assert record.retry
    assert content == b""
    assert ("FileNotFoundError" if change == "gone" else "changed") in record.error


def test_larger_pictures_than_the_limit(tmp_path, reader):
    paths = pictures(tmp_path / "photos", 2)
    Image.new("RGB", (21, 20)).save(paths[1])
    answers = read(reader, paths, pixel_limit=400)
    assert [record.pixel_limit for record, _ in answers] == [0, 400]
    assert answers[1][0].error == "more than 400 pixels; a higher pixel limit reads it"
    assert [record.error for record, _ in read(reader, paths, pixel_limit=420)] == ["", ""]


# -- through the whole stage -----------------------------------------------------------------------------------------


def test_a_run_goes_on_and_higher_limits_try_again(tmp_path, bad_decoder):
    folder = tmp_path / "photos"
    paths = pictures(folder, 40)
    paths[3].write_bytes(b"crash")
    paths[5].write_bytes(b"hang")
    Image.new("RGB", (30, 30)).save(paths[8])
    options = {"store": tmp_path / "store", "verbose": False}

    def errors(**limits):
        with FastDifPy(folder, **options, **limits) as db:
            counts = db.index_the_dirs()
            db.first_loop_iteration()
            return counts.new + counts.changed, db.images_read, dict(zip(db.errors.path, db.errors.error, strict=True))

    new, read, found = errors(time_limit=1.5, pixel_limit=800)
    assert (new, read) == (40, 40)
    assert {Path(path).name for path in found} == {"3.png", "5.png", "8.png"}
    assert errors(time_limit=1.5, pixel_limit=800) == (0, 0, found)
    assert errors(time_limit=1.4, pixel_limit=700) == (0, 0, found)
    new, read, found = errors(time_limit=1.6, pixel_limit=900)
    assert new == read
    assert {Path(path).name for path in found} == {"3.png", "5.png"}
    assert "1.6 s" in found[str(paths[5])]


def test_each_picture_is_opened_once_and_not_again(tmp_path, monkeypatch):
    (tmp_path / "sitecustomize.py").write_text(
        textwrap.dedent("""
            import os, sys
            def heard(event, arguments):
                if event == "open" and b"photos" in os.fsencode(str(arguments[0])):
                    with open(os.environ["HEARD"], "a") as log:
                        print(os.path.basename(os.fsdecode(arguments[0])), file=log)
            if "fastdiff_dask" in " ".join(sys.orig_argv):
                sys.addaudithook(heard)
        """)
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("HEARD", str(tmp_path / "heard"))
    (tmp_path / "heard").touch()
    simulate_images(tmp_path / "photos", images=25, duplicates=5)
    command = [sys.executable, "-m", "fastdiff_dask", "find", str(tmp_path / "photos"), "--store", str(tmp_path / "s")]
    files = sorted(path.name for path in (tmp_path / "photos").iterdir())
    for opened in (files, []):
        (tmp_path / "heard").write_text("")
        subprocess.run([*command, "--quiet", "--no-verify"], check=True, timeout=100)
        assert sorted((tmp_path / "heard").read_text().splitlines()) == opened


@pytest.mark.parametrize("limits", [{"time_limit": -1}, {"time_limit": True}, {"pixel_limit": 0}, {"pixel_limit": 1.5}])
def test_limits_that_are_none(limits, tmp_path):
    with pytest.raises(UsageError, match="limit="):
        FastDifPy(tmp_path, **limits)


def test_decoders_that_are_killed_from_outside(tmp_path, bad_decoder, monkeypatch):
    monkeypatch.setenv("SLOW", "0.02")
    opened = tmp_path / "opened"  # by process, a dot for each file
    opened.mkdir()
    monkeypatch.setenv("OPENED", str(opened))
    paths = pictures(tmp_path / "photos", 250)
    stop = threading.Event()
    killed = []

    def kill():
        while not stop.wait(0.05):
            for child in psutil.Process().children():
                with contextlib.suppress(psutil.Error):
                    if (opened / str(child.pid)).exists() and (opened / str(child.pid)).stat().st_size > 30:
                        child.kill()
                        killed.append(child.pid)

    with FastDifPy(tmp_path / "photos", store=tmp_path / "store", threads=2, verbose=False) as db:
        db.index_the_dirs()
        killer = threading.Thread(target=kill)
        killer.start()
        try:
            db.first_loop_iteration()
        finally:
            stop.set()
            killer.join()
        thumbnails = dict(zip(db.images.path.compute(), db.thumbnails.compute()[:, 0, 0, 0].tolist(), strict=True))
        failed = set(db.errors.path)
    assert killed
    # a file at which two processes in a row were killed is an error, and is tried again
    assert len(failed) <= len(set(killed)) / 2
    assert all(thumbnails[path.name] == number for number, path in enumerate(paths) if str(path) not in failed)
    with FastDifPy(tmp_path / "photos", store=tmp_path / "store", verbose=False) as db:
        assert db.index_the_dirs().changed == len(failed)
        db.first_loop_iteration()
        assert db.errors.empty


def test_no_decoder_outlives_its_run(tmp_path):
    simulate_images(tmp_path / "photos", images=40, duplicates=0)
    with FastDifPy(tmp_path / "photos", store=tmp_path / "store", verbose=False) as db:
        db.index_the_dirs()
        db.first_loop_iteration()
    assert not [
        child
        for child in psutil.Process().children()
        if "fastdiff_dask.images.decoder_process" in " ".join(child.cmdline())
    ]


def test_no_decoder_outlives_a_killed_process(tmp_path):
    paths = pictures(tmp_path / "photos", 1)
    code = f"""
        import time
        from fastdiff_dask.images.decoder_process import ListedFile, Request
        from fastdiff_dask.images.decoder_pool import ImageReader
        one = ImageReader()
        (answer,) = one.read(Request([ListedFile({os.fsencode(paths[0])!r}, 0, 0)], 8, 8))
        print(answer.records[0].error, flush=True)
        print(one._process.pid, flush=True)
        time.sleep(60)
    """
    process = subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)], stdout=subprocess.PIPE, text=True)
    assert "changed" in process.stdout.readline()
    child = psutil.Process(int(process.stdout.readline()))
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    child.wait(timeout=60)


@pytest.mark.parametrize("stop", [signal.SIGKILL, signal.SIGINT])
def test_no_decoder_outlives_a_process_that_ends_while_a_picture_hangs(stop, tmp_path, bad_decoder):
    paths = pictures(tmp_path / "photos", 20)
    paths[0].write_bytes(b"hang")
    command = [sys.executable, "-m", "fastdiff_dask", "find", str(tmp_path / "photos"), "--store", str(tmp_path / "s")]
    process = subprocess.Popen([*command, "--time-limit", "0", "--quiet"], stderr=subprocess.DEVNULL)
    decoders = []
    deadline = time.monotonic() + 120
    while not any(child.cpu_times().user > 0.7 for child in decoders):
        assert time.monotonic() < deadline
        time.sleep(0.1)
        found = psutil.Process(process.pid).children()
        decoders = [child for child in found if "fastdiff_dask.images.decoder_process" in " ".join(child.cmdline())]
    process.send_signal(stop)
    if stop == signal.SIGINT:  # the first one waits for what is in flight
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(2)
        process.send_signal(stop)
    process.wait(60)
    gone, alive = psutil.wait_procs(decoders, timeout=60)
    assert gone
    assert not alive


def test_files_are_opened_ahead(tmp_path, monkeypatch):
    events = []
    monkeypatch.setattr(
        "fastdiff_dask.images.decoder_process.open_file",
        lambda path: events.append(os.fsdecode(path)[-5:]) or open_file(path),
    )
    monkeypatch.setattr(
        "fastdiff_dask.images.decoder_process.read_opened",
        lambda *_, **__: events.append("read") or (ImageRecord(error="x"), None),
    )
    answered = list(decoder_process.answers(request(pictures(tmp_path / "photos", 5), ahead=2, at_once=2)))
    assert events == ["0.png", "1.png", "2.png", "read", "3.png", "read", "4.png", "read", "read", "read"]
    assert [len(answer.records) for answer in answered] == [2, 2, 1]


def test_files_are_read_in_the_order_of_the_disk(tmp_path, monkeypatch):
    asked = []
    read = ImageReader.read
    monkeypatch.setattr(ImageReader, "read", lambda self, request: asked.append(request) or read(self, request))
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in ("c", "a", "d", "b"):  # numbers of files follow the order in which they are made, on most disks
        Image.new("RGB", (20, 20)).save(folder / f"{name}.png")
    with FastDifPy(folder, store=tmp_path / "store", verbose=False) as db:
        db.index_the_dirs()
        db.first_loop_iteration()
        assert db.errors.empty
    inodes = [os.stat(file.path).st_ino for file in asked[0].files]  # noqa: PTH116
    assert len(inodes) == 4
    assert inodes == sorted(inodes)


def test_opening_tells_what_is_wrong(tmp_path):
    with pytest.raises(FileNotFoundError):
        open_file(str(tmp_path / "nothing"))


def test_a_process_that_was_begun_is_used_once_it_is_ready(tmp_path, reader):
    paths = pictures(tmp_path / "photos", 3)
    reader.begin()
    begun = reader._begun
    assert [record.error for record, _ in read(reader, paths)] == [""] * 3
    assert reader._process is begun
    reader.close()
    assert begun.poll() is not None


@pytest.mark.parametrize("use", [True, False])
def test_a_process_that_was_begun_and_killed(use, tmp_path, reader):
    reader.begin()
    begun = reader._begun
    if use:
        begun.kill()
        assert [record.error for record, _ in read(reader, pictures(tmp_path / "photos", 2))] == ["", ""]
        assert reader._process is not begun
    reader.close()
    assert begun.poll() is not None


def test_a_process_that_cannot_be_begun_is_an_error_where_it_is_needed(tmp_path, reader, monkeypatch):
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    reader.begin()
    with pytest.raises(FastDiffError, match="could be started"):
        read(reader, pictures(tmp_path / "photos", 1))


@pytest.mark.parametrize("failure", [None, "capacity", "embedded_client"])
def test_a_job_begins_its_decoders_before_its_client_and_ends_them(failure, tmp_path, monkeypatch):
    seen, start = [], job.start_readers

    def started(number):
        seen.append((number, db._client.started))
        start(number)

    monkeypatch.setattr(job, "start_readers", started)
    if failure is not None:
        module = {"capacity": workers, "embedded_client": connection}[failure]
        monkeypatch.setattr(module, failure, lambda *_, **__: (_ for _ in ()).throw(FastDiffError("as made")))
    simulate_images(tmp_path / "photos", images=3, duplicates=1, size=(20, 20))
    options = {"threads": 1, "dashboard_address": "127.0.0.1:0", "verbose": False}
    before = set(psutil.Process().children())
    with FastDifPy(tmp_path / "photos", store=tmp_path / "store", **options) as db:
        with pytest.raises(FastDiffError, match="as made") if failure else contextlib.nullcontext(), db.writing():
            db.index_the_dirs()
            db.first_loop_iteration()
        assert seen == [(1, None)]
        assert set(psutil.Process().children()) - before == set()
