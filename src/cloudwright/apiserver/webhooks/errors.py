"""What can go wrong on the way to a webhook.

CloudwrightError
└─ WebhookError            it cannot be reached, or what it answers is no answer
   └─ WebhookTimeoutError  not within its ``timeoutSeconds``
"""

from __future__ import annotations

from cloudwright._base.errors import CloudwrightError


class WebhookError(CloudwrightError):
    """A webhook could not be called."""

    default_code = "CW3300"


class WebhookTimeoutError(WebhookError):
    """A webhook did not answer in time."""

    default_code = "CW3301"
