"""Why an image could not be built.

CloudwrightError
├─ BadProject (UsageError)      the folder is nothing that can be built, or its settings are
wrong
└─ BuildFailed                  a step failed: dependencies, a library that is missing, the disk
"""

from __future__ import annotations

from cloudwright._base.errors import CloudwrightError, UsageError


class BadProject(UsageError):
    """The folder is nothing that can be built, or its settings are wrong."""

    default_code = "CW3101"


class BuildFailed(CloudwrightError):
    """A step of the build failed."""

    default_code = "CW3102"
