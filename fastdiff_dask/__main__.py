"""``python -m fastdiff_dask``."""

from .cli import main

if __name__ == "__main__":
    main()
