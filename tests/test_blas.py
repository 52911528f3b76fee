"""BLAS has one thread in a process from its first kernel on, for all threads."""

import subprocess
import sys

CODE = """
import threading
import numpy as np, threadpoolctl
from fastdiff_dask.blas import SINGLE_THREADED_BLAS
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
