"""Parts of a data set: by usual names, by names that are given, deeper ones, and folders that were searched."""

import pandas as pd
import pytest

from fastdiff_dask.errors import UsageError
from fastdiff_dask.inspection.splits import Splits, check_splits


def parts(names, *files):
    splits = Splits(check_splits(names))
    found = splits.of(pd.DataFrame(files, columns=["root", "path"]))
    splits.check()
    return [splits.names[part] if part >= 0 else None for part in found.tolist()]


def test_usual_names_at_the_top():
    files = [("/d", "train/cat/1.jpg"), ("/d", "Test/1.jpg"), ("/d", "raw/train/1.jpg"), ("/d", "1.jpg")]
    assert parts((), *files) == ["train", "Test", None, None]


def test_searched_folders_of_such_names():
    assert parts((), ("/d/train", "cat/1.jpg"), ("/d/val", "1.jpg"), ("/d/train", "test/1.jpg")) == [
        "train",
        "val",
        "test",
    ]
    assert parts((), ("s3://bucket/train", "1.jpg"), ("s3://bucket/test/", "1.jpg")) == ["train", "test"]


@pytest.mark.parametrize("names", ["old,new", ("old", "new"), ["old,new"], "old/, new"])
def test_names_that_are_given(names):
    assert parts(names, ("/d", "old/1.jpg"), ("/d", "new/a/1.jpg"), ("/d", "train/1.jpg"), ("/d", "older/1.jpg")) == [
        "old",
        "new",
        None,
        None,
    ]


def test_deeper_and_whole_paths():
    files = [("/d", "images/train/1.jpg"), ("/d", "images/val/1.jpg"), ("/d", "labels/train/1.jpg")]
    assert parts("images/train,images/val", *files) == ["images/train", "images/val", None]
    assert parts("/d/images/train,/d/images/val", *files) == ["/d/images/train", "/d/images/val", None]


def test_a_folder_without_images_is_a_mistake():
    with pytest.raises(UsageError, match="no image is in the folder 'tset' of splits=; folders there: test, train"):
        parts("train,tset", ("/d", "train/1.jpg"), ("/d", "test/1.jpg"))


@pytest.mark.parametrize("names", ["train", "train,train", ("a", "b", "a"), [1, 2], ",".join(map(str, range(63)))])
def test_names_that_are_no_parts(names):
    with pytest.raises(UsageError, match="splits="):
        check_splits(names)
