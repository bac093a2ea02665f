"""The Kubernetes API on an embedded store."""
