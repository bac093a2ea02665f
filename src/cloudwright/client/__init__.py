"""One typed client for any Kubernetes API, ours or a real one: requests, watches, informers,
patches.

May import ``model`` and ``_base``.
"""
