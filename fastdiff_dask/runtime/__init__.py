"""Dask as it is used here: clients, workers, waves of tasks, their memory, faults and signals.

It does not know what a task computes. May import `storage` and what is below it.
"""
