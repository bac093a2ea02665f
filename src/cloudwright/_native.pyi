"""The Rust extension. Only a room's ``native.py`` imports it."""

from collections.abc import Callable, Mapping, Sequence
from os import PathLike
from typing import Any, Literal, final

class LayerError(ValueError):
    """A layer is refused, damaged or too large."""

def version() -> str:
    """The version of the native parts."""

def compress_layer(
    tar: str | PathLike[str], target: str | PathLike[str]
) -> tuple[str, int, str, int]:
    """``(digest, size, diff_id, uncompressed_size)``; raises OSError."""

def extract_layer(
    blob: str | PathLike[str],
    target: str | PathLike[str],
    *,
    max_bytes: int | None = None,
    max_entries: int | None = None,
) -> tuple[str, int, int]:
    """``(diff_id, uncompressed_size, entries)``; raises LayerError and OSError."""

class CelError(ValueError):
    """``(kind, message, line, column)``; kind is ``compile``, ``evaluate`` or ``budget``; line 0:
    no place is known.
    """

@final
class CelDocument:
    """A JSON value in the form that expressions read."""

    def __init__(self, value: Any) -> None:
        """From Python objects, or from the bytes of JSON; raises ValueError."""

@final
class CelEnvironment:
    """Declared variables: JSON of name → ``{"schema", "optional", "resource"}``."""

    def __init__(self, variables: bytes, mutation: bool) -> None: ...
    def compile(self, source: str, result: Literal["bool", "string", "any"]) -> CelProgram: ...
    def compose(self, name: str, source: str) -> CelProgram: ...

@final
class CelActivation:
    """Values of an environment's variables."""

    def __init__(self, environment: CelEnvironment, bindings: Mapping[str, Any]) -> None: ...
    @property
    def cost(self) -> int: ...
    def question(self) -> dict[str, str] | None:
        """What the last failed evaluation wanted to know of the authorizer."""
    def answer(self, allowed: bool, reason: str, error: str) -> None:
        """The answer to ``question``."""

@final
class CelProgram:
    """A compiled expression; thread-safe."""

    @property
    def type(self) -> str: ...
    def uses(self, variable: str) -> bool: ...
    def evaluate(self, bindings: Mapping[str, Any] | CelActivation, cost_limit: int) -> Any: ...

@final
class FaceServer:
    """An HTTPS server in a thread of its own: requests come by ``take``, answers go by number."""

    def __init__(
        self,
        listener: int,
        chain: bytes,
        key: bytes,
        authority: bytes,
        *,
        body_bytes_max: int,
        header_bytes_max: int,
        headers_max: int,
        gzip_bytes_min: int,
        idle_seconds: float,
        bookmark_seconds: float,
        watch_events_max: int,
        allow_seconds: float,
        state_bytes_max: int,
    ) -> None:
        """Takes the listening descriptor and PEM texts; raises OSError and ValueError."""

    def listen(self, listener: int) -> None:
        """Takes a further listening descriptor; raises OSError."""

    def fileno(self) -> int:
        """Readable when something can be taken."""

    def take(self) -> list[Any]:
        """Requests: ``(number, method, path, query, headers, body, peer, askable)``, where peer is
        ``(number, fingerprint, name, groups, not_after, problem)`` or None; news: ``(number, 1)``
        the client is gone, ``(number, 2)`` the stream has room.
        """

    def answer(
        self, number: int, status: int, headers: dict[str, str], body: bytes, allow: bool = False
    ) -> bool:
        """False: the client is gone. ``allow``: reads like this one need not be asked about."""

    def open(self, number: int, status: int, headers: dict[str, str]) -> bool: ...
    def write(self, number: int, data: bytes) -> bool | None:
        """False: wait for room before the next; None: the client is gone."""

    def end(self, number: int) -> None: ...
    def abort(self, number: int) -> None: ...
    def upgrade(self, number: int, headers: dict[str, str]) -> int | None:
        """Answers 101; the descriptor of a socket, or None: the client is gone."""

    def reload(self, chain: bytes, key: bytes, authority: bytes) -> None: ...
    def kinds(
        self, rows: Sequence[tuple[str, str, str, bool, str, str, bool, bool, Sequence[str]]]
    ) -> None:
        """``(group, version, resource, namespaced, storage, list_kind, plain, bare,
        subresources)``.
        """

    def invalidate(self) -> None:
        """Forget what callers were allowed."""

    def put(self, key: str, value: bytes | None, revision: int) -> None:
        """An object's newest text; None: it is gone; revision 0 while filling."""

    def ready(self, revision: int) -> None:
        """Every object was put, as of this revision."""

    def reset(self) -> None:
        """Events were missed: watchers list again, the objects are read no more."""

    def watch(
        self,
        number: int,
        topic: int,
        after: int,
        bookmark: list[tuple[bytes, bytes]] | None,
        seconds: float,
        initial: tuple[str, str] | None,
        initial_end: list[tuple[bytes, bytes]] | None,
        overrun: bytes,
    ) -> bool:
        """``initial``: prefix and version of objects in memory to send first; bookmarks: the texts
        around the revision by the number of its digits; ``overrun``: the last line when the
        watcher must list again. False: the client is gone, or the memory cannot be used.
        """

    def publish(
        self,
        objects: list[tuple[str, bytes | None, int]],
        lines: list[tuple[int, int, bytes]],
        invalidate: bool,
        revision: int,
    ) -> None:
        """Writes: keys, newest texts (None: it is gone) and revisions; ``(topic, revision, line)``
        for watchers; whether to forget what callers were allowed; the newest revision.
        """

    def hold(
        self,
        objects: list[tuple[str, bytes | None, int]],
        lines: list[tuple[int, int, bytes]],
        invalidate: bool,
        revision: int,
    ) -> None:
        """The same, to be published by ``release``; once each, in either order."""

    def release(self) -> None: ...
    def discard(self) -> None:
        """What is held was not written."""

    def progress(self, revision: int) -> None: ...
    def forget(self, number: int) -> None: ...
    def close_topic(self, topic: int) -> None: ...
    def counts(self) -> dict[str, Any]: ...
    def drain(self) -> None: ...
    def stop(self, grace_seconds: float) -> None: ...

class WireError(ValueError):
    """``(kind, message)``; kind is ``malformed``, ``deep``, ``unknown``, ``json`` or ``type``."""

@final
class WireTypes:
    """The table of Go types; every method raises WireError and is thread-safe."""

    def __init__(self, table: str) -> None: ...
    def knows(self, name: str) -> bool: ...
    def decode(self, body: bytes) -> bytes:
        """A protobuf body as JSON."""
    def encode(self, json: bytes) -> bytes:
        """An object or a list in JSON as a protobuf body."""
    def encode_event(self, json: bytes) -> bytes:
        """A watch event in JSON as one frame of a protobuf stream."""
    def canonical(self, name: str, json: bytes) -> tuple[bytes, list[str]]:
        """JSON as Go's type ``name`` gives it back, and the paths of unknown fields."""
    def plain(self, name: str, json: bytes) -> bytes | None:
        """The same where nothing is to be said about it, else ``None``."""

def canonical_quantity(text: str, *, milli: bool = False) -> str | None:
    """The canonical spelling of an amount; ``None``: it is none."""

class MergeError(ValueError):
    """An object does not fit its schema, or managed fields are none."""

class MergePatchError(MergeError):
    """The applied configuration does not fit its schema."""

class MergeConflict(MergeError):
    """Others own fields: ``args[0]`` is a list of ``(manager, field)``."""

@final
class MergeSchema:
    """The compiled types of one kind in one version."""

    @staticmethod
    def untyped() -> MergeSchema: ...
    @staticmethod
    def from_definitions(definitions: bytes, shapes: bytes, name: str) -> MergeSchema:
        """A built-in kind, from OpenAPI definitions by name; raises MergeError."""

    @staticmethod
    def from_structural(
        schema: bytes, definitions: bytes, meta: str, preserve: bool
    ) -> MergeSchema:
        """A custom kind; ``meta`` is the definition of its metadata; raises MergeError."""

    def shape(self, obj: bytes) -> bytes:
        """The object as Go's structs write it."""

@final
class MergeFields:
    """Fields that a strategy resets."""

    def __init__(self, paths: list[list[str]]) -> None: ...

def managed_update(
    schema: MergeSchema,
    live: bytes | None,
    new: bytes,
    api_version: str,
    manager: str,
    subresource: str,
    now: str,
    ignored: MergeFields,
    schemas: list[tuple[str, MergeSchema]] = ...,
    convert: Callable[[bytes, str], bytes] | None = None,
) -> tuple[bytes | None, bytes | None]:
    """``managedFields`` after a create, update or patch, and the same with the old times if it
    differs in nothing else.
    """

def managed_apply(
    schema: MergeSchema,
    live: bytes | None,
    patch: bytes,
    api_version: str,
    manager: str,
    subresource: str,
    now: str,
    ignored: MergeFields,
    force: bool,
    schemas: list[tuple[str, MergeSchema]] = ...,
    convert: Callable[[bytes, str], bytes] | None = None,
) -> tuple[bytes, bytes | None, bytes | None]:
    """The object without ``managedFields`` after a server-side apply, and as ``managed_update``;
    raises MergeConflict, MergePatchError and MergeError.
    """

def managed_problem(managed: bytes) -> str | None:
    """Why a ``managedFields`` list is none."""

def managed_scale(managed: bytes, replicas: list[tuple[str, str]]) -> bytes | None:
    """The owners that a Scale shows; ``replicas``: the number's path by version."""

def managed_unscale(
    managed: bytes, scale: bytes, api_version: str, replicas: list[tuple[str, str]]
) -> bytes | None:
    """The owners of an object after those of its Scale have changed."""

def pattern_problem(text: str) -> str:
    """Why a text is no regular expression as Go writes them; empty when it is one."""

@final
class StructuralSchema:
    """A compiled structural schema (JSON); thread-safe."""

    def __init__(self, schema: bytes) -> None: ...
    @property
    def has_defaults(self) -> bool: ...
    def rule_problems(self) -> list[tuple[str, str, str, str]]:
        """``(path, field, source, message)`` of each rule that is not valid."""
    def rule_costs(self) -> list[tuple[str, str, int]]:
        """``(path, field, cost)``: what each expression of a rule can cost at most."""
    def prepare(self, object: Any) -> tuple[Any | None, list[str]]:
        """``(object or None when unchanged, unknown paths)``; raises RecursionError."""
    def refresh(self, object: bytes) -> bytes | None:
        """The JSON pruned and with defaults; ``None``: as it was."""
    def validate(
        self, new: Any, old: Any = None
    ) -> tuple[list[tuple[str, str, str, bool, Any]], list[str]] | None:
        """``([(path, reason, message, shown, value)], warnings)``; ``None``: nothing is wrong."""
