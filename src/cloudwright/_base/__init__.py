"""Private ground of every room: errors, paths, clock, logging, configuration, tasks.

Imports nothing else of Cloudwright. The only room that may read ``os.environ``.
"""
