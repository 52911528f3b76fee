"""One contract for all backends: a folder, memory, an S3 server."""

import uuid
from collections.abc import Callable

import fsspec
import numpy as np
import pytest

from fastdiff_dask.errors import UsageError
from fastdiff_dask.storage.files import Files, check_store_address


@pytest.fixture(params=["folder", "memory", "bucket", "top of a bucket"])
def backend(request, tmp_path) -> tuple[str, Callable[[str, bytes], None]]:
    """An address without files, and how someone else writes a file there."""
    if request.param == "folder":

        def write(name: str, content: bytes) -> None:
            (tmp_path / "store" / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "store" / name).write_bytes(content)

        return str(tmp_path / "store"), write
    if request.param == "memory":
        folder = uuid.uuid4().hex
        return f"memory://{folder}", lambda name, data: fsspec.filesystem("memory").pipe(f"/{folder}/{name}", data)
    bucket = request.getfixturevalue("bucket")
    prefix = "" if request.param == "top of a bucket" else "a/store/"
    return f"{bucket.url}/{prefix}".rstrip("/"), lambda name, data: bucket.put(prefix + name, data)


def test_files(backend):
    url, write_elsewhere = backend
    files = Files(url)
    assert files.names() == files.names("arrays.zarr/none") == []
    assert not files.is_file()
    with pytest.raises(FileNotFoundError):
        files.read("one")
    files.write("one", b"1")
    files.write("folder/two", memoryview(b"22"))
    files.write("folder/deep/three", b"")
    assert sorted(files.names()) == ["folder", "one"]
    assert sorted(files.names("folder")) == ["deep", "two"]
    assert [files.read(name) for name in ("one", "folder/two", "folder/deep/three")] == [b"1", b"22", b""]
    files.write("one", b"again")
    assert files.read("one") == Files(url).read("one") == b"again"
    assert Files(f"{url}/one").is_file()
    # what others write is seen at once, though it was listed before
    write_elsewhere("four", b"4")
    write_elsewhere("folder/deep/five", b"5")
    write_elsewhere("one", b"other")
    assert sorted(files.names()) == ["folder", "four", "one"]
    assert sorted(files.names("folder/deep")) == ["five", "three"]
    assert files.read("one") == b"other"
    files.remove("folder")
    files.remove("folder")
    files.remove("four")
    assert files.names() == ["one"]


def test_rows(backend, monkeypatch):
    url, _ = backend
    files = Files(url)
    content = np.arange(1000, dtype=np.int64)
    files.write("rows", content.view(np.uint8).data)
    for gap in (8, 64, 1 << 20):
        monkeypatch.setattr("fastdiff_dask.storage.files._GAP_BYTES", gap)
        for rows in ([0], [999], [3, 4, 5, 900, 17, 3, 998], list(range(1000))):
            found = files.read_rows("rows", 8, np.array(rows, np.int64))
            assert found.shape == (len(rows), 8)
            assert np.ascontiguousarray(found).view(np.int64).ravel().tolist() == rows
    for gap in (8, 1 << 20):
        monkeypatch.setattr("fastdiff_dask.storage.files._GAP_BYTES", gap)
        with pytest.raises(ValueError, match="rows ends before row 1000"):
            files.read_rows("rows", 8, np.array([7, 1000], np.int64))


def test_far_rows_are_not_read(bucket, monkeypatch):
    """Between two rows that are far from each other nothing is fetched."""
    files = Files(bucket.url)
    files.write("rows", bytes(3 << 20))
    read = []
    ranges = files._fs.cat_ranges

    def counted(paths, starts, ends, **how):
        read.extend(zip(starts, ends, strict=True))
        return ranges(paths, starts, ends, **how)

    monkeypatch.setattr(files._fs, "cat_ranges", counted)
    files.read_rows("rows", 1024, np.array([0, 2, 3000]))
    assert read == [(0, 3 * 1024), (3000 * 1024, 3001 * 1024)]


@pytest.mark.parametrize("backend", ["memory", "bucket", "top of a bucket"], indirect=True)
def test_only_one_creates(backend):
    url, write_elsewhere = backend
    files = Files(url)
    assert files.create("one", b"1")
    assert not files.create("one", b"2")
    assert files.read("one") == b"1"
    write_elsewhere("two", b"2")
    assert not files.create("two", b"3")
    assert files.modified_ns("one") > 10**18


@pytest.mark.parametrize("url", ["sftp://host/store", "ftp://host/store", "http://127.0.0.1:9/store", "smb://h/s"])
def test_stores_are_kept_where_files_appear_as_a_whole(url):
    with pytest.raises(UsageError, match="mount it and name the folder"):
        check_store_address(url)


def test_passwords_are_not_recorded():
    with pytest.raises(UsageError, match="has a password in it") as caught:
        check_store_address("s3://key:secret@bucket/store")
    assert "secret" not in str(caught.value)


def test_an_unknown_kind_of_address():
    with pytest.raises(UsageError, match=r"nothing://place cannot be used.*Protocol not known"):
        Files("nothing://place")
