import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudwright.model import protobuf


def varint(value):
    value &= (1 << 64) - 1
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def num(number, value):
    return varint(number << 3) + varint(value)


def sub(number, data):
    data = data.encode() if isinstance(data, str) else data
    return varint(number << 3 | 2) + varint(len(data)) + data


def envelope(api_version, kind, raw):
    return b"k8s\0" + sub(1, sub(1, api_version) + sub(2, kind)) + sub(2, raw) + sub(3, "")


def pair(key, value):
    return sub(1, key) + sub(2, value)


def test_a_config_map():
    meta = sub(1, "settings") + sub(3, "") + num(7, 0) + sub(8, b"") + sub(11, pair("a", "b"))
    raw = sub(1, meta) + sub(2, pair("k", "v")) + sub(3, pair("bin", b"\x00\x01")) + num(4, 0)
    assert protobuf.decode(envelope("v1", "ConfigMap", raw)) == {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "settings", "labels": {"a": "b"}},
        "data": {"k": "v"},
        "binaryData": {"bin": "AAE="},
        "immutable": False,
    }


def test_pointers_keep_zeros_and_values_do_not():
    container = sub(1, "app") + sub(6, num(2, 0) + num(3, 80))
    container += sub(8, sub(1, pair("cpu", sub(1, "500m"))))
    probe = sub(1, sub(2, sub(1, "/ok") + sub(2, num(1, 1) + sub(3, "http")))) + num(3, 0)
    container += sub(10, probe)
    volume = sub(1, "tmp") + sub(2, sub(2, b""))
    pod_spec = sub(1, volume) + sub(2, container) + num(4, 0) + num(11, 0)
    template = sub(3, sub(2, pod_spec))
    deployment = sub(2, num(1, 0) + template + sub(4, b"") + num(5, 0) + num(7, 0))
    found = protobuf.decode(envelope("apps/v1", "Deployment", deployment))["spec"]
    assert found["replicas"] == 0
    assert set(found) == {"replicas", "template"}
    pod = found["template"]["spec"]
    assert pod["terminationGracePeriodSeconds"] == 0
    assert pod["volumes"] == [{"name": "tmp", "emptyDir": {}}]
    app = pod["containers"][0]
    assert app["ports"] == [{"containerPort": 80}]
    assert app["resources"] == {"limits": {"cpu": "500m"}}
    assert app["livenessProbe"] == {"httpGet": {"path": "/ok", "port": "http"}}
    assert "hostNetwork" not in pod


def test_times_negative_numbers_and_options():
    lease = sub(2, sub(1, "me") + num(2, 15) + sub(3, num(1, 1767225600) + num(2, 5000)))
    assert protobuf.decode(envelope("coordination.k8s.io/v1", "Lease", lease))["spec"] == {
        "holderIdentity": "me",
        "leaseDurationSeconds": 15,
        "acquireTime": "2026-01-01T00:00:00.000005Z",
    }
    options = protobuf.decode(envelope("apps/v1", "DeleteOptions", num(1, 0) + sub(4, "Orphan")))
    assert options["gracePeriodSeconds"] == 0
    assert options["propagationPolicy"] == "Orphan"
    assert protobuf.decode(envelope("v1", "DeleteOptions", num(1, -1)))["gracePeriodSeconds"] == -1


def test_kinds_that_are_not_known_say_so():
    with pytest.raises(protobuf.ProtobufError, match=r"example\.org/v1 Box is not known"):
        protobuf.decode(envelope("example.org/v1", "Box", b""))
    with pytest.raises(protobuf.ProtobufError, match="does not start"):
        protobuf.decode(b"{}")


@given(st.sampled_from([("v1", "Pod"), ("apps/v1", "Deployment"), ("v1", "Event")]), st.binary())
def test_any_bytes_are_an_object_or_an_error(kind, data):
    for body in (envelope(*kind, data), b"k8s\0" + data):
        try:
            found = protobuf.decode(body)
        except protobuf.ProtobufError:
            continue
        json.dumps(found)


def test_a_body_that_kubectl_sent():
    # `kubectl create configmap a --from-literal=a=b` of 1.32, as seen on the wire
    body = bytes.fromhex(
        "6b3873000a0f0a0276311209436f6e6669674d6170121b0a110a016112001a002200"
        "2a0032003800420012060a01611201621a002200"
    )
    found = protobuf.decode(body)
    assert (found["kind"], found["metadata"], found["data"]) == (
        "ConfigMap",
        {"name": "a"},
        {"a": "b"},
    )
