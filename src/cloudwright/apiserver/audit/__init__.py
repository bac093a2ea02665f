"""Who did what, when, and how it ended: ``audit.k8s.io/v1`` Events as JSON lines.

``policy`` decides what is worth an event (pure), ``events`` builds them (pure), ``auditor`` follows
a request through its stages, ``sinks`` write to a file that rotates or to a webhook. Off unless a
policy is given; then nothing of it is asked.
"""

from cloudwright.apiserver.audit.auditor import Auditor
from cloudwright.apiserver.audit.policy import Policy, PolicyProblem

__all__ = ["Auditor", "Policy", "PolicyProblem"]
