"""The pages of a cluster that is started here are made by the first request for one."""

import subprocess
import sys
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

from fastdiff_dask.dashboard.on_request import ROUTE, add_pages
from fastdiff_dask.runtime.connection import close_embedded, dashboard_link, embedded_client


@pytest.fixture
def client(tmp_path):
    client = embedded_client(1, "127.0.0.1:0")
    add_pages(client, str(tmp_path / "store"))
    yield client
    close_embedded(client)


def applications(client) -> int:
    """Number of the applications of the scheduler's server: one that waits, or Dask's pages and ours."""
    return client.run_on_scheduler(lambda dask_scheduler: len(dask_scheduler.http_application.applications))


@pytest.mark.parametrize("path", ["/", "/status", ROUTE])
def test_the_first_page_that_is_asked_for_is_shown(client, path):
    root = dashboard_link(client).removesuffix("/status")
    assert urlopen(f"{root}/health").read() == b"ok"
    assert applications(client) == 1
    with urlopen(root + path) as answer:
        assert answer.url == root + ("/status" if path == "/" else path)
        assert b"Bokeh" in answer.read()
    assert applications(client) == 2
    for other in ("/status", "/workers", ROUTE):
        assert urlopen(root + other).status == 200
    assert applications(client) == 2


def test_a_page_that_is_not_there(client):
    root = dashboard_link(client).removesuffix("/status")
    for path in ("/nothing", "//elsewhere.example/nothing"):
        with pytest.raises(HTTPError, match="404") as missing:
            urlopen(root + path)
        assert missing.value.url.startswith(root)


def test_the_page_of_a_worker(client):
    (worker,) = client.scheduler_info()["workers"].values()
    with urlopen(f"http://127.0.0.1:{worker['services']['dashboard']}/status") as answer:
        assert b"Bokeh" in answer.read()


def test_bokeh_is_imported_by_the_first_request():
    code = (
        "import sys; from urllib.request import urlopen\n"
        "from fastdiff_dask.dashboard.on_request import add_pages\n"
        "from fastdiff_dask.runtime.connection import close_embedded, dashboard_link, embedded_client\n"
        "client = embedded_client(1, '127.0.0.1:0'); add_pages(client, 'store')\n"
        "assert client.submit(int, 1).result() and 'bokeh' not in sys.modules\n"
        "assert urlopen(dashboard_link(client)).status == 200 and 'bokeh' in sys.modules\n"
        "close_embedded(client)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
