"""Paths of a partition: all that may lead elsewhere are refused, and the others are not looked at one by one."""

import pyarrow as pa
import pytest

from fastdiff_dask.storage import validation
from fastdiff_dask.storage.validation import check_rows


def rows(paths, path_bytes=None):
    """Some rows of a partition."""
    raw = [b""] * len(paths) if path_bytes is None else path_bytes
    columns = {"image": range(8, 8 + len(paths)), "side": ["a"] * len(paths), "path": pa.array(paths, pa.string())}
    return pa.table({**columns, "path_bytes": pa.array(raw, pa.binary())})


def test_plain_paths_are_not_looked_at_one_by_one(monkeypatch):
    looked_at = []
    monkeypatch.setattr(validation, "check_below", lambda *path: looked_at.append(path))
    plain = rows(["2024/a.jpg", "b.jpg", "ü/é.jpg"] * 1000)
    check_rows(plain, 8, "a", ["/photos"])
    assert looked_at == []
    check_rows(plain.drop_columns("path_bytes"), 8, "a", ["/photos"])
    assert looked_at == []
    check_rows(rows(["a.jpg", "b..c.jpg", "d.jpg"], [b"", b"", b"d\xff"]), 8, "a", ["/photos"])
    assert looked_at == [("b..c.jpg", b""), ("d.jpg", b"d\xff")]


@pytest.mark.parametrize("path", ["../a.jpg", "a/../../b.jpg", "/etc/a.jpg", "a/..", "a\0.jpg", None])
def test_a_path_that_leads_elsewhere_is_refused(path):
    for more in ([], ["c.jpg"] * 100):
        with pytest.raises(ValueError, match="no path below a folder"):
            check_rows(rows([*more, path]), 8, "a", ["/photos"])
    check_rows(rows([*more, path]), 8, "a", ["s3://bucket"])


@pytest.mark.parametrize("raw", [b"../a", b"/a", b"a\0", None])
def test_bytes_that_lead_elsewhere_are_refused(raw):
    with pytest.raises(ValueError, match="no path below a folder"):
        check_rows(rows(["a", "b"], [b"", raw]), 8, "a", ["/photos"])


@pytest.mark.parametrize("numbers", [[8, 10], [9, 10], [8, None]])
def test_other_numbers_are_refused(numbers):
    with pytest.raises(ValueError, match="other numbers"):
        check_rows(pa.table({"image": numbers}), 8, "a", ["/photos"])
