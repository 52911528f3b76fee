"""Files on disk: moved, linked, put into the trash, compared, with the files beside them."""
