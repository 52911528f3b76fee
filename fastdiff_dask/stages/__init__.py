"""The stages that a client submits: index, thumbnails, compare.

A stage finds in the store what is missing, and submits tasks for it in waves; what it commits is never done again.
May import `tasks` and what is below it.

The journey of an image:

1. The user names a folder: `stages.listing.roots.resolve_roots` checks it.
2. `stages.index.index_images` finds the file in it, by `stages.listing.walk_local.Walk`, or at a URL by
   `stages.listing.walk_remote.RemoteWalk`; the file is listed, as a `stages.listing.walk_local.ListedImage`.
3. `stages.index.record_listing` compares the listing with the store: a new or changed file becomes a row of a new
   generation of blocks (`storage.store.Store.write_partition`, `storage.store.Store.add_generation`).
   `stages.same_content.replaced_images` hashes a file whose size and time alone are as before.
4. `storage.pending.unread_blocks` finds its block, and `stages.thumbnails.read_blocks` submits a task for it,
   `tasks.read_block.read_block`, or several of `tasks.read_block.read_part` and one of `tasks.read_block.write_block`.
5. The task has a process of its own decode the file: `images.decoder_pool.reader`,
   `images.decoder_process.answers`, `images.decode.read_opened`, `images.resize.reduce_picture` → the thumbnail.
6. The task computes what is found by the thumbnail: `kernels.signatures.signatures`,
   `kernels.hashes.thumbnail_digests`, and hashes if they were asked for (`kernels.hashes.HashSettings.columns`).
7. The block is committed: its rows, then its arrays (`storage.arrays.ImageArrays.write_images`).
8. Once its pairs are known, `results.collect.collect_result` puts the image into a cluster.

The journey of a pair:

1. `stages.compare.plan_comparison` submits `tasks.plan_part.plan_part`: `kernels.hashes.find_copies` lets one
   image stand for all equal ones, `kernels.grid.kd_order` puts neighbours side by side, and
   `kernels.grid.plan_tiles` places the pair in exactly one tile. `storage.comparisons.Comparison.record_part` commits
   this part of the plan.
2. `stages.compare.compare_tiles` submits `tasks.compare_tile.compare_tile` for the tile, which calls
   `kernels.cascade.similar_tile_pairs`. Each step drops only pairs that it proves to be above the threshold:
   the boxes around sub-blocks (`kernels.bounds.near_sub_blocks`), the leading values of the signatures, the whole
   signatures (`kernels.bounds.candidate_pairs`), then low frequencies under each transform
   (`kernels.low_frequencies.near_transforms`).
   For a measure without bounds, `tasks.measured_pairs.measured_pairs` calls its function for all pairs; what it gets
   may be features, which `stages.prepare.prepare_blocks` had computed once an image. For hashes,
   `tasks.hash_pairs.hash_pairs` compares those that are near in a piece (`vectors.hamming.near_hashes`).
3. `kernels.similarity.listed_pairs` compares the thumbnails of a pair that is left, in integers.
4. A similar pair is committed with its tile (`storage.pairs.PairWriter.commit`).
5. `results.values.FoundPairs` reads the pairs of all tiles, `results.components.Components` joins what is
   connected, and `results.clusters.make_cluster` makes it a cluster.

Beside the journey: `stages.estimate.estimate_job` tells beforehand what a job takes,
`stages.transfer.index_stores` and `stages.transfer.copy_blocks` take images over from other stores, and
`stages.pairwise.pairwise_mse` is the dense matrix.
"""
