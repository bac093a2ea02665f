"""``TokenRequest``: a token for a service account, on demand (``kubectl create token``).

The node agent asks for its pods' tokens, people and controllers for their own use. A token may be
bound to a Pod, a Secret or a Node and dies with it.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from cloudwright._base.clock import rfc3339
from cloudwright.apiserver import bodies, encoding, managed, options
from cloudwright.apiserver.admission import Review
from cloudwright.apiserver.authn.accounts import AccountTokens
from cloudwright.apiserver.authn.claims import Claims
from cloudwright.apiserver.errors import bad_request, conflict, invalid, method_not_allowed
from cloudwright.apiserver.errors import not_found as missing
from cloudwright.apiserver.fieldchecks import without_nulls
from cloudwright.apiserver.registry import storage_of
from cloudwright.apiserver.replies import reply_json
from cloudwright.client.transport import Reply
from cloudwright.model import fields, schemas
from cloudwright.model.objects import Object, uid_of
from cloudwright.model.resources import Resource

if TYPE_CHECKING:
    from cloudwright.apiserver.calls import Call
    from cloudwright.apiserver.core import ApiCore

GROUP, KIND = "authentication.k8s.io", "TokenRequest"
SECONDS_DEFAULT, SECONDS_MIN, SECONDS_MAX = 3600, 600, 1 << 32
_REQUEST = Resource(GROUP, "v1", KIND, "tokenrequests", "tokenrequest")
_BINDABLE = {"Pod": "pods", "Secret": "secrets", "Node": "nodes"}


class TokenRequests:
    """Serves ``serviceaccounts/NAME/token``."""

    def __init__(self, tokens: AccountTokens) -> None:
        self._tokens = tokens

    async def __call__(self, core: ApiCore, call: Call) -> Reply:
        """The request with its token.

        Raises:
            ApiError: 400, 404, 405, 409 or 422.
        """
        if call.verb != "create":
            raise method_not_allowed(call.request.method, "serviceaccounts/token")
        body = _body(call)
        account = await _read(core, "serviceaccounts", call.namespace, call.name)
        asked = bool(body["spec"]["audiences"])
        _settle(body, account, call, self._tokens.audiences)
        now = core.clock.now()
        spec = body["spec"]
        said = {**body, "spec": {name: value for name, value in spec.items() if value}}
        if not asked:  # what is filled in late is nobody's
            said["spec"].pop("audiences", None)
        manager = options.read(call).manager
        owners = managed.of_answer(_REQUEST, said, manager, "token", now)
        body["metadata"]["creationTimestamp"] = rfc3339(now)
        await _admit(core, call, body)
        claims = Claims(call.namespace, call.name, uid_of(account), tuple(spec["audiences"]))
        claims = await _bound(core, call, spec.get("boundObjectRef"), claims)
        seconds = int(spec["expirationSeconds"])
        if not call.dry_run:
            body["status"] = {
                "token": self._tokens.issue(claims, seconds),
                "expirationTimestamp": rfc3339(now + timedelta(seconds=seconds)),
            }
        if owners:
            body["metadata"]["managedFields"] = owners
        return reply_json(201, body)


def _body(call: Call) -> dict[str, Any]:
    given = bodies.read(call, KIND)
    body = without_nulls(given)
    body.setdefault("kind", KIND)
    body.setdefault("apiVersion", _REQUEST.api_version)
    if (body["apiVersion"], body["kind"]) != (_REQUEST.api_version, KIND):
        raise bad_request(
            f"the object provided is {body['apiVersion']} {body['kind']}, but this path serves "
            f"{_REQUEST.api_version} {KIND}"
        )
    body.setdefault("metadata", {})
    body.setdefault("spec", {}).setdefault("audiences", [])
    body["spec"].setdefault("boundObjectRef", None)
    body.pop("status", None)
    schema = schemas.schema_for(_REQUEST)
    wrong = schemas.validate(schema, body, unknown=False) if schema is not None else []
    wrong = [error for error in wrong if error.reason != "Required"]
    if wrong:
        raise bad_request(f'{KIND} in version "v1" cannot be handled: {wrong[0]}')
    return dict(body)


def _settle(body: dict[str, Any], account: Object, call: Call, audiences: tuple[str, ...]) -> None:
    """Check names and times, fill in what is not given. Raises ``ApiError`` 409 or 422."""
    metadata, spec = body["metadata"], body["spec"]
    for field, wanted, what in (
        ("name", call.name, "name"),
        ("namespace", call.namespace, "namespace"),
    ):
        if metadata.setdefault(field, wanted) != wanted:
            message = f"must match the service account {what} if specified"
            cause = fields.invalid(f"metadata.{field}", metadata[field], message).as_cause()
            raise invalid(GROUP, KIND, call.name, [cause])
    uid = uid_of(account)
    if metadata.setdefault("uid", uid) != uid:
        raise conflict(
            GROUP,
            KIND,
            call.name,
            f"the UID in the token request ({metadata['uid']}) does not match the UID of the "
            f"service account ({uid})",
        )
    spec["audiences"] = spec["audiences"] or list(audiences)
    seconds = spec.setdefault("expirationSeconds", SECONDS_DEFAULT)
    message = ""
    if seconds < SECONDS_MIN:
        message = "may not specify a duration less than 10 minutes"
    elif seconds > SECONDS_MAX:
        message = "may not specify a duration larger than 2^32 seconds"
    if message:
        cause = fields.invalid("spec.expirationSeconds", seconds, message).as_cause()
        raise invalid(GROUP, KIND, "", [cause])


async def _bound(core: ApiCore, call: Call, ref: dict[str, Any] | None, claims: Claims) -> Claims:
    """The claims, bound to the object that is asked for. Raises ``ApiError`` 400, 404 or 409."""
    if ref is None:
        return claims
    version, kind = str(ref.get("apiVersion", "")), str(ref.get("kind", ""))
    group, _, number = version.rpartition("/")
    plural = "" if group else _BINDABLE.get(kind, "")
    if not plural:
        shown = f"{group}/{number}, Kind={kind}"
        raise bad_request(f"cannot bind token to object of type {shown}")
    name = str(ref.get("name", ""))
    obj = await _read(core, plural, "" if kind == "Node" else call.namespace, name)
    held = (name, uid_of(obj))
    if kind == "Pod":
        spec = obj.get("spec") or {}
        if spec.get("serviceAccountName", "default") != call.name:
            raise bad_request(
                f'cannot bind token for serviceaccount "{call.name}" to pod running with '
                "different serviceaccount name."
            )
        node = await _node(core, str(spec.get("nodeName") or ""))
        claims = _with(claims, pod=held, node=node)
    else:
        claims = _with(claims, **{kind.lower(): held})
    if ref.get("uid") and ref["uid"] != held[1]:
        raise conflict(
            "",
            kind,
            name,
            f"the UID in the bound object reference ({ref['uid']}) does not match the UID in "
            "record. The object might have been deleted and then recreated",
        )
    return claims


def _with(claims: Claims, **held: Any) -> Claims:
    from dataclasses import replace

    return replace(claims, **held)


async def _node(core: ApiCore, name: str) -> tuple[str, str] | None:
    if not name:
        return None
    record = await core.store.get(f"{storage_of('', 'nodes')}/{name}")
    return name, "" if record is None else uid_of(encoding.decode(record.value))


async def _read(core: ApiCore, plural: str, namespace: str, name: str) -> Object:
    record = await core.store.get(f"{storage_of('', plural)}{namespace}/{name}")
    if record is None:
        raise missing("", plural, name)
    return encoding.decode(record.value)


async def _admit(core: ApiCore, call: Call, body: Object) -> None:
    review = Review(
        user=call.user,
        operation="CREATE",
        resource=call.served.resource,
        subresource=call.subresource,
        namespace=call.namespace,
        name=call.name,
        obj=body,
        old=None,
        dry_run=call.dry_run,
    )
    for rule in core.admission:
        await rule.mutate(review)
    for rule in core.admission:
        found = list(await rule.validate(review))
        if found:
            causes = [error.as_cause() for error in found]
            raise invalid(GROUP, KIND, call.name, causes)
    call.warnings += review.warnings
