"""OCI images without Docker and without a base image: a Python project or a binary, and only
what it uses.

``builder.build`` makes three reproducible layers (interpreter, dependencies, application) and
hands them to
an ``ImageSink`` (the content store, filled in by whoever calls). Imports ``_base`` only. Alone:
``python -m cloudwright.build DIR --output LAYOUT`` writes an OCI layout.
"""
