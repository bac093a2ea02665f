import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudwright.model import resources as r
from cloudwright.model import schemas


def deployment(**spec):
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web"},
        "spec": {
            "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {"containers": [{"name": "app", "image": "web:1"}]},
            },
            **spec,
        },
    }


def errors(resource, obj, **options):
    return [str(e) for e in schemas.validate(schemas.schema_for(resource), obj, **options)]


@pytest.mark.parametrize("resource", r.BUILT_IN, ids=lambda x: x.kind + x.group)
def test_every_served_kind_has_a_schema_with_metadata(resource):
    schema = schemas.schema_for(resource)
    assert schema is not None
    assert "metadata" in schema["properties"]


def test_every_reference_leads_somewhere():
    def walk(node):
        if isinstance(node, dict):
            if isinstance(node.get("$ref"), str):
                assert node["$ref"].removeprefix(schemas.PREFIX) in schemas.definitions()
            for value in node.values():
                walk(value)
        elif isinstance(node, list):
            for value in node:
                walk(value)

    walk(schemas.definitions())


def test_a_good_deployment_has_no_errors():
    assert errors(r.DEPLOYMENT, deployment(replicas=3)) == []


def test_errors_name_the_field_and_what_was_meant():
    bad = deployment(replicas="3", replics=3)
    bad["spec"]["template"]["spec"]["containers"][0]["imag"] = "x"
    assert sorted(errors(r.DEPLOYMENT, bad)) == [
        'spec.replicas: Invalid value: "3": must be of type integer',
        'spec.replics: Unknown field: did you mean "replicas"?',
        'spec.template.spec.containers[0].imag: Unknown field: did you mean "image"?',
    ]
    assert len(errors(r.DEPLOYMENT, bad, unknown=False)) == 1


def test_null_means_not_set_in_built_in_kinds_only():
    assert errors(r.DEPLOYMENT, deployment(replicas=None, paused=None)) == []
    crd = {"type": "object", "properties": {"a": {"type": "string"}}}
    assert [e.path for e in schemas.validate(crd, {"a": None})] == ["a"]
    crd["properties"]["a"]["nullable"] = True
    assert schemas.validate(crd, {"a": None}) == []


def test_quantities_and_int_or_string_take_both_forms():
    pod = deployment(strategy={"rollingUpdate": {"maxSurge": 1, "maxUnavailable": "25%"}})
    pod["spec"]["template"]["spec"]["containers"][0]["resources"] = {
        "limits": {"cpu": 1, "memory": "64Mi"}
    }
    assert errors(r.DEPLOYMENT, pod) == []
    pod["spec"]["strategy"]["rollingUpdate"]["maxSurge"] = [1]
    assert errors(r.DEPLOYMENT, pod) == [
        'spec.strategy.rollingUpdate.maxSurge: Invalid value: "array": '
        "must be an integer or a string"
    ]


def test_a_named_list_may_not_name_twice():
    pod = deployment()
    pod["spec"]["template"]["spec"]["containers"] *= 2
    assert errors(r.DEPLOYMENT, pod) == [
        'spec.template.spec.containers[1]: Duplicate value: {"name":"app"}'
    ]


def test_missing_status_fields_are_not_errors_but_missing_spec_fields_are():
    node = {"metadata": {"name": "n"}, "status": {"images": [{}], "conditions": [{"type": "a"}]}}
    assert errors(r.NODE, node) == []
    service = {"metadata": {"name": "s"}, "spec": {"ports": [{}]}}
    assert errors(r.SERVICE, service) == ["spec.ports[0].port: Required value"]


def test_the_issue_s_microservice_is_valid():
    spec = {
        "version": "1.12.0",
        "replicas": 3,
        "readinessProbePath": "/health/ready",
        "lifecyclePolicy": {
            "preStopHook": "scripts/pre-stop.sh",
            "postRolloutHook": "webhook://config-sync",
        },
    }
    assert errors(r.MICRO_SERVICE, {"metadata": {"name": "payment-svc"}, "spec": spec}) == []
    spec["lifecyclePolicy"]["preStopHok"] = "x"
    spec["version"] = ""
    del spec["replicas"]
    found = errors(r.MICRO_SERVICE, {"metadata": {"name": "payment-svc"}, "spec": spec})
    assert any(e.startswith("spec.version: Invalid value") for e in found)
    assert 'spec.lifecyclePolicy.preStopHok: Unknown field: did you mean "preStopHook"?' in found


def test_prune_removes_only_what_is_unknown_and_leaves_the_original():
    obj = deployment(extra={"a": 1})
    before = json.dumps(obj)
    pruned = schemas.prune(schemas.schema_for(r.DEPLOYMENT), obj)
    assert "extra" not in pruned["spec"]
    assert json.dumps(obj) == before
    assert pruned == deployment()
    assert schemas.prune(schemas.schema_for(r.DEPLOYMENT), pruned) is pruned


def test_prune_respects_preserved_and_embedded_fields():
    schema = {
        "type": "object",
        "properties": {
            "open": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
            "inner": {
                "type": "object",
                "x-kubernetes-embedded-resource": True,
                "properties": {"spec": {"type": "object"}},
            },
            "labels": {"type": "object", "additionalProperties": {"type": "string"}},
        },
    }
    obj = {
        "kind": "X",
        "open": {"anything": [1]},
        "inner": {"kind": "Y", "metadata": {"name": "n"}, "other": 1},
        "labels": {"a": "b"},
        "gone": True,
    }
    assert schemas.prune(schema, obj) == {
        "kind": "X",
        "open": {"anything": [1]},
        "inner": {"kind": "Y", "metadata": {"name": "n"}},
        "labels": {"a": "b"},
    }


def test_defaults_fill_what_is_missing_and_copy_themselves():
    schema = {
        "type": "object",
        "properties": {
            "size": {"type": "integer", "default": 1},
            "inner": {
                "type": "object",
                "default": {},
                "properties": {"list": {"type": "array", "default": []}},
            },
        },
    }
    first = schemas.apply_defaults(schema, {"size": 5})
    assert first == {"size": 5, "inner": {"list": []}}
    first["inner"]["list"].append(1)
    assert schemas.apply_defaults(schema, {}) == {"size": 1, "inner": {"list": []}}


def test_defaults_of_container_ports():
    pod = {"spec": {"containers": [{"name": "a", "ports": [{"containerPort": 80}]}]}}
    filled = schemas.apply_defaults(schemas.schema_for(r.POD), pod)
    assert filled["spec"]["containers"][0]["ports"] == [{"containerPort": 80, "protocol": "TCP"}]


@pytest.mark.parametrize(
    ("resource", "path", "expected"),
    [
        (r.POD, "spec.containers", ("merge", "name")),
        (r.DEPLOYMENT, ("spec", "template", "spec", "containers", 0, "env"), ("merge", "name")),
        (r.DEPLOYMENT, "spec.strategy", ("retainKeys", "")),
        (r.POD, "spec.volumes", ("merge,retainKeys", "name")),
        (r.SERVICE, "spec.ports", ("merge", "port")),
        (r.POD, "metadata.finalizers", ("merge", "")),
        (r.POD, "metadata.labels", None),
        (r.POD, "spec.nothing", None),
        (r.MICRO_SERVICE, "spec.ports", ("merge", "name")),
    ],
)
def test_merge_keys(resource, path, expected):
    assert schemas.merge_key(resource, path) == expected


def test_describe_a_list_of_objects_and_a_scalar():
    found = schemas.describe(r.DEPLOYMENT, "spec.template.spec.containers")
    assert found.type == "[]Container"
    assert found.required
    assert "List of containers belonging to the pod" in found.text
    assert ("image", "string", False) in [f[:3] for f in found.fields]
    scalar = schemas.describe(r.MICRO_SERVICE, "spec.version")
    assert (scalar.type, scalar.required, scalar.fields) == ("string", True, ())
    assert scalar.text.startswith("The version to run")
    assert schemas.describe(r.POD, "spec.contaners") is None


CRD = {
    "type": "object",
    "required": ["name"],
    "properties": {
        "name": {"type": "string", "minLength": 1, "maxLength": 5, "pattern": "^[a-z]+$"},
        "size": {"type": "integer", "minimum": 1, "maximum": 9, "format": "int32"},
        "step": {"type": "number", "multipleOf": 0.5, "exclusiveMinimum": True, "minimum": 0},
        "when": {"type": "string", "format": "date-time"},
        "wait": {"type": "string", "format": "duration"},
        "raw": {"type": "string", "format": "byte"},
        "tags": {"type": "array", "maxItems": 2, "x-kubernetes-list-type": "set",
                 "items": {"type": "string"}},
        "mode": {"type": "string", "enum": ["a", "b"]},
        "one": {"oneOf": [{"required": ["x"]}, {"required": ["y"]}], "type": "object",
                "x-kubernetes-preserve-unknown-fields": True},
        "port": {"x-kubernetes-int-or-string": True},
        "not": {"type": "string", "not": {"enum": ["no"]}},
    },
}  # fmt: skip


@pytest.mark.parametrize(
    ("field", "good", "bad", "words"),
    [
        ("name", "abc", "", "may not be empty"),
        ("name", "abc", "abcdef", "Too long: may not be more than 5 characters"),
        ("name", "abc", "ab\n", "must match"),
        ("size", 9, 10, "less than or equal to 9"),
        ("size", 1, True, "must be of type integer"),
        ("step", 1.5, 0, "must be greater than 0"),
        ("step", 1.5, 0.7, "multiple of 0.5"),
        ("when", "2026-01-31T08:00:00Z", "2026-01-31", "RFC 3339"),
        ("wait", "1m30s", "soon", "not a duration"),
        ("raw", "YQ==", "%", "base64"),
        ("tags", ["a", "b"], ["a", "a"], "Duplicate value"),
        ("tags", ["a", "b"], ["a", "b", "c"], "at most 2 items"),
        ("mode", "a", "c", 'supported values: "a", "b"'),
        ("one", {"x": 1}, {"x": 1, "y": 1}, "exactly one"),
        ("port", "http", 1.5, "integer or a string"),
        ("not", "yes", "no", "must not fit"),
    ],
)
def test_keywords_of_structural_schemas(field, good, bad, words):
    assert schemas.validate(CRD, {"name": "abc", field: good}) == []
    found = schemas.validate(CRD, {"name": "abc", field: bad})
    assert len(found) == 1, found
    assert found[0].path.startswith(field)
    assert words in str(found[0])


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.floats(allow_nan=False),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["spec", "metadata", "template", "containers", "name", "labels", "zz"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=20,
)


@given(json_values, st.sampled_from([r.POD, r.DEPLOYMENT, r.MICRO_SERVICE]))
def test_no_value_breaks_the_checker_and_pruned_values_know_every_field(value, resource):
    schema = schemas.schema_for(resource)
    schemas.validate(schema, value)
    pruned = schemas.prune(schema, value)
    assert schemas.unknown_fields(schema, pruned) == []
    schemas.apply_defaults(schema, pruned)
