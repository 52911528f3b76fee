"""Edited copies: views of an image, alignment of two images, and what was done to one of them.

May import `kernels`, `images` and all below them.
"""
