"""Vectors of images: made by a function, or added as arrays that exist."""
