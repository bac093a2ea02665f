"""The Python face of CEL: what it gives, refuses and never does."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloudwright.apiserver import cel, structures

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
SCHEMA: Any = {
    "type": "object",
    "properties": {
        "replicas": {"type": "integer"},
        "ratio": {"type": "number"},
        "names": {"type": "array", "items": {"type": "string"}},
        "when": {"type": "string", "format": "date-time"},
    },
}


def value(source: str, **bindings: Any) -> Any:
    return cel.compile(source, dict.fromkeys(bindings, "dyn")).evaluate(bindings)


def test_results_are_json_values() -> None:
    assert value("[x + 1, 2 * x]", x=1) == [2, 2]
    assert value("{'a': x}", x=None) == {"a": None}
    assert value("duration('90s')") == "90s"
    assert value("timestamp('2026-01-01T00:00:00Z') + duration('1h')") == "2026-01-01T01:00:00Z"
    assert value("x.a == 1.0 && x.b == 2", x={"a": 1, "b": 2.0}) is True


def test_a_whole_number_is_a_double_where_the_schema_says_so() -> None:
    program = cel.compile("self.ratio / 2.0", {"self": SCHEMA})
    assert program.type == "double"
    assert program.evaluate({"self": {"ratio": 1}}) == 0.5


def test_documents_are_taken_over_once() -> None:
    document = cel.document({"replicas": 3})
    program = cel.compile("self.replicas", {"self": SCHEMA})
    assert [program.evaluate({"self": document}) for _ in range(3)] == [3, 3, 3]
    assert cel.compile("d.a[0]", {"d": "dyn"}).evaluate({"d": cel.document(b'{"a":[7]}')}) == 7


def test_the_root_of_an_object_has_its_name() -> None:
    variables = {"self": cel.Variable(SCHEMA, resource=True)}
    program = cel.compile("self.metadata.name + self.kind", variables, result="string")
    assert program.evaluate({"self": {"kind": "K", "metadata": {"name": "n"}}}) == "nK"
    with pytest.raises(cel.CelCompileError, match="undefined field 'labels'"):
        cel.compile("self.metadata.labels", variables)


def test_optional_variables_may_be_absent() -> None:
    variables = {"self": SCHEMA, "oldSelf": cel.Variable(SCHEMA, optional=True)}
    source = "oldSelf.optMap(o, o.replicas <= self.replicas).orValue(true)"
    program = cel.compile(source, variables, result="bool")
    assert program.uses("oldSelf")
    assert program.evaluate({"self": {"replicas": 1}}) is True
    assert program.evaluate({"self": {"replicas": 1}, "oldSelf": {"replicas": 2}}) is False


@pytest.mark.parametrize(
    ("source", "message", "position"),
    [
        ("self.foo", "undefined field 'foo'", (1, 5)),
        ("self.replicas >", "Syntax error", (1, 16)),
        ("nope", "undeclared reference to 'nope' (in container '')", (1, 1)),
        ("true &&\n self.names", "expected type 'bool' but found 'list(string)'", (2, 6)),
        ("self.replicas", "cel expression must evaluate to a bool", None),
    ],
)
def test_wrong_expressions_tell_where(
    source: str, message: str, position: tuple[int, int] | None
) -> None:
    with pytest.raises(cel.CelCompileError) as caught:
        cel.compile(source, {"self": SCHEMA}, result="bool")
    assert message in caught.value.message
    assert caught.value.position == position


def test_evaluations_fail_and_end() -> None:
    with pytest.raises(cel.CelEvaluationError, match="no such key: b"):
        value("x.b", x={"a": 1})
    with pytest.raises(cel.CelEvaluationError, match="division by zero"):
        value("1 / x", x=0)
    with pytest.raises(cel.CelBudgetError, match="actual cost limit exceeded"):
        value("x.all(a, x.all(b, x.all(c, a + b + c >= 0)))", x=list(range(200)))


def test_composed_variables_and_costs() -> None:
    environment = cel.Environment({"object": "dyn"})
    environment.compose("big", "object.items.all(i, i > 0)")
    program = environment.compile("variables.big && variables.big", result="bool")
    activation = cel.Activation(environment, {"object": {"items": [1, 2, 3]}})
    assert program.evaluate(activation) is True
    first = activation.cost
    assert program.evaluate(activation) is True
    assert activation.cost - first < first, "the variable was evaluated once"
    with pytest.raises(cel.CelCompileError, match="undefined field 'small'"):
        environment.compile("variables.small")


@pytest.mark.anyio
async def test_authorizers_are_asked() -> None:
    declared = {"authorizer": "authorizer", "authorizer.requestResource": "resource_check"}
    environment = cel.Environment(declared)
    source = "authorizer.requestResource.check('get').allowed()"
    program = environment.compile(f"{source} && {source}", result="bool")
    asked = []

    async def authorize(question: cel.Question) -> cel.Decision:
        asked.append(dict(question))
        return cel.Decision(True)

    bindings = {"authorizer.requestResource": {"resource": "pods", "namespace": "n"}}
    activation = cel.Activation(environment, bindings)
    assert await program.evaluate_authorized(activation, authorize) is True
    assert asked == [{"resource": "pods", "namespace": "n", "verb": "get"}]


def test_objects_and_patches_are_made() -> None:
    environment = cel.Environment({"object": "dyn"}, mutation=True)
    program = environment.compile("Object{spec: Object.spec{size: object.size + 1}}")
    assert program.type == "Object"
    bindings = {"object": {"size": 1}}
    assert program.evaluate(cel.Activation(environment, bindings)) == {"spec": {"size": 2}}
    source = "[JSONPatch{op: 'add', path: '/a/' + jsonpatch.escapeKey('b/c'), value: 1}]"
    patch = environment.compile(source).evaluate(cel.Activation(environment, bindings))
    assert patch == [{"op": "add", "path": "/a/b~1c", "value": 1}]
    with pytest.raises(cel.CelCompileError, match="undeclared reference to 'Object'"):
        cel.compile("Object{}", {"object": "dyn"})


@given(JSON)
def test_values_go_through_unchanged(given_value: Any) -> None:
    program = cel.compile("x", {"x": "dyn"})
    assert program.evaluate({"x": given_value}) == given_value
    assert cel.compile("x == y", {"x": "dyn", "y": "dyn"}).evaluate(
        {"x": given_value, "y": cel.document(given_value)}
    )


@settings(max_examples=60)
@given(st.text(alphabet="self.replcanm()[]{}<>=!&|?:+-*/%'\" 019,", max_size=40))
def test_any_text_compiles_or_is_refused(source: str) -> None:
    try:
        program = cel.compile(source, {"self": SCHEMA})
    except cel.CelCompileError:
        return
    try:
        program.evaluate({"self": {"replicas": 1, "names": ["a"]}})
    except cel.CelEvaluationError:
        pass


@settings(max_examples=60)
@given(JSON, JSON)
def test_any_object_is_checked(new: Any, old: Any) -> None:
    rules = [{"rule": "size(self) < 3"}, {"rule": "self == oldSelf"}]
    spec = SCHEMA | {"x-kubernetes-validations": rules}
    structure = structures.of({"type": "object", "properties": {"spec": spec}})
    wrapped = {"spec": new}
    prepared, _ = structure.prepare(wrapped)
    again, unknown = structure.prepare(prepared)
    assert (again, unknown) == (prepared, [])
    structure.validate(prepared, None)
    assert structure.validate(prepared, prepared) == structure.validate(prepared, prepared)
    structure.validate(prepared, structure.prepare({"spec": old})[0])
