"""Care of a data set: which images are odd, blank, dark, blurred, or are in two parts of it; in one table."""
