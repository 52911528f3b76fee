"""One project: its options, its store, its Dask client, and its stages one after the other.

`Project` does the work for the command line and for the programs whose names `compat` has.
May import `outputs` and what is below it.
"""
