"""The store on disk: its files and arrays, locks, plans, what is finished and what is pending.

No other wing knows the names of its files. May import `kernels`, `images` and the rooms below them; no Dask.
"""
