"""``python -m fastdiff_dask``."""

from .cli.commands import main

if __name__ == "__main__":
    main()
