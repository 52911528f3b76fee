"""Tasks that find the nearest images of all images: their order once, then block by block."""
