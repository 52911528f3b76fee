"""One picture against a store: whether the archive has it, as what, and which images are most like it. No Dask."""
