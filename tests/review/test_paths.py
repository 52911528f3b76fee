"""The paths of the review: what is shown of them leads back to the folder."""

import numpy as np
import pytest

from fastdiff_dask.review.paths import Paths

CASES = {
    "a folder and another version of it": ["/p/2024/a.jpg", "/p/2024 copy/b.jpg", "/p/2024/sub/c.jpg"],
    "a line break, and bytes that are no text": ["/p/one\ntwo/a.jpg", "/p/\udcff/b.jpg"],
    "the root": ["/a.jpg", "/p/b.jpg"],
    "buckets": ["s3://one/x/a.jpg", "s3://two/b.jpg"],
    "one bucket": ["s3://one/x/a.jpg", "s3://one/b.jpg"],
}


@pytest.mark.parametrize("case", CASES)
def test_each_folder_as_it_is_shown_means_the_folder(case):
    paths = Paths(np.array(CASES[case], object))
    folders = [path.rpartition("/")[0] or "/" for path in CASES[case]]
    assert [paths.absolute(paths.folder(place)) for place in range(len(folders))] == folders


def test_a_folder_that_only_leads_to_others_can_be_named():
    paths = Paths(np.array(["/p/x/1/a.jpg", "/p/x/2/b.jpg", "/p/y/c.jpg"], object))
    assert paths.absolute("x") == "/p/x"
    assert paths.is_below("x").tolist() == [True, True, False]
