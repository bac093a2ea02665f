"""What a user may ask about himself: SelfSubjectAccessReview, SelfSubjectRulesReview and
SelfSubjectReview (``kubectl auth can-i``, ``auth whoami``). Nothing of it is stored.
"""

from __future__ import annotations

from typing import Any

from cloudwright.apiserver import bodies
from cloudwright.apiserver.authz import GroupAuthorizer, as_policy
from cloudwright.apiserver.errors import bad_request
from cloudwright.apiserver.identity import User
from cloudwright.apiserver.replies import reply_json
from cloudwright.client.transport import Reply, Request
from cloudwright.model.resources import Resource

AUTHORIZATION, AUTHENTICATION = "authorization.k8s.io", "authentication.k8s.io"


def _review(group: str, kind: str) -> Resource:
    plural = f"{kind.lower()}s"
    return Resource(group, "v1", kind, plural, kind.lower(), namespaced=False)


ACCESS = _review(AUTHORIZATION, "SelfSubjectAccessReview")
RULES = _review(AUTHORIZATION, "SelfSubjectRulesReview")
SELF = _review(AUTHENTICATION, "SelfSubjectReview")
REVIEWS: tuple[Resource, ...] = (ACCESS, RULES, SELF)
_BY_PATH = {resource.path(): resource for resource in REVIEWS}


def find(path: str) -> Resource | None:
    """The review that ``path`` creates."""
    return _BY_PATH.get(path.rstrip("/"))


def answer(resource: Resource, request: Request, user: User, authorizer: GroupAuthorizer) -> Reply:
    """The review with its status filled in.

    Raises:
        ApiError: 400 or 415, the body is no such review.
    """
    body = bodies.decode_object(request.body, bodies.media_type(request.headers))
    if body.get("kind", resource.kind) != resource.kind:
        raise bad_request(f"kind: {body.get('kind')!r} is not {resource.kind!r}")
    body["apiVersion"], body["kind"] = resource.api_version, resource.kind
    body["metadata"] = {"creationTimestamp": None}
    spec = body.get("spec") or {}
    if resource is ACCESS:
        body["status"] = _access(spec, user, authorizer)
    elif resource is RULES:
        resource_rules, url_rules = as_policy(authorizer.rules(user))
        body["status"] = {
            "resourceRules": resource_rules,
            "nonResourceRules": url_rules,
            "incomplete": False,
        }
    else:
        body["status"] = {"userInfo": {"username": user.name, "groups": list(user.groups)}}
        if user.uid:
            body["status"]["userInfo"]["uid"] = user.uid
    return reply_json(201, body)


def _access(spec: dict[str, Any], user: User, authorizer: GroupAuthorizer) -> dict[str, Any]:
    about, url = spec.get("resourceAttributes"), spec.get("nonResourceAttributes")
    if (about is None) == (url is None):
        raise bad_request("spec: exactly one of resourceAttributes and nonResourceAttributes")
    if about is None:
        url = url or {}
        verb, path = str(url.get("verb", "")), str(url.get("path", ""))
        return {"allowed": authorizer.allowed_url(user, verb, path)}
    verdict = authorizer.decide(
        user,
        str(about.get("verb", "")),
        str(about.get("group", "")),
        str(about.get("resource", "")),
        str(about.get("subresource", "")),
    )
    status: dict[str, Any] = {"allowed": verdict.allowed}
    if verdict.reason:
        status["reason"] = verdict.reason
    return status
