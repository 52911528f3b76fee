"""Vectors of images, encodings and hashes: distances, bounds, and the exact search for near ones. Arrays in and out."""
