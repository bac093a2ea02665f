"""What extends the API server: the cost of rules, embedded objects, other API servers."""

from __future__ import annotations

from typing import Any

from tests.standards.kubernetes.scenarios import scenario
from tests.standards.kubernetes.scenarios.customs import CRDS, definition
from tests.standards.kubernetes.session import MERGE, Session

TEXT = {"type": "string"}
SHORT = {"type": "string", "maxLength": 20}


def rules(schema: dict[str, Any], *given: str | dict[str, Any]) -> dict[str, Any]:
    shown = [{"rule": one} if isinstance(one, str) else one for one in given]
    return {**schema, "x-kubernetes-validations": shown}


def array(items: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"type": "array", "items": items, **more}


def mapping(values: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"type": "object", "additionalProperties": values, **more}


def tried(s: Session, kind: str, spec: dict[str, Any]) -> None:
    schema = {"type": "object", "properties": {"spec": spec}}
    body = definition(kind, {"openAPIV3Schema": schema})
    s.send(f"create {kind}", "POST", f"{CRDS}?dryRun=All", body, only=complaints)


def complaints(body: Any) -> Any:
    """What is wrong, in no order: upstream walks properties as a Go map gives them."""
    causes = (body.get("details") or {}).get("causes") or []
    found = [f"{one.get('field')}: {one.get('message')}" for one in causes]
    return [body.get("kind"), body.get("reason"), sorted(found)]


@scenario("cel")
def costs_of_rules(s: Session) -> None:
    cheap = rules(array(SHORT, maxItems=5), "self.all(x, x.startsWith('a'))")
    given = [
        cheap,
        rules(array(TEXT), "self.all(x, x.contains('abc'))"),
        rules(array(SHORT), "self.all(x, self.all(y, x == y || x != y))"),
        rules(array(array(TEXT)), "self.all(x, x.all(y, y == 'a'))"),
        array(rules({"type": "object", "properties": {"n": TEXT}}, "self.n.matches('^[a-z]+$')")),
        array(
            rules({"type": "object", "properties": {"n": SHORT}}, "self.n.matches('^[a-z]+$')"),
            maxItems=1000,
        ),
        array(array(rules(SHORT, "self.contains('a')"), maxItems=10), maxItems=10),
        array(array(rules(SHORT, "self == 'a'"))),
        mapping(rules(TEXT, "self.startsWith('abc')")),
        mapping(rules(SHORT, "self.lowerAscii() == self"), maxProperties=100),
        rules(mapping(TEXT), "self.all(k, self[k].contains(k))"),
        rules(array(SHORT, maxItems=3000), "self.all(x, self.exists(y, y == x))"),
        rules(array(SHORT, maxItems=700), "self.all(x, self.all(y, self.all(z, z == y)))"),
        rules(TEXT, {"rule": "self == 'a'", "messageExpression": "self + self"}),
        rules(TEXT, {"rule": "self == 'a'", "messageExpression": "self.replace('', self)"}),
        rules(
            array(TEXT),
            {"rule": "true", "messageExpression": "self.map(x, self.join(x)).join()"},
        ),
        rules(array({"type": "integer"}), "self.isSorted()", "self.sum() > 3"),
        rules(array(TEXT), "self.distinct().size() == self.size()"),
        rules(array(TEXT, maxItems=20), "self.sort() == self"),
        rules(array(TEXT, maxItems=20), "sets.contains(self, ['a', 'b'])"),
        rules(TEXT, "self.split(',').all(x, x.matches('^[a-z]*$'))"),
        rules(TEXT, "isIP(self) || isCIDR(self)", "quantity(self).isGreaterThan(quantity('1'))"),
        rules(TEXT, "url(self).getHost().contains('example')"),
        rules(TEXT, "self.matches('" + "a" * 900 + "')"),
        rules(array(TEXT), "oldSelf.all(x, x in self)"),
    ]
    for at, spec in enumerate(given):
        tried(s, f"Cost{at}", {"type": "object", "properties": {"a": spec}})


@scenario("cel")
def cost_of_all_rules(s: Session) -> None:
    def near(at: int) -> dict[str, Any]:
        bounded = array(SHORT, maxItems=700 + at)
        return rules(bounded, "self.all(x, self.all(y, x == y))")

    for count in (2, 18, 30, 60):
        properties = {f"p{at:02}": near(at) for at in range(count)}
        tried(s, f"Total{count}", {"type": "object", "properties": properties})


@scenario("cel")
def cost_of_changed_rules(s: Session) -> None:
    spec = rules(array(SHORT, maxItems=3), "self.all(x, x == 'a')")
    schema = {"type": "object", "properties": {"spec": spec}}
    body = definition("Bounded", {"openAPIV3Schema": schema})
    s.ask("POST", CRDS, body)
    where = f"{CRDS}/{body['metadata']['name']}"
    version = body["spec"]["versions"][0]
    wide = rules(array(TEXT), "self.all(x, self.all(y, x == y))")
    version["schema"]["openAPIV3Schema"]["properties"]["spec"] = wide
    patch = {"spec": {"versions": [version]}}
    s.send("widen", "PATCH", where, patch, kind=MERGE, only=complaints)
    s.ask("DELETE", where)
