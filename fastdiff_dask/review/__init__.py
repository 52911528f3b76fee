"""The review page: a server on this machine with which people look at groups, mark images, and apply or undo.

`server` listens, `handlers` speak HTTP, `desk` answers; nothing below `handlers` knows of HTTP.
"""
