"""The Kubernetes API without HTTP: a request of a known user in, a reply or a stream out."""

from __future__ import annotations

from cloudwright.apiserver.errors import ApiError, no_such_path
from cloudwright.apiserver.identity import Authorizer, User
from cloudwright.apiserver.replies import StreamReply
from cloudwright.apiserver.status import failure_reply
from cloudwright.client.transport import Reply, Request


class ApiCore:
    """Serves every resource path (``/api/v1/…``, ``/apis/GROUP/VERSION/…``)."""

    def __init__(self, authorizer: Authorizer) -> None:
        self._authorizer = authorizer

    async def handle(self, request: Request, user: User) -> Reply | StreamReply:
        """The answer to ``request`` by ``user``; every failure is a ``metav1.Status`` reply."""
        try:
            raise no_such_path()
        except ApiError as error:
            return failure_reply(error)
