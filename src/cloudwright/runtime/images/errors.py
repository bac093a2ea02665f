"""What can be wrong with an image.

CloudwrightError
├─ ImageNotFound (NotFoundError)     no image of that name in the local store
├─ ImageInUse (ConflictError)        a pod still uses it
├─ BadReference (UsageError)         not an image name
└─ BadImage                          a blob is missing or damaged, or the image is not for this
machine
"""

from __future__ import annotations

from cloudwright._base.errors import CloudwrightError, ConflictError, NotFoundError, UsageError


class ImageNotFound(NotFoundError):
    """No image of that name in the local store."""

    default_code = "CW3001"


class BadReference(UsageError):
    """Not an image name."""

    default_code = "CW3002"


class BadImage(CloudwrightError):
    """A blob is missing or damaged, or the image is not for this machine."""

    default_code = "CW3003"


class ImageInUse(ConflictError):
    """A pod still uses it."""

    default_code = "CW3004"
