"""Ingresses as Routes."""

from __future__ import annotations

from cloudwright.model.objects import Object, name_of
from cloudwright.operator.engines import ingress as engine


def path(text: str, kind: str) -> Object:
    service = {"name": "web", "port": {"number": 80}}
    return {"path": text, "pathType": kind, "backend": {"service": service}}


def made(*paths: Object) -> list[Object]:
    rules = [{"host": "shop.example.com", "http": {"paths": list(paths)}}]
    wish: Object = {"metadata": {"name": "i", "namespace": "d"}, "spec": {"rules": rules}}
    found, doubts = engine.backends(wish)
    assert doubts == []
    return [engine.route(wish, one, 80) for one in found]


def test_an_exact_path_and_the_same_prefix() -> None:
    prefix, exact = made(path("/a", "Prefix"), path("/a", "Exact"))
    assert name_of(prefix) != name_of(exact)
    assert "exact" not in prefix["spec"]
    assert exact["spec"] == {**prefix["spec"], "exact": True}


def test_what_is_not_served_is_told() -> None:
    wish: Object = {
        "metadata": {"name": "i", "namespace": "d"},
        "spec": {
            "tls": [{"hosts": ["shop.example.com"], "secretName": "s"}],
            "defaultBackend": {"resource": {"kind": "Bucket", "name": "b"}},
        },
    }
    found, doubts = engine.backends(wish)
    assert found == []
    assert len(doubts) == 2
