"""Tasks that look at pairs of pictures, find edited copies, and make copies to calibrate with."""
