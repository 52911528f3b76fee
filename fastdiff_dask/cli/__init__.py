"""The command line: arguments, printing, exit codes. The only wing that spells options and imports click.

Other imports are made inside the commands, so that ``--help`` starts at once. May import all wings.
"""
