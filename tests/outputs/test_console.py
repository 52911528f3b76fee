"""Names and tables on a terminal: below the common folder, cut in the middle, never folded."""

import io

import pandas as pd
import pytest
from rich.cells import cell_len
from rich.console import Console

from fastdiff_dask.outputs.console import Column, fitted_table, shortened, shown_below
from fastdiff_dask.outputs.terminal import error_lines
from fastdiff_dask.urls import common_folder

FOLDERS = {
    "nothing": ([], ""),
    "one file": (["/photos/a.jpg"], "/photos"),
    "the root": (["/a.jpg", "/photos/b.jpg"], ""),
    "none": (["photos/a.jpg", "other/b.jpg"], ""),
    "a folder whose name begins so": (["/photos/a.jpg", "/photos2/b.jpg"], ""),
    "a folder that sorts between a folder and one in it": (["/p/a/x.jpg", "/p/a b/x.jpg", "/p/a/c/x.jpg"], "/p"),
    "no file": ([], ""),
    "relative": (["photos/x/a.jpg", "photos/x/y/b.jpg"], "photos/x"),
    "one bucket": (["s3://bucket/a.jpg", "s3://bucket/x/b.jpg"], "s3://bucket"),
    "two buckets": (["s3://one/a.jpg", "s3://two/b.jpg"], ""),
    "a bucket and a folder": (["s3://one/a.jpg", "/photos/b.jpg"], ""),
}


@pytest.mark.parametrize("case", FOLDERS)
def test_the_common_folder(case):
    paths, folder = FOLDERS[case]
    assert common_folder(paths) == folder
    for path in paths:
        below = shown_below(path, folder)
        assert (f"{folder}/{below}" if folder else below) == path


@pytest.mark.parametrize("width", [2, 3, 8, 19])
@pytest.mark.parametrize("text", ["holidays/summer/picture_0001.jpg", "夏休みの写真/東京タワーと富士山の写真.jpg"])
def test_a_long_name_loses_its_middle(text, width):
    short = shortened(text, width)
    assert cell_len(short) <= width
    assert short.count("…") == 1
    if width > 8:
        assert short.endswith(".jpg")
        assert short.startswith(text[0])
    assert shortened(text, 80) == text


COLUMNS = (
    Column("image", is_name=True),
    Column("verdict"),
    Column("size", is_number=True, first_out=1),
    Column("why", first_out=2),
    Column("empty"),
)
ROWS = [
    [
        ("folder/" * 9 + "best.jpg", "keep", "1.2 MB", "", ""),
        ("x/copy [red].jpg", "same picture", "", "fewer pixels", ""),
    ]
]


@pytest.mark.parametrize(("width", "headings"), [(130, 4), (75, 3), (62, 2), (20, 2)])
def test_a_table_is_as_wide_as_the_window(width, headings):
    out = io.StringIO()
    console = Console(file=out, width=width, highlight=False)
    table = fitted_table(console, COLUMNS, ROWS, bold_first=True)
    console.print(table)
    assert [column.header for column in table.columns] == ["image", "verdict", "size", "why"][:headings]
    lines = [line.rstrip() for line in out.getvalue().splitlines()]
    assert max(map(cell_len, lines)) <= width
    named = [line for line in lines if ".jpg" in line or "…" in line]
    assert len(named) == 2  # a row is a line
    assert all(line.split("  ")[0].endswith(".jpg") for line in named if width > 40)


def test_files_that_lack_one_package_take_one_line():
    remedy = "HEIF cannot be read here: pip install 'fastdiff_dask[heif]'"
    errors = pd.DataFrame(
        [(f"{number}.heic", f"MissingDecoderError: {remedy}") for number in range(1200)]
        + [("one.jxl", "MissingDecoderError: JPEG XL cannot be read here: pip install 'fastdiff_dask[jxl]'")]
        + [("bad.jpg", "UnidentifiedImageError: no picture")],
        columns=["path", "error"],
    )
    assert list(error_lines(errors, "more")) == [
        f"not compared: 1,200 files such as 0.heic: {remedy}",
        "not compared: one.jxl: JPEG XL cannot be read here: pip install 'fastdiff_dask[jxl]'",
        "not compared: bad.jpg: UnidentifiedImageError: no picture",
    ]
