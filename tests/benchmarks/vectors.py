"""Near vectors beside FAISS flat and scikit-learn, in one run, with the same number of threads.

    python tests/benchmarks/vectors.py --images 100000 --values 512 --threads 2

All pairs with a cosine of at least each threshold, and the k nearest of all vectors. Two kinds of vectors are made up:

- clusters: images of a subject, 20 a subject, at cosines of 0.6 to 0.99; the variance falls along the directions;
- noise: normal numbers, the worst case: no direction tells more than another.

Ours are searched in tiles by threads whose BLAS has one thread each, as workers do it, each pair once; the time has the
directions, the signatures, and the order. The peers get their index for free; their time is that of some queries among
all vectors, times all queries over these. Each is measured before and after ours, and the shorter time counts.
"""

import argparse
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import combinations_with_replacement

import faiss
import numpy as np
from sklearn.neighbors import NearestNeighbors
from threadpoolctl import threadpool_limits

from fastdiff_dask.kernels.bounds import BOX_VALUES, SearchCounts
from fastdiff_dask.kernels.grid import LARGEST_SIDE, SUB_BLOCK, choose_tile_side, kd_order, split
from fastdiff_dask.kernels.signatures import leading_values
from fastdiff_dask.storage.derived.neighbour_files import NEIGHBOUR_PLACES
from fastdiff_dask.vectors.directions import find_directions, sample_places
from fastdiff_dask.vectors.metrics import limit_of
from fastdiff_dask.vectors.nearest_pairs import (
    Scale,
    Strip,
    candidates_of_strips,
    first_limits,
    kept_candidates,
    largest_norm,
    nearest_of_candidates,
    sample_size,
)
from fastdiff_dask.vectors.search import VectorSide, VectorTile, float_rows, similar_vectors

_A_SUBJECT = 20


def make(kind, count, width, rng):
    """Vectors (n, d) float32 of length 1."""
    noise = rng.standard_normal((count, width), dtype=np.float32)
    if kind == "clusters":
        falling = np.arange(1, width + 1, dtype=np.float32) ** -0.5
        subjects = rng.standard_normal((-(-count // _A_SUBJECT), width), dtype=np.float32)
        spread = rng.uniform(0.1, 0.8, len(subjects)).astype(np.float32)[:, None]
        noise *= np.repeat(spread, _A_SUBJECT, axis=0)[:count]
        noise += np.repeat(subjects, _A_SUBJECT, axis=0)[:count] + 0.5
        noise *= falling
        noise = noise[rng.permutation(count)]
    return noise / np.linalg.norm(noise, axis=1, keepdims=True)


class Ours:
    """The vectors in the order of a plan."""

    def __init__(self, vectors, threads):
        start = time.perf_counter()
        self.projection = find_directions("cosine", vectors[sample_places(len(vectors))])
        with ThreadPoolExecutor(threads) as pool:
            cuts = split(range(len(vectors)), 4096)
            signatures = np.concatenate(
                list(pool.map(lambda cut: self.projection.apply(vectors[cut.start : cut.stop]), cuts))
            )
        order = kd_order(leading_values(signatures, BOX_VALUES), SUB_BLOCK)
        self.order, self.vectors, self.signatures = order, vectors[order], signatures[order]
        self.threads, self.seconds = threads, time.perf_counter() - start
        # as the plan of a store makes tiles
        blocks = -(-len(vectors) // SUB_BLOCK)
        self.tile_side = SUB_BLOCK * choose_tile_side(blocks, threads, blocks, LARGEST_SIDE)

    def side(self, cut):
        rows = self.vectors[cut.start : cut.stop]
        return VectorSide(self.signatures[cut.start : cut.stop], split(range(len(cut)), SUB_BLOCK), lambda: rows)

    def pairs(self, cosine):
        """Seconds and number of the pairs."""
        cuts = split(range(len(self.vectors)), self.tile_side)

        def search(two):
            rows = self.side(two[0])
            tile = VectorTile(
                limit_of("cosine", cosine), self.projection, rows, rows if two[0] == two[1] else self.side(two[1])
            )
            return sum(len(i) for i, _, _ in similar_vectors(tile, SearchCounts()))

        start = time.perf_counter()
        with ThreadPoolExecutor(self.threads) as pool:
            found = sum(pool.map(search, list(combinations_with_replacement(cuts, 2))))
        return time.perf_counter() - start, found

    def nearest(self, k):
        """Seconds, and numbers of the k nearest of all vectors, in the order, as the tasks find them."""
        start = time.perf_counter()
        cuts = split(range(len(self.vectors)), NEIGHBOUR_PLACES)
        scale = Scale(self.projection, largest_norm(np.ones(1), "cosine"))
        sample = np.unique(np.linspace(0, len(self.vectors) - 1, sample_size(len(self.vectors), k)).astype(np.int64))
        some = float_rows(self.projection, self.vectors[sample])

        def strip(cut):
            floats = float_rows(self.projection, self.vectors[cut.start : cut.stop])
            return Strip(cut.start, self.signatures[cut.start : cut.stop], floats)

        def compare(number):
            others = [lambda one=one: one for one in strips[number + 1 :]]
            found = candidates_of_strips(scale, strips[number], others, limits.copy(), k)
            owners = [*range(number + 1, len(strips)), number]
            return {(number, owner): make() for owner, make in zip(owners, found, strict=True)}

        def decide(number):
            parts = np.concatenate([found[one, number] for one in range(number + 1)])
            candidates, cut = kept_candidates(parts, k, scale.margin), cuts[number]
            among = [(candidates["other"] >= one.start) & (candidates["other"] < one.stop) for one in cuts]
            rows = [
                (candidates[inside], self.vectors[cut.start : cut.stop], one.start, self.vectors[one.start : one.stop])
                for inside, one in zip(among, cuts, strict=True)
            ]
            return nearest_of_candidates("cosine", k, np.arange(len(self.vectors)), cut, rows)[0]

        with ThreadPoolExecutor(self.threads) as pool:
            strips = list(pool.map(strip, cuts))
            limits = np.concatenate(list(pool.map(lambda one: first_limits(scale, one, some, sample, k), strips)))
            found = {key: value for part in pool.map(compare, range(len(cuts))) for key, value in part.items()}
            result = np.concatenate(list(pool.map(decide, range(len(cuts)))))
        return time.perf_counter() - start, result


def timed(function, *arguments):
    start = time.perf_counter()
    result = function(*arguments)
    return time.perf_counter() - start, result


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--values", type=int, default=512)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--queries", type=int, default=2000)
    parser.add_argument("--kinds", nargs="*", default=["clusters", "noise"])
    parser.add_argument("--cosines", type=float, nargs="*", default=[0.99, 0.95, 0.9, 0.7])
    parser.add_argument("--k", type=int, default=10)
    options = parser.parse_args()
    threadpool_limits(1, user_api="blas")
    faiss.omp_set_num_threads(options.threads)
    rng = np.random.default_rng(0)
    print(f"{options.images:,} × {options.values} float32, {options.threads} threads; seconds, and times of ours")
    print(f"{'vectors':9} {'search':14} {'found':>11} {'ours':>8} {'FAISS':>16} {'scikit-learn':>16}")
    for kind in options.kinds:
        vectors = make(kind, options.images, options.values, rng)
        index = faiss.IndexFlatIP(options.values)
        index.add(vectors)
        places = np.sort(rng.permutation(options.images)[: options.queries])
        queries, share = vectors[places], options.images / len(places)
        ours = Ours(vectors, options.threads)
        trees = NearestNeighbors(algorithm="brute", metric="cosine", n_jobs=options.threads).fit(vectors)

        def row(what, found, seconds, faiss_seconds, sklearn_seconds, kind=kind):
            peers = [f"{one:9.1f} {one / seconds:5.1f}×" for one in (faiss_seconds, sklearn_seconds)]
            print(f"{kind:9} {what:14} {found:11,} {seconds:8.2f} {peers[0]:>16} {peers[1]:>16}", flush=True)

        for cosine in options.cosines:
            before, _ = timed(index.range_search, queries, cosine)
            seconds, found = ours.pairs(cosine)
            after, _ = timed(index.range_search, queries, cosine)
            with threadpool_limits(options.threads, user_api="blas"):
                learn, _ = timed(trees.radius_neighbors, queries[:500], 1 - cosine, False)
            row(
                f"cosine ≥ {cosine}",
                found,
                seconds + ours.seconds,
                share * min(before, after),
                learn * options.images / 500,
            )
        before, (_, peers) = timed(index.search, queries, options.k + 1)
        inverse = np.empty(options.images, np.int64)
        inverse[ours.order] = np.arange(options.images)
        seconds, found = ours.nearest(options.k)
        after, _ = timed(index.search, queries, options.k + 1)
        with threadpool_limits(options.threads, user_api="blas"):
            learn, _ = timed(trees.kneighbors, queries[:500], options.k + 1, False)
        agree = np.mean(np.sort(ours.order[found[inverse[places]]], axis=1) == np.sort(peers[:, 1:], axis=1))
        row(
            f"{options.k} nearest",
            len(found),
            seconds + ours.seconds,
            share * min(before, after),
            learn * options.images / 500,
        )
        print(
            f"{kind:9} {agree:.2%} of the neighbours are those of FAISS; order took {ours.seconds:.2f} s, counted above"
        )


if __name__ == "__main__":
    main()
