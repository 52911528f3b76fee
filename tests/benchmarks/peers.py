"""One measurement of another program, run with the Python of an environment that has it; prints JSON.

    python peers.py faiss THUMBNAILS.npy --queries 1000 --threshold 200
    python peers.py difpy FOLDER
    python peers.py imagededup HASHES.npy --queries 200 --threshold 4

What is timed is the search alone: indexing, reading and building are given to the peers for free. A pair counts for
each image of the queries with each of the collection, so that peers which look at each pair twice are credited twice.
"""

import argparse
import contextlib
import json
import os
import sys
import time
from pathlib import Path


def rotated_queries(thumbnails, count):
    """Yield the queries under the four quarter turns, as float32 rows."""
    import numpy as np

    for turns in range(4):
        turned = np.rot90(thumbnails[:count], turns, axes=(1, 2))
        yield np.ascontiguousarray(turned.reshape(count, -1), np.float32)


def faiss_search(options):
    """FAISS: exact range search over a flat index."""
    import faiss
    import numpy as np

    faiss.omp_set_num_threads(options.threads)
    thumbnails = np.load(options.where, mmap_mode="r")
    index = faiss.IndexFlatL2(thumbnails[0].size)
    for start in range(0, len(thumbnails), 4096):
        index.add(np.ascontiguousarray(thumbnails[start : start + 4096].reshape(-1, index.d), np.float32))
    radius, found = options.threshold * thumbnails.shape[1] * thumbnails.shape[2], 0
    queries = list(rotated_queries(thumbnails, options.queries))
    start = time.perf_counter()
    for rows in queries:
        # the limits are exclusive, and float32 sums may be off by some grey levels
        found += int(index.range_search(rows, radius + 1)[0][-1])
    return options.queries * len(thumbnails), time.perf_counter() - start, found


def sklearn_search(options):
    """scikit-learn: radius neighbours by brute force."""
    import numpy as np
    from sklearn.neighbors import NearestNeighbors

    thumbnails = np.load(options.where, mmap_mode="r")
    rows = thumbnails.reshape(len(thumbnails), -1).astype(np.float32)
    radius = (options.threshold * thumbnails.shape[1] * thumbnails.shape[2]) ** 0.5
    neighbors = NearestNeighbors(radius=radius, algorithm="brute", n_jobs=options.threads).fit(rows)
    queries, found = list(rotated_queries(thumbnails, options.queries)), 0
    start = time.perf_counter()
    for turned in queries:
        found += sum(map(len, neighbors.radius_neighbors(turned, return_distance=False)))
    return options.queries * len(thumbnails), time.perf_counter() - start, found


def difpy_search(options):
    """difPy: search after its build, thumbnails of the same size, its MSE being a third."""
    import difPy

    images = len(list(options.where.glob("*.jpg")))
    built = difPy.build(str(options.where), px_size=64, show_progress=False, processes=options.threads)
    start = time.perf_counter()
    found = difPy.search(
        built, similarity=options.threshold / 3, same_dim=False, show_progress=False, processes=options.threads
    )
    seconds = time.perf_counter() - start
    return images * (images - 1) // 2, seconds, sum(len(matches) for matches in found.result.values())


def fast_diff_py_search(options):
    """fast_diff_py: second loop after its first."""
    from fast_diff_py.fastDif import FastDifPy

    images = len(list(options.where.glob("*.jpg")))
    db = FastDifPy.init_new(directory_a=str(options.where), disable_config_timeout=True)
    db.index_the_dirs()
    db.first_loop_iteration(compute_hash=False, cpu_proc=options.threads)
    start = time.perf_counter()
    db.second_loop_iteration(similarity_threshold=options.threshold, cpu_proc=options.threads, gpu_proc=0)
    seconds = time.perf_counter() - start
    clusters, _ = db.get_duplicates()
    db.clean_up()
    return images * (images - 1) // 2, seconds, len(clusters)


def faiss_hashes(options):
    """FAISS: exact range search over a flat index of bits."""
    import faiss
    import numpy as np

    faiss.omp_set_num_threads(options.threads)
    hashes = np.load(options.where).view(np.uint8)
    index = faiss.IndexBinaryFlat(8 * hashes.shape[1])
    index.add(hashes)
    queries = hashes[: options.queries]
    start = time.perf_counter()
    found = index.range_search(queries, int(options.threshold) + 1)  # the limit is exclusive
    seconds = time.perf_counter() - start
    return len(queries) * len(hashes), seconds, (int(found[0][-1]) - len(queries)) // 2


def different_bits(a, b):
    """Count different bits as `Hashing.hamming_distance` does, but faster."""
    return (int(a, 16) ^ int(b, 16)).bit_count()


def imagededup_search(options):
    """imagededup: the faster one of its searches, by a tree and by brute force in Cython."""
    import importlib.util
    import types

    import numpy as np

    # the package imports PyTorch, which its search does not use
    package = types.ModuleType("imagededup.utils")
    package.__path__ = [str(Path(importlib.util.find_spec("imagededup").origin).parent / "utils")]
    sys.modules["imagededup.utils"] = package
    from imagededup.handlers.search.retrieval import HashEval

    hashes = np.load(options.where)
    texts = {f"{number}.jpg": row.tobytes().hex() for number, row in enumerate(hashes)}
    queries = dict(list(texts.items())[: options.queries])
    best = float("inf")
    for method in ("brute_force_cython", "bktree"):
        start = time.perf_counter()
        found = HashEval(texts, queries, different_bits, False, int(options.threshold), method, options.threads)
        best = min(best, time.perf_counter() - start)
    results = found.retrieve_results(scores=True)
    return len(queries) * len(hashes), best, sum(map(len, results.values()))


PEERS = {
    "faiss": faiss_search,
    "sklearn": sklearn_search,
    "difpy": difpy_search,
    "fast_diff_py": fast_diff_py_search,
    "faiss_hashes": faiss_hashes,
    "imagededup": imagededup_search,
}


def main():
    """Measure one peer."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("peer", choices=PEERS)
    parser.add_argument(
        "where", type=Path, help="thumbnails or hashes (.npy), or a folder of images for difpy and fast_diff_py"
    )
    parser.add_argument("--queries", type=int, default=1000)
    parser.add_argument("--threshold", type=float, default=200.0)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    options = parser.parse_args()
    with contextlib.redirect_stdout(sys.stderr):  # peers print; the last line of ours is the answer
        pairs, seconds, found = PEERS[options.peer](options)
    print(json.dumps({"pairs": pairs, "seconds": seconds, "found": found}))
    sys.stdout.flush()
    os._exit(0)  # one of them waits for processes that never end


if __name__ == "__main__":
    main()
