"""One picture file becomes its metadata and its thumbnail: Pillow, in processes of their own.

A decoder process imports this wing and little else, so that it starts in a tenth of a second.
May import `urls` and the rooms below it; neither Dask nor Zarr.
"""
