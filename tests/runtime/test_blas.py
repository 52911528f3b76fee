"""BLAS has one thread in a process from its first kernel on, for all threads; memory is kept for the next array."""

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from fastdiff_dask.images.decoder_pool import ImageReader

GNU = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the C library is not GNU's")

CODE = """
import threading
import numpy as np, threadpoolctl
from fastdiff_dask.runtime.blas import SINGLE_THREADED_BLAS
threads = lambda: max(info["num_threads"] for info in threadpoolctl.threadpool_info())
found = []
def task():
    with SINGLE_THREADED_BLAS:
        found.append(threads())
for _ in range(2):
    thread = threading.Thread(target=task)
    thread.start()
    thread.join()
print(found)
"""


def test_one_thread_of_blas_in_every_task():
    done = subprocess.run([sys.executable, "-c", CODE], stdout=subprocess.PIPE, text=True, check=True)
    assert done.stdout.strip() == "[1, 1]"


FAULTS = """
import resource, sys
import numpy as np
from fastdiff_dask.runtime.blas import SINGLE_THREADED_BLAS
if sys.argv[1] == "kernel":
    with SINGLE_THREADED_BLAS:
        pass
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(100):
        np.ones(500_000, np.uint8)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
faults()
print(faults())
"""


@GNU
def test_memory_is_used_again_where_a_nanny_limits_it():
    faults = {}
    for kernel in ("kernel", "none"):
        command = [sys.executable, "-c", FAULTS, kernel]
        environment = os.environ | {"MALLOC_TRIM_THRESHOLD_": "65536"}
        faults[kernel] = int(subprocess.run(command, env=environment, capture_output=True, check=True).stdout)
    assert faults["none"] > 10_000  # 500 kB are 123 pages
    assert faults["kernel"] < 1_000


@GNU
def test_decoders_have_no_such_limit(monkeypatch):
    monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "65536")
    monkeypatch.setenv("OTHER", "1")
    reader = ImageReader()
    process = reader._start()
    environment = Path(f"/proc/{process.pid}/environ").read_bytes()
    reader.close()
    assert b"MALLOC_TRIM_THRESHOLD_" not in environment
    assert b"OTHER=1" in environment
