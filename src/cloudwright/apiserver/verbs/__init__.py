"""The verbs of the Kubernetes API, one file each; ``core`` dispatches to them."""
