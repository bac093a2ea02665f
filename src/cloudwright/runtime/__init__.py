"""Images, content store, sandboxes and containers on an OCI runtime."""
