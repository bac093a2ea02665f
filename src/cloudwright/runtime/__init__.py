"""Images, content store, sandboxes and containers on an OCI runtime (runtime-spec 1.0.2, crun).

``engine.RuntimeEngine`` is the door; a native supervisor process (crate ``supervisor``) holds the
containers, so that the daemon may come and go. Alone: ``python -m cloudwright.runtime --help``.
"""
