"""What may change or refuse a write, beyond the rules of the kinds themselves.

``review`` has the seam, ``chain`` the rules in upstream's order: the built-in plug-ins (one file
each), the CEL policies (``policies``) and the webhooks (``webhooks``). Rules read their
configuration from ``shelf.Shelf`` s, copies of the store that are never behind it. May use the
store, the registry and ``apiserver.webhooks``; knows no HTTP.
"""

from cloudwright.apiserver.admission.review import Admission, Operation, Review

__all__ = ["Admission", "Operation", "Review"]
