"""Texts of the command line: groups of options, help, the next steps."""
