"""In which order groups and versions are told: clients take the first that serves what they want.

The numbers are upstream's (``groupPriorityMinimum`` and ``versionPriority`` of its APIServices).
"""

from __future__ import annotations

import re

_GROUPS: dict[str, int] = {
    "": 18000,
    "apiregistration.k8s.io": 17900,
    "apps": 17800,
    "events.k8s.io": 17750,
    "authentication.k8s.io": 17700,
    "authorization.k8s.io": 17600,
    "autoscaling": 17500,
    "batch": 17400,
    "certificates.k8s.io": 17300,
    "networking.k8s.io": 17200,
    "policy": 17100,
    "rbac.authorization.k8s.io": 17000,
    "storage.k8s.io": 16800,
    "apiextensions.k8s.io": 16700,
    "admissionregistration.k8s.io": 16700,
    "scheduling.k8s.io": 16600,
    "coordination.k8s.io": 16500,
    "node.k8s.io": 16300,
    "discovery.k8s.io": 16200,
    "flowcontrol.apiserver.k8s.io": 16100,
    "resource.k8s.io": 16200,
}
_VERSIONS: dict[tuple[str, str], int] = {
    ("", "v1"): 1,
    ("autoscaling", "v2"): 30,
    ("flowcontrol.apiserver.k8s.io", "v1"): 21,
    ("resource.k8s.io", "v1"): 21,
}
_BUILT_IN_VERSION, _CUSTOM = 15, (1000, 100)


def of(group: str, version: str) -> tuple[int, int]:
    """``(groupPriorityMinimum, versionPriority)`` of what is served."""
    if group not in _GROUPS:
        return _CUSTOM
    return _GROUPS[group], _VERSIONS.get((group, version), _BUILT_IN_VERSION)


def by_group(group: str) -> tuple[int, str]:
    """Sorts groups as ``/apis`` lists them."""
    return -_GROUPS.get(group, _CUSTOM[0]), group


def by_version(version: str) -> tuple[int, int, int]:
    """Sorts versions newest and most stable first: v2, v1, v1beta2, v1beta1, v1alpha1."""
    match = re.fullmatch(r"v(\d+)(?:(alpha|beta)(\d+))?", version)
    if match is None:
        return (3, 0, 0)
    level = {None: 0, "beta": 1, "alpha": 2}[match[2]]
    return (level, -int(match[1]), -int(match[3] or 0))
