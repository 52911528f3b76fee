"""Rules by which people say which image of a group is kept."""
