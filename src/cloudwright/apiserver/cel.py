"""The Common Expression Language as Kubernetes speaks it: compiled once, evaluated often.

    rule = cel.compile("self.replicas <= 5", {"self": schema}, result="bool")
    rule.evaluate({"self": {"replicas": 3}})            # True

An expression is checked against the declared variables when it is compiled: syntax, unknown names
and fields, operand types, the type of the result. Everything here is thread-safe, except that an
``Activation`` belongs to one evaluation at a time.

For several expressions about the same objects (a policy): one ``Environment``, whose ``compose``
adds ``variables.NAME``, and one ``Activation`` for each request, so that objects are taken over
once and composed variables are evaluated at most once.

    environment = cel.Environment({"object": "dyn", "request": cel.REQUEST})
    environment.compose("small", "object.spec.replicas < 3")
    program = environment.compile("variables.small", result="bool")
    program.evaluate(cel.Activation(environment, {"object": pod, "request": request}))
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import orjson

from cloudwright._base.errors import CloudwrightError
from cloudwright.apiserver import native

PER_CALL_LIMIT = 1_000_000
"""Cost units that one evaluation may take (about 0.1 s on an ordinary machine)."""
BUDGET = 10_000_000
"""Cost units that all expressions about one object may take in one request."""

Result = Literal["bool", "string", "any"]
Schema = Mapping[str, Any]
Declared = Schema | str
"""How a variable is declared: a structural (OpenAPI v3) schema; ``"dyn"``; or the text of a type
(``"string"``, ``"list(string)"``, ``"map(string, dyn)"``, ``"authorizer"``)."""
Document = native.CelDocument
"""A JSON value taken over once, for many evaluations; see ``document``."""


class CelError(CloudwrightError):
    """An expression cannot be compiled or evaluated.

    ``position`` is the 1-based line and column where that is known.
    """

    default_code = "CW3310"

    def __init__(self, message: str, position: tuple[int, int] | None = None) -> None:
        super().__init__(message)
        self.position = position


class CelCompileError(CelError):
    """It is no valid expression. The message is cel-go's: ``ERROR: <input>:1:5: undeclared …``."""

    default_code = "CW3311"


class CelEvaluationError(CelError):
    """Its evaluation failed: ``no such key: x``, ``division by zero`` and such."""

    default_code = "CW3312"


class CelBudgetError(CelEvaluationError):
    """It was stopped because it cost too much."""

    default_code = "CW3313"


@dataclass(frozen=True, slots=True)
class Variable:
    """A declaration with more to say than its schema."""

    schema: Declared = "dyn"
    optional: bool = False
    """The variable is an ``optional_type`` of the schema (``optionalOldSelf``); its value in an
    activation is the plain value or ``None`` for absent."""
    resource: bool = False
    """The root of an object: ``apiVersion``, ``kind`` and ``metadata.name`` are always there."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What an authorizer says."""

    allowed: bool
    reason: str = ""
    error: str = ""


Question = Mapping[str, str]
"""A question to the authorizer. Resources: ``verb group resource subresource namespace name
fieldSelector labelSelector``; paths: ``verb path``; both: ``serviceAccountNamespace`` and
``serviceAccountName`` when asked for a service account instead of the user."""
Authorize = Callable[[Question], Awaitable[Decision]]


class Environment:
    """Declared variables. With ``mutation`` also ``Object{…}`` and ``JSONPatch{…}``."""

    def __init__(
        self, variables: Mapping[str, Declared | Variable], *, mutation: bool = False
    ) -> None:
        declared = {name: _declaration(one) for name, one in variables.items()}
        self._native = native.CelEnvironment(orjson.dumps(declared), mutation)

    def compile(self, source: str, *, result: Result = "any") -> Program:
        """The program of an expression.

        Raises:
            CelCompileError: it is none, or its result is not of the wanted type.
        """
        try:
            return Program(source, self._native.compile(source, result))
        except native.CelError as error:
            raise _translated(error) from None

    def compose(self, name: str, source: str) -> Program:
        """Declare ``variables.NAME`` for the expressions compiled from now on.

        Raises:
            CelCompileError: it is no expression.
        """
        try:
            return Program(source, self._native.compose(name, source))
        except native.CelError as error:
            raise _translated(error) from None


class Activation:
    """The values of an environment's variables for one request.

    A value is a JSON value or a ``Document``. ``cost`` is what was spent so far.
    """

    def __init__(self, environment: Environment, bindings: Mapping[str, Any]) -> None:
        self._native = native.CelActivation(environment._native, bindings)

    @property
    def cost(self) -> int:
        """Cost units spent by all evaluations with this activation, composed variables included."""
        return self._native.cost


class Program:
    """A compiled expression."""

    __slots__ = ("_native", "source")

    def __init__(self, source: str, program: native.CelProgram) -> None:
        self.source = source
        self._native = program

    @property
    def type(self) -> str:
        """The static type of the result: ``bool``, ``dyn``, ``list(string)`` and such."""
        return self._native.type

    def uses(self, variable: str) -> bool:
        """Whether the expression refers to a declared variable."""
        return self._native.uses(variable)

    def evaluate(
        self, bindings: Mapping[str, Any] | Activation, cost_limit: int = PER_CALL_LIMIT
    ) -> Any:
        """The result as a JSON value (times and durations as text, bytes as ``bytes``).

        Raises:
            CelBudgetError: it cost more than ``cost_limit``.
            CelEvaluationError: it failed; also when it asks an authorizer.
        """
        given = bindings._native if isinstance(bindings, Activation) else bindings
        try:
            return self._native.evaluate(given, cost_limit)
        except native.CelError as error:
            raise _translated(error) from None

    async def evaluate_authorized(
        self, activation: Activation, authorize: Authorize, cost_limit: int = PER_CALL_LIMIT
    ) -> Any:
        """Like ``evaluate``; what it asks of ``authorizer`` is answered by ``authorize``.

        Each question is asked once for an activation.
        """
        while True:
            try:
                return self._native.evaluate(activation._native, cost_limit)
            except native.CelError as error:
                question = activation._native.question()
                if question is None:
                    raise _translated(error) from None
            verdict = await authorize(question)
            activation._native.answer(verdict.allowed, verdict.reason, verdict.error)


def compile(
    source: str, variables: Mapping[str, Declared | Variable], *, result: Result = "any"
) -> Program:
    """A program whose variables are ``variables``; kept for the next time.

    Raises:
        CelCompileError: the expression is not valid.
    """
    declared = {name: _declaration(one) for name, one in variables.items()}
    return _compiled(source, orjson.dumps(declared, option=orjson.OPT_SORT_KEYS), result)


def document(value: Any) -> Document:
    """A JSON value (as Python objects, or ``bytes`` of JSON) for use in many bindings."""
    return native.CelDocument(value)


@lru_cache(maxsize=2048)
def _compiled(source: str, declared: bytes, result: Result) -> Program:
    try:
        return Program(source, native.CelEnvironment(declared, False).compile(source, result))
    except native.CelError as error:
        raise _translated(error) from None


def _declaration(given: Declared | Variable) -> Any:
    if not isinstance(given, Variable):
        return {"schema": given}
    return {"schema": given.schema, "optional": given.optional, "resource": given.resource}


def _translated(error: native.CelError) -> CelError:
    kind, message, line, column = error.args
    position = (line, column) if line else None
    families = {"compile": CelCompileError, "budget": CelBudgetError}
    return families.get(kind, CelEvaluationError)(message, position)


_TEXT = {"type": "string"}
_GVR = {"type": "object", "properties": {n: _TEXT for n in ("group", "version", "resource")}}
_GVK = {"type": "object", "properties": {n: _TEXT for n in ("group", "version", "kind")}}
REQUEST: Schema = {
    "type": "object",
    "x-plain-names": True,
    "properties": {
        "kind": _GVK,
        "resource": _GVR,
        "subResource": _TEXT,
        "requestKind": _GVK,
        "requestResource": _GVR,
        "requestSubResource": _TEXT,
        "name": _TEXT,
        "namespace": _TEXT,
        "operation": _TEXT,
        "userInfo": {
            "type": "object",
            "properties": {
                "username": _TEXT,
                "uid": _TEXT,
                "groups": {"type": "array", "items": _TEXT},
                "extra": {
                    "type": "object",
                    "additionalProperties": {"type": "array", "items": _TEXT},
                },
            },
        },
        "dryRun": {"type": "boolean"},
        "options": {"x-kubernetes-dyn": True},
    },
}
"""The variable ``request`` of admission expressions."""
NAMESPACE: Schema = {
    "type": "object",
    "properties": {
        "metadata": {
            "type": "object",
            "x-plain-names": True,
            "properties": {
                "name": _TEXT,
                "generateName": _TEXT,
                "namespace": _TEXT,
                "labels": {"type": "object", "additionalProperties": _TEXT},
                "annotations": {"type": "object", "additionalProperties": _TEXT},
                "UID": _TEXT,
                "creationTimestamp": {"type": "string", "format": "date-time"},
                "deletionGracePeriodSeconds": {"type": "integer"},
                "deletionTimestamp": {"type": "string", "format": "date-time"},
                "generation": {"type": "integer"},
                "resourceVersion": _TEXT,
                "finalizers": {"type": "array", "items": _TEXT},
            },
        },
        "spec": {
            "type": "object",
            "properties": {"finalizers": {"type": "array", "items": _TEXT}},
        },
        "status": {"type": "object", "properties": {"phase": _TEXT}},
    },
}
"""The variable ``namespaceObject`` of admission expressions."""
