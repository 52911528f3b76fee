"""What a client submits: index, thumbnails, compare; the story of the job.

A stage finds in the store what is missing, and submits tasks for it in waves.
May import `tasks` and what is below it.
"""
