"""What can go wrong on a node.

CloudwrightError
└─ NodeError                      the node could not do what a pod asks for
   ├─ ConfigError                 the pod's own words, or an object they name, are wrong
   │                              (waiting reason ``CreateContainerConfigError``)
   └─ VolumeError                 a volume's files could not be made (event ``FailedMount``)
"""

from __future__ import annotations

from cloudwright._base.errors import CloudwrightError


class NodeError(CloudwrightError):
    """The node could not do what a pod asks for."""

    default_code = "CW1500"


class ConfigError(NodeError):
    """The pod's own words, or an object they name, are wrong; the next try may find it changed."""

    default_code = "CW1501"


class VolumeError(NodeError):
    """A volume's files could not be made."""

    default_code = "CW1502"


def describe(error: CloudwrightError) -> str:
    """One line for a status or an event: the message and, when there is one, what to do."""
    return f"{error.message} ({error.hint})" if error.hint else error.message
