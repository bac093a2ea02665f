"""Questions about identities and rights: created, answered at once, never stored.

``SubjectAccessReview`` and its Self and Local forms, ``SelfSubjectRulesReview``,
``SelfSubjectReview`` and ``TokenReview`` (``kubectl auth can-i``, ``auth whoami``; webhooks of
other servers).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Protocol

from cloudwright._base.clock import rfc3339
from cloudwright.apiserver.errors import ApiError, bad_request, forbidden, invalid
from cloudwright.apiserver.identity import Attributes, Authorizer, User
from cloudwright.apiserver.replies import reply_json
from cloudwright.client.transport import Reply, Request
from cloudwright.model import fields
from cloudwright.model.fields import FieldError
from cloudwright.model.resources import Resource

AUTHORIZATION, AUTHENTICATION = "authorization.k8s.io", "authentication.k8s.io"
_ROOTS = (f"/apis/{AUTHORIZATION}/", f"/apis/{AUTHENTICATION}/")


class TokenKnower(Protocol):
    """Knows tokens and whom they are for."""

    async def by_token(
        self, token: str, audiences: tuple[str, ...] = ()
    ) -> tuple[User, tuple[str, ...]] | None:
        """The user, and the audiences of ``audiences`` (default: the API's) that it is for.

        Raises:
            ApiError: 401, the token is of a kind that is known, but not valid.
        """


def _review(group: str, kind: str, *, namespaced: bool = False) -> Resource:
    plural = f"{kind.lower()}s"
    return Resource(group, "v1", kind, plural, kind.lower(), namespaced, verbs=("create",))


LOCAL = _review(AUTHORIZATION, "LocalSubjectAccessReview", namespaced=True)
ACCESS = _review(AUTHORIZATION, "SelfSubjectAccessReview")
RULES = _review(AUTHORIZATION, "SelfSubjectRulesReview")
OTHER = _review(AUTHORIZATION, "SubjectAccessReview")
SELF = _review(AUTHENTICATION, "SelfSubjectReview")
TOKEN = _review(AUTHENTICATION, "TokenReview")
REVIEWS: tuple[Resource, ...] = (SELF, TOKEN, LOCAL, ACCESS, RULES, OTHER)
_BY_PLURAL = {(resource.group, resource.plural): resource for resource in REVIEWS}


def find(path: str) -> tuple[Resource, str] | None:
    """The review that ``path`` creates, and its namespace."""
    if not path.startswith(_ROOTS):
        return None
    _, _, group, _, *rest = path.rstrip("/").split("/")
    namespace = ""
    if len(rest) == 3 and rest[0] == "namespaces":
        namespace, rest = rest[1], rest[2:]
    resource = _BY_PLURAL.get((group, rest[-1])) if rest else None
    if resource is None or resource.path(namespace) != path.rstrip("/"):
        return None
    return (resource, namespace) if resource.namespaced == bool(namespace) else None


async def answer(
    resource: Resource,
    namespace: str,
    request: Request,
    user: User,
    authorizer: Authorizer,
    tokens: TokenKnower | None,
) -> Reply:
    """The review with its status filled in.

    Raises:
        ApiError: 400, 403, 405, 415 or 422.
    """
    wanted = Attributes("create", resource.group, resource.plural, namespace=namespace)
    verdict = await authorizer.authorize(user, wanted)
    if not verdict.allowed:
        reason = f": {verdict.reason}" if verdict.reason else ""
        raise forbidden(resource.group, resource.plural, "", wanted.denial(user.name) + reason)
    if request.method != "POST":
        raise ApiError(405, "MethodNotAllowed", "a review can only be created")
    body = _body(resource, request)
    owners = _owners(resource, body, request) if resource is not RULES else []
    spec = body.get("spec") or {}
    if resource is RULES:
        body |= {"metadata": {}, "spec": {}, "status": await _rules(spec, user, authorizer)}
    elif resource is SELF:
        now = rfc3339(datetime.now(UTC))
        body |= {"metadata": {"creationTimestamp": now}, "status": {"userInfo": user_info(user)}}
    elif resource is TOKEN:
        body["status"] = await _token(spec, tokens)
    else:
        _check_access(resource, body, spec, namespace)
        about = user if resource is ACCESS else _subject(spec)
        body["status"] = await _access(spec, about, authorizer)
    if owners:
        body["metadata"] = {**body["metadata"], "managedFields": owners}
    return reply_json(201, body)


def _owners(resource: Resource, body: dict[str, Any], request: Request) -> list[dict[str, Any]]:
    """Who set what, as upstream tells even of what it never stores."""
    from cloudwright.apiserver import managed, options

    named = next((value for name, value in request.query if name == "fieldManager"), "")
    manager = named or options.manager_of(request.headers.get("user-agent", ""))
    return managed.of_answer(resource, body, manager, "", datetime.now(UTC))


def user_info(user: User) -> dict[str, Any]:
    """``authentication.k8s.io/v1 UserInfo``."""
    found: dict[str, Any] = {"username": user.name}
    if user.uid:
        found["uid"] = user.uid
    if user.groups:
        found["groups"] = list(user.groups)
    if user.extra:
        found["extra"] = {key: list(values) for key, values in user.extra}
    return found


def _body(resource: Resource, request: Request) -> dict[str, Any]:
    from cloudwright.apiserver import bodies
    from cloudwright.apiserver.fieldchecks import without_nulls
    from cloudwright.model import schemas

    try:
        body = without_nulls(bodies.parse(request.body, bodies.media_type(request.headers)))
    except bodies.UnreadableError as error:
        raise bodies.unrecognized(resource.kind, str(error), request.body) from error
    if body.get("kind", resource.kind) != resource.kind:
        raise bad_request(f"kind: {body.get('kind')!r} is not {resource.kind!r}")
    body = {**body, "apiVersion": resource.api_version, "kind": resource.kind}
    body.setdefault("metadata", {})
    schema = schemas.schema_for(resource)
    wrong = schemas.validate(schema, body, unknown=False) if schema is not None else []
    wrong = [error for error in wrong if error.reason != "Required"]
    if wrong:
        message = f'{resource.kind} in version "v1" cannot be handled: {wrong[0]}'
        raise bad_request(message)
    if isinstance(body["metadata"], dict):
        body["metadata"].pop("creationTimestamp", None)
    return dict(body)


def _check_access(
    resource: Resource, body: dict[str, Any], spec: Mapping[str, Any], namespace: str
) -> None:
    """Refuse a question that cannot be answered. Raises ``ApiError`` 400 or 422."""
    found: list[FieldError] = []
    about, url = spec.get("resourceAttributes"), spec.get("nonResourceAttributes")
    if about is not None and url is not None:
        message = "cannot be specified in combination with resourceAttributes"
        found.append(fields.invalid("spec.nonResourceAttributes", _as_go(url), message))
    if about is None and url is None:
        message = "exactly one of nonResourceAttributes or resourceAttributes must be specified"
        found.append(fields.invalid("spec.resourceAttributes", None, message))
    if resource is not ACCESS and not spec.get("user") and not spec.get("groups"):
        message = "at least one of user or group must be specified"
        found.append(fields.invalid("spec.user", "", message))
    allowed = {"managedFields", "namespace"} if resource is LOCAL else {"managedFields"}
    if set(body["metadata"]) - allowed:
        message = "must be empty except for namespace" if resource is LOCAL else "must be empty"
        found.append(fields.invalid("metadata", body["metadata"], message))
    if resource is LOCAL:
        space = body["metadata"].setdefault("namespace", namespace)
        if space != namespace:
            raise bad_request(
                "the namespace of the provided object does not match the namespace sent on the "
                "request"
            )
        if about is not None and about.get("namespace", "") != namespace:
            path = "spec.resourceAttributes.namespace"
            message = "must match metadata.namespace"
            found.append(fields.invalid(path, about.get("namespace", ""), message))
        if url is not None:
            message = "disallowed on this kind of request"
            found.append(fields.invalid("spec.nonResourceAttributes", _as_go(url), message))
    if found:
        # As upstream, whose error does not know the kind either.
        error = invalid(AUTHORIZATION, "", "", [problem.as_cause() for problem in found])
        error.details.pop("kind", None)
        raise error


def _as_go(url: Mapping[str, Any]) -> dict[str, str]:
    """Attributes as messages show them: with the names of Go's fields."""
    return {"Path": str(url.get("path", "")), "Verb": str(url.get("verb", ""))}


def _subject(spec: Mapping[str, Any]) -> User:
    extra = spec.get("extra") or {}
    return User(
        str(spec.get("user", "")),
        tuple(map(str, spec.get("groups") or ())),
        str(spec.get("uid", "")),
        tuple(sorted((str(key).lower(), tuple(values)) for key, values in extra.items())),
    )


async def _access(spec: Mapping[str, Any], user: User, authorizer: Authorizer) -> dict[str, Any]:
    url = spec.get("nonResourceAttributes")
    if url is not None:
        wanted = Attributes(str(url.get("verb", "")), path=str(url.get("path", "")))
    else:
        about: Mapping[str, Any] = spec.get("resourceAttributes") or {}
        keys = ("group", "resource", "subresource", "namespace", "name")
        wanted = Attributes(
            str(about.get("verb", "")),
            field_selector=_selector(about.get("fieldSelector") or {}),
            **{key: str(about.get(key, "")) for key in keys},
        )
    verdict = await authorizer.authorize(user, wanted)
    status: dict[str, Any] = {"allowed": verdict.allowed}
    if verdict.reason:
        status["reason"] = verdict.reason
    return status


def _selector(given: Mapping[str, Any]) -> str:
    if given.get("rawSelector"):
        return str(given["rawSelector"])
    return ",".join(
        f"{entry['key']}={entry['values'][0]}"
        for entry in given.get("requirements") or ()
        if entry.get("operator") == "In" and len(entry.get("values") or ()) == 1
    )


async def _rules(spec: Mapping[str, Any], user: User, authorizer: Authorizer) -> dict[str, Any]:
    namespace = str(spec.get("namespace") or "")
    if not namespace:
        raise bad_request("no namespace on request")
    rights = await authorizer.rights(user, namespace)
    status: dict[str, Any] = {
        "resourceRules": [rule.as_object() for rule in rights.rules if rule.resources],
        "nonResourceRules": [rule.as_object() for rule in rights.rules if rule.urls],
        "incomplete": rights.incomplete,
    }
    if rights.error:
        status["evaluationError"] = rights.error
    return status


async def _token(spec: Mapping[str, Any], tokens: TokenKnower | None) -> dict[str, Any]:
    token = str(spec.get("token") or "")
    if not token:
        raise bad_request("token is required for TokenReview in authentication")
    if tokens is None:
        return {"user": {}}
    try:
        found = await tokens.by_token(token, tuple(map(str, spec.get("audiences") or ())))
    except ApiError as error:
        return {"user": {}, "error": error.hint or error.message}
    if found is None:
        return {"user": {}, "error": "invalid bearer token"}
    user, audiences = found
    status: dict[str, Any] = {"authenticated": True, "user": user_info(user)}
    if audiences:
        status["audiences"] = list(audiences)
    return status
