"""Files of a collection: its roots, and the walks that list their files."""
