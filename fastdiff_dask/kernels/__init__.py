"""Chunks in, chunks out: distances, bounds, signatures and hashes of thumbnails, on NumPy or CuPy.

A kernel knows arrays alone: no Dask, no Zarr, no file. The code of the processor and of the GPU stand side by side.
May import `config` and the rooms below it.
"""
