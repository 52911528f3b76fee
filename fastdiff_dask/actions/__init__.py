"""Removal of duplicates: which image is kept, what may go, and how that is done and undone.

The only wing that touches the files of a user. May import `results` and what is below it.
"""
