"""Fields of ``request`` and ``namespaceObject`` have their plain names, also ``namespace``."""

from __future__ import annotations

import pytest

from cloudwright.apiserver import cel


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("request.namespace == 'a'", True),
        ("request.namespace == 'b'", False),
        ("namespaceObject.metadata.namespace == ''", True),
    ],
)
def test_namespace_is_a_field(source: str, found: bool) -> None:
    program = cel.compile(
        source, {"request": cel.REQUEST, "namespaceObject": cel.NAMESPACE}, result="bool"
    )
    request = {"namespace": "a", "operation": "CREATE"}
    namespace = {"metadata": {"name": "a", "namespace": ""}}
    assert program.evaluate({"request": request, "namespaceObject": namespace}) is found
