"""The client of a project: that which is given, the current one, or one that is started, and ended, for it."""

import pytest

from fastdiff_dask.errors import UsageError
from fastdiff_dask.project.client import ProjectClient
from fastdiff_dask.project.options import ClientOptions
from fastdiff_dask.stages.sources import Folders

ADDRESS = "127.0.0.1:0"


def test_what_is_given_is_used_and_stays(client, tmp_path):
    used = ProjectClient(ClientOptions(client=client))
    assert used.find() is used.own is used.get(str(tmp_path), Folders([]), False) is client
    used.close()
    assert used.started is None
    assert client.status == "running"


def test_the_current_one_is_used_and_is_not_ours(client, tmp_path):
    used = ProjectClient(ClientOptions(workers=1, threads=1, dashboard_address=ADDRESS))
    with client.as_current():
        assert used.get(str(tmp_path), Folders([]), False) is client
    assert used.own is used.started is None


def test_one_is_started_once_and_ended(tmp_path, capsys):
    used = ProjectClient(ClientOptions(threads=1, dashboard_address=ADDRESS))
    assert used.own is None
    started = used.get(str(tmp_path), Folders([]), False)
    assert used.get(str(tmp_path), Folders([]), False) is started is used.own
    used.close()
    assert started.status == "closed"
    assert used.own is None
    assert not capsys.readouterr().err  # quiet, as it was asked


@pytest.mark.parametrize(
    ("workers", "threads", "message"),
    [
        (0, None, "workers=0 cannot"),
        (None, True, "threads=True cannot"),
        (None, 2, "threads is for a client"),
    ],
)
def test_what_cannot_be_is_refused(client, workers, threads, message):
    with pytest.raises(UsageError, match=message):
        ProjectClient(ClientOptions(client=client, workers=workers, threads=threads))
