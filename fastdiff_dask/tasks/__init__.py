"""Functions that run on a worker: one module for each bar of Dask's dashboard.

A task reads chunks, calls kernels and commits the result to the store; it has no client.
May import `runtime`, but what needs a client, and what is below it.
"""
