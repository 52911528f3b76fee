"""The names of two other programs, fast_diff_py and difPy, for what `project` does.

May import `project` and what is below it.
"""
