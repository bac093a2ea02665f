"""The local content store: an OCI image layout on disk, and its layers unpacked for overlayfs.

``store`` keeps blobs and names, ``layers`` unpacks, ``transfer`` imports and exports OCI layouts
that
skopeo and podman read, ``images`` is what a runtime asks. Safe for several processes at once.
"""
