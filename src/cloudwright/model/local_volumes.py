"""What marks a PersistentVolume that is a directory of its node: the operator provisions it, the
node mounts it and removes its data.
"""

from __future__ import annotations

PROVISIONER = "cloudwright.dev/local"
"""The only provisioner that is built in."""
PROVISIONED = "pv.kubernetes.io/provisioned-by"
DATA = "cloudwright.dev/local-volume"
"""Finalizer of a volume whose data a node must remove first."""
