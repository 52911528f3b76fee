"""Results: similar pairs of the tiles, groups of equal thumbnails, clusters with the image to keep.

They are read from the store; nothing is computed again. May import `stages` and what is below it.
"""
