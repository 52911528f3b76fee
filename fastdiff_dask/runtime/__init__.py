"""Dask as it is used here: clients, workers, waves of tasks, their memory, faults and signals.

Nothing here knows what a task computes. May import `storage` and what is below it.

- `connection` and `probe`: connect to a scheduler, or start an embedded one; `workers`: their package, folders, GPUs.
- `waves`: submit tasks, a bounded number at a time. `memory`: refuse what does not fit, before anything is computed.
- `faults`: try again, and explain failures. `signals`: stop after Ctrl-C. `blas`: one thread a task.
- `activity`: tell what tasks are doing. `performance_report`: Dask's own report, as a file.
"""
