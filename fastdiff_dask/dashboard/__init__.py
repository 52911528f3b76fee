"""The live page of a store: what is done, what is running, what is left.

It reads the store alone, and so watches a job of any process. May import `runtime` and what is below it, no tasks.
"""
