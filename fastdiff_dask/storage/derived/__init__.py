"""Data that is made of the images of a store, beside the comparisons: verdicts, edited copies, calibrations."""
