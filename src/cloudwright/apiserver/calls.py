"""A request, understood: which resource, object and verb its path, query and method name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import unquote

from cloudwright.apiserver.built_ins import BINDINGS
from cloudwright.apiserver.errors import bad_request, no_such_method, no_such_path
from cloudwright.apiserver.identity import Attributes, User
from cloudwright.apiserver.registry import Registry, Served, Target
from cloudwright.client.transport import Request
from cloudwright.model import selectors

NAMESPACE_SUBRESOURCES = ("status", "finalize")
_REMEMBERED_MAX = 256
_COLLECTION = {"GET": "list", "POST": "create", "DELETE": "deletecollection"}
_OBJECT = {"GET": "get", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
_SUBRESOURCE = {"GET": "get", "POST": "create", "PUT": "update", "PATCH": "patch"}
_PROXY = {**_OBJECT, "POST": "create", "HEAD": "get", "OPTIONS": ""}
PROXIED = ("pods", "services", "nodes")
"""What requests may be passed on to, by the subresource ``proxy`` and any path below it."""


class Query:
    """Query parameters by name; the first of several wins, except in ``every``."""

    __slots__ = ("_pairs", "_values")

    def __init__(self, pairs: Iterable[tuple[str, str]]) -> None:
        self._pairs = tuple(pairs)
        self._values: dict[str, str] = {}
        for name, value in self._pairs:
            self._values.setdefault(name, value)

    def every(self, name: str) -> list[str]:
        """All values of a parameter that may be repeated, in order."""
        return [value for found, value in self._pairs if found == name]

    def get(self, name: str, default: str = "") -> str:
        """The text of a parameter."""
        return self._values.get(name, default)

    def flag(self, name: str) -> bool:
        """Whether a boolean parameter is on: any text but ``0`` and ``false`` says so."""
        text = self._values.get(name)
        return text is not None and text != "0" and text.lower() != "false"

    def whole(self, name: str) -> int | None:
        """A parameter that is a whole number ≥ 0, or ``None``.

        Raises:
            ApiError: 400, it is none.
        """
        text = self._values.get(name, "")
        if not text:
            return None
        if not text.isascii() or not text.isdigit():
            raise bad_request(f'the query parameter {name}="{text}" is not a whole number ≥ 0')
        return int(text)

    def count(self, name: str) -> int | None:
        """A parameter of lists and watches that is a whole number; ``None``: none, or below 0.

        Raises:
            ApiError: 400, it is no number.
        """
        text = self._values.get(name, "")
        if not text:
            return None
        if not text.isascii() or not text.removeprefix("-").isdigit():
            raise bad_request(f'strconv.ParseInt: parsing "{text}": invalid syntax')
        return int(text) if int(text) >= 0 else None


_NO_QUERY = Query(())


@dataclass(slots=True)
class Call:
    """One request of one user about one served resource."""

    request: Request
    user: User
    served: Served
    verb: str
    namespace: str
    name: str
    subresource: str
    query: Query
    warnings: list[str]
    dry: bool = False
    """``dryRun`` given elsewhere than in the query."""

    @property
    def plural(self) -> str:
        """The resource's plural."""
        return self.served.resource.plural

    @property
    def group(self) -> str:
        """The resource's group."""
        return self.served.resource.group

    @property
    def attributes(self) -> Attributes:
        """What the authorizer is asked. A list of one name counts as that object's."""
        name, selector = self.name, self.query.get("fieldSelector")
        if selector and not name:
            name = _only_name(selector)
        return Attributes(
            self.verb,
            self.served.resource.group,
            self.served.resource.plural,
            self.subresource,
            self.namespace,
            name,
            None,
            selector,
        )

    @property
    def dry_run(self) -> bool:
        """Whether nothing may be written (``dryRun=All``).

        Raises:
            ApiError: 400, another value.
        """
        text = self.query.get("dryRun")
        if text not in ("", "All"):
            raise bad_request(f'dryRun: "{text}" is not supported; supported values: "All"')
        return self.dry or text == "All"


def parse(request: Request, user: User, registry: Registry) -> Call:
    """What ``request`` asks for.

    Raises:
        ApiError: 404, nothing is served there; 405, not with this method.
    """
    asked = (request.method, request.path)
    target = registry.targets.get(asked)
    if target is None:
        target = _target(*asked, registry)
        if not target[3] and len(request.path) <= _REMEMBERED_MAX:  # of collections, which are few
            registry.remember(asked, target)
    served, verb, namespace, name, subresource, watched = target
    query = Query(request.query) if request.query else _NO_QUERY
    if verb in ("list", "get") and not subresource and (watched or query.flag("watch")):
        verb = "watch"
    return Call(request, user, served, verb, namespace, name, subresource, query, [])


def _target(method: str, path: str, registry: Registry) -> Target:
    """What a method and a path name."""
    parts = path.strip("/").split("/")
    if "%" in path:
        parts = unquote(path).strip("/").split("/")  # an escaped slash is one, as upstream
    if len(parts) >= 3 and parts[0] == "api":
        group, version, rest = "", parts[1], parts[2:]
    elif len(parts) >= 4 and parts[0] == "apis":
        group, version, rest = parts[1], parts[2], parts[3:]
    else:
        raise no_such_path()
    watch = rest[0] == "watch" and len(rest) > 1
    if watch:
        rest = rest[1:]
    namespace = ""
    if rest[0] == "namespaces" and len(rest) >= 3 and rest[2] not in NAMESPACE_SUBRESOURCES:
        namespace, rest = rest[1], rest[2:]
    served = registry.find(group, version, rest[0])
    if served is None and (group, version, rest[0]) == ("", "v1", BINDINGS.resource.plural):
        served = BINDINGS
    proxied = len(rest) > 2 and rest[2] == "proxy" and group == "" and rest[0] in PROXIED
    if served is None or (len(rest) > 3 and not proxied):
        raise no_such_path()
    name = rest[1] if len(rest) > 1 else ""
    subresource = rest[2] if len(rest) > 2 else ""
    if served.resource.namespaced:
        if name and not namespace:
            raise no_such_path()
        if not name and not namespace and method not in ("GET", "HEAD"):
            raise no_such_method()
    elif namespace:
        raise no_such_path()
    verbs = _PROXY if proxied else _SUBRESOURCE if subresource else _OBJECT
    return served, _verb(method, name, verbs), namespace, name, subresource, watch


def asked_for(request: Request) -> Attributes | None:
    """What the path and method name, whether or not it is served; ``None``: no resource."""
    parts = unquote(request.path).strip("/").split("/")
    if len(parts) >= 3 and parts[0] == "api":
        group, rest = "", parts[2:]
    elif len(parts) >= 4 and parts[0] == "apis":
        group, rest = parts[1], parts[3:]
    else:
        return None
    namespace = ""
    if rest[0] == "namespaces" and len(rest) > 1:
        namespace = rest[1]
        if len(rest) > 2 and rest[2] not in NAMESPACE_SUBRESOURCES:
            rest = rest[2:]
    name, subresource = [*rest[1:3], "", ""][:2]
    method = "GET" if request.method == "HEAD" else request.method
    verb = (_OBJECT | {"POST": "create"} if name else _COLLECTION).get(method, method.lower())
    if method == "GET" and any(key == "watch" and value != "0" for key, value in request.query):
        verb = "watch"
    return Attributes(verb, group, rest[0], subresource, namespace, name)


def _only_name(selector: str) -> str:
    try:
        return selectors.parse_fields(selector).exactly("metadata.name") or ""
    except ValueError:  # the handler refuses it
        return ""


def _verb(method: str, name: str, verbs: Mapping[str, str]) -> str:
    verb = (verbs if name else _COLLECTION).get(method)
    if verb is None:
        raise no_such_method()
    return verb
