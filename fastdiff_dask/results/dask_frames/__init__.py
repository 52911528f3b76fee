"""Results that are found apart from the pairs, as Dask DataFrames."""
