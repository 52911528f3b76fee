"""Removal of duplicates: the images that may go, how they go, and how that is undone.

The only wing that touches the files of a user. May import `results` and what is below it.
"""
