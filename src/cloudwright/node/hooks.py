"""Life-cycle hooks of containers (postStart, preStop) and the pod's preStop webhook."""

from __future__ import annotations

from typing import Any

import anyio

from cloudwright._base.errors import CloudwrightError
from cloudwright.model.objects import Object, annotations_of, labels_of, name_of, namespace_of
from cloudwright.node import probes
from cloudwright.node.errors import NodeError, describe
from cloudwright.node.neighbours import Neighbours
from cloudwright.node.prober import execute

WEBHOOK = "cloudwright.dev/pre-stop-webhook"
_NAME, _VERSION = "platform.example.com/microservice", "app.kubernetes.io/version"
_APPLIED = "cloudwright.dev/config-applied"


def pre_stop(container: dict[str, Any]) -> dict[str, Any] | None:
    """The preStop handler of a container, if it has one."""
    return (container.get("lifecycle") or {}).get("preStop") or None


def post_start(container: dict[str, Any]) -> dict[str, Any] | None:
    """The postStart handler of a container, if it has one."""
    return (container.get("lifecycle") or {}).get("postStart") or None


async def call(
    node: Neighbours,
    uid: str,
    container: dict[str, Any],
    container_id: str,
    handler: dict[str, Any],
    timeout: float,
) -> None:
    """Run one handler (``exec``, ``httpGet``, ``sleep``) for at most ``timeout`` seconds.

    Raises:
        NodeError: it failed or did not end in time; the message says how.
    """
    try:
        with anyio.fail_after(timeout):
            await _call(node, uid, container, container_id, handler, timeout)
    except TimeoutError as error:
        raise NodeError(f"did not end within {timeout:g}s") from error
    except NodeError:
        raise
    except CloudwrightError as error:
        raise NodeError(describe(error)) from error


async def _call(
    node: Neighbours,
    uid: str,
    container: dict[str, Any],
    container_id: str,
    handler: dict[str, Any],
    timeout: float,
) -> None:
    if "sleep" in handler:
        await anyio.sleep(float(handler["sleep"].get("seconds") or 0))
    elif "exec" in handler:
        argv = tuple(str(word) for word in handler["exec"].get("command") or [])
        code, output = await execute(node, container_id, argv, timeout)
        if code != 0:
            raise NodeError(
                f"Exec lifecycle hook {list(argv)} exited with {code}: {output.strip()}"
            )
    elif "httpGet" in handler:
        probe = {**container, "readinessProbe": {"httpGet": handler["httpGet"]}}
        spec = probes.spec_of(probe, "readiness")
        assert spec is not None
        request = {**probes.mesh_request(spec), "timeout_ms": int(timeout * 1000)}
        answer = await node.mesh.probe(uid, request)
        if not answer.get("ok"):
            raise NodeError(f"HTTP lifecycle hook failed: {probes.failure_text(spec, answer)}")
    else:
        raise NodeError(f"unsupported lifecycle handler: {', '.join(handler) or 'none'}")


async def webhook(node: Neighbours, pod: Object, timeout: float) -> None:
    """Call the pod's preStop webhook, if it names one.

    Raises:
        NodeError: the hook did not answer 2xx in time.
    """
    url = annotations_of(pod).get(WEBHOOK)
    if not url:
        return
    labels = labels_of(pod)
    payload = {
        "event": "PreStop",
        "namespace": namespace_of(pod),
        "name": labels.get(_NAME) or labels.get("app.kubernetes.io/name") or name_of(pod),
        "version": labels.get(_VERSION, ""),
        "previousVersion": "",
        "pod": name_of(pod),
        "configRevision": annotations_of(pod).get(_APPLIED, ""),
    }
    try:
        with anyio.fail_after(timeout):
            await node.hooks.call(url, namespace_of(pod), payload, timeout=timeout)
    except TimeoutError as error:
        raise NodeError(f"{url} did not answer within {timeout:g}s") from error
    except CloudwrightError as error:
        raise NodeError(f"{url}: {describe(error)}") from error
