"""A cluster that speaks TLS only: schedulers and workers as processes, certificates made here."""

import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from distributed import Client
from distributed.security import Security

import fastdiff_dask as fd
from fastdiff_dask.testing import simulate_images

trustme = pytest.importorskip("trustme")

ENCRYPTED = {"DASK_DISTRIBUTED__COMM__REQUIRE_ENCRYPTION": "True"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Pictures, and the certificates of this cluster and of another."""
    folder = tmp_path_factory.mktemp("tls")
    simulate_images(folder / "photos", images=12, duplicates=5)
    for name in ("ours", "foreign"):
        authority = trustme.CA()
        certificate = authority.issue_cert("127.0.0.1", "localhost")
        authority.cert_pem.write_to_path(str(folder / f"{name}-ca.pem"))
        certificate.private_key_pem.write_to_path(str(folder / f"{name}-key.pem"))
        certificate.cert_chain_pems[0].write_to_path(str(folder / f"{name}-cert.pem"))
        certificate.private_key_and_cert_chain_pem.write_to_path(str(folder / f"{name}-both.pem"))
    return folder


def files(folder, name):
    return {
        "--tls-ca-file": str(folder / f"{name}-ca.pem"),
        "--tls-cert": str(folder / f"{name}-cert.pem"),
        "--tls-key": str(folder / f"{name}-key.pem"),
    }


def listed(options):
    return [text for option in options.items() for text in option]


@pytest.fixture(scope="module")
def scheduler(folder):
    """Address of a scheduler with one worker, both processes that refuse what is not encrypted."""
    here = folder / "scheduler.json"
    common = [*listed(files(folder, "ours")), "--host", "127.0.0.1"]
    commands = [
        ["dask_scheduler", "--protocol", "tls", "--port", "0", "--no-dashboard", "--scheduler-file", str(here)],
        ["dask_worker", "--scheduler-file", str(here), "--nthreads", "1", "--no-nanny", "--no-dashboard"],
    ]
    processes = []
    try:
        for module, *options in commands:
            command = [sys.executable, "-m", f"distributed.cli.{module}", *options, *common]
            log = (folder / f"{module}.log").open("wb")
            processes.append(subprocess.Popen(command, env=os.environ | ENCRYPTED, stderr=log, cwd=folder))
            log.close()
            for _ in range(300):
                if here.exists() and here.read_text():
                    break
                time.sleep(0.1)
        yield json.loads(here.read_text())["address"]
    finally:
        for process in reversed(processes):
            process.terminate()
            process.wait(20)


def run(arguments, **environment):
    """A run of the command line: code, and what it printed."""
    command = [sys.executable, "-m", "fastdiff_dask", *arguments]
    done = subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, timeout=120)
    return done.returncode, done.stderr


def result_of(path):
    result = json.loads(path.read_text())
    del result["stats"]
    return result


@pytest.fixture(scope="module")
def local(folder):
    """Result of a run without a cluster."""
    options = ["--threads", "1", "--dashboard-address", "127.0.0.1:0", "--quiet", "--json", str(folder / "local.json")]
    assert run(["find", str(folder / "photos"), "--store", str(folder / "local"), *options])[0] == 0
    return result_of(folder / "local.json")


def find(folder, scheduler, place, *options, **environment):
    arguments = ["--store", str(place / "store"), "--quiet", "--json", str(place / "out.json")]
    return run(["find", str(folder / "photos"), *arguments, "--scheduler", scheduler, *options], **environment)


def test_by_options(folder, scheduler, local, tmp_path):
    code, printed = find(folder, scheduler, tmp_path, *listed(files(folder, "ours")))
    assert (code, printed) == (0, "")
    assert result_of(tmp_path / "out.json") == local


def test_by_the_file_of_the_scheduler_with_the_key_beside_the_certificate(folder, scheduler, local, tmp_path):
    options = ["--tls-ca-file", str(folder / "ours-ca.pem"), "--tls-cert", str(folder / "ours-both.pem")]
    place = ["--store", str(tmp_path / "store"), "--quiet", "--json", str(tmp_path / "out.json")]
    by_file = ["--scheduler-file", str(folder / "scheduler.json"), *options]
    assert run(["find", str(folder / "photos"), *place, *by_file])[:2] == (0, "")
    assert result_of(tmp_path / "out.json") == local


def test_by_the_configuration_of_dask(folder, scheduler, local, tmp_path):
    environment = {
        "DASK_DISTRIBUTED__COMM__TLS__CA_FILE": str(folder / "ours-ca.pem"),
        "DASK_DISTRIBUTED__COMM__TLS__CLIENT__CERT": str(folder / "ours-cert.pem"),
        "DASK_DISTRIBUTED__COMM__TLS__CLIENT__KEY": str(folder / "ours-key.pem"),
    }
    assert find(folder, scheduler, tmp_path, **environment)[:2] == (0, "")
    assert result_of(tmp_path / "out.json") == local


def test_by_a_client(folder, scheduler, local, tmp_path):
    security = Security(
        require_encryption=True,
        tls_ca_file=str(folder / "ours-ca.pem"),
        tls_client_cert=str(folder / "ours-cert.pem"),
        tls_client_key=str(folder / "ours-key.pem"),
    )
    with Client(scheduler, security=security, set_as_default=False) as client:
        addresses = [*client.scheduler_info(n_workers=-1)["workers"], client.scheduler.address]
        assert all(address.startswith("tls://127.0.0.1:") for address in addresses)
        found = fd.find_duplicates(folder / "photos", store=tmp_path / "store", client=client, verbose=False)
        assert len(found.pairs) == len(local["pairs"])
        assert [cluster.keep for cluster in found.clusters] == [cluster["keep"] for cluster in local["clusters"]]


def test_estimate(folder, scheduler):
    code, printed = run(["estimate", str(folder / "photos"), "--scheduler", scheduler, *listed(files(folder, "ours"))])
    assert (code, printed) == (0, "")


@contextlib.contextmanager
def recorded(scheduler):
    """A relay to the scheduler, and what goes through it in both directions, by connection."""
    target = scheduler.rpartition(":")[2]
    streams: list[bytearray] = []

    def copy(source, sink, stream):
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                stream += data
                sink.sendall(data)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def serve():
        with contextlib.suppress(OSError):
            while True:
                near, _ = server.accept()
                far = socket.create_connection(("127.0.0.1", int(target)))
                ends.extend([near, far])
                for pair in ((near, far), (far, near)):
                    streams.append(bytearray())
                    threads.append(threading.Thread(target=copy, args=(*pair, streams[-1])))
                    threads[-1].start()

    ends: list[socket.socket] = []
    threads: list[threading.Thread] = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        accepting = threading.Thread(target=serve)
        accepting.start()
        yield f"tls://127.0.0.1:{server.getsockname()[1]}", streams
        server.shutdown(socket.SHUT_RDWR)
        accepting.join(10)
    for thread in threads:
        thread.join(10)
    for end in ends:
        end.close()


def test_what_is_sent_is_encrypted(folder, scheduler, tmp_path):
    with recorded(scheduler) as (address, streams):
        assert find(folder, address, tmp_path, *listed(files(folder, "ours")))[0] == 0
    sent = b"".join(streams)
    assert len(sent) > 10_000
    assert all(stream[:2] == b"\x16\x03" for stream in streams)  # a TLS handshake
    for plain in (b"fastdiff_dask", b"thumbnail-", b"compare-", os.fsencode(tmp_path)):
        assert plain not in sent


REFUSED = {
    "no certificate": ([], "tls://", "needs certificates"),
    "no encryption": ([], "tcp://", "closed the connection"),
    "certificates of another": ("foreign", "tls://", "do not accept each other's certificates"),
    "the scheduler does not know the client": ("mixed", "tls://", "do not accept each other's certificates"),
    "no encryption with certificates": ("ours", "tcp://", "is not encrypted, and certificates for TLS are named"),
    "a part is missing": (["--tls-cert", "x.pem"], "tls://", "TLS needs --tls-ca-file and --tls-cert"),
    "no file": (["--tls-ca-file", "x.pem", "--tls-cert", "x.pem"], "tls://", r"no certificates for TLS in x.pem"),
    "no certificate in it": ("nonsense", "tls://", "no certificates for TLS in"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_in_one_line(folder, scheduler, tmp_path, case):
    options, protocol, message = REFUSED[case]
    if options == "mixed":
        options = files(folder, "foreign") | {"--tls-ca-file": str(folder / "ours-ca.pem")}
    elif options == "nonsense":
        options = files(folder, "ours") | {"--tls-cert": str(folder / "photos" / ".." / "scheduler.json")}
    elif isinstance(options, str):
        options = files(folder, options)
    options = listed(options) if isinstance(options, dict) else options
    code, printed = find(folder, scheduler.replace("tls://", protocol), tmp_path, *options)
    assert message in printed
    assert (code, len(printed.splitlines())) == (2, 1)
    assert not (tmp_path / "store").exists()


def test_certificates_without_a_scheduler(folder, tmp_path):
    code, printed = run(["find", str(folder / "photos"), *listed(files(folder, "ours"))])
    assert code == 2
    assert "certificates for TLS are for a scheduler" in printed
