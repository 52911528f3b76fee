"""The report: one page of HTML with all that it shows."""
