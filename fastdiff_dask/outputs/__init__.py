"""Everything that people and programs get: terminal, progress bars, report, plots, tables, JSON, SQL.

May import `actions` and what is below it.
"""
