"""Parts of file formats that Pillow leaves to us: chunks, pages."""
