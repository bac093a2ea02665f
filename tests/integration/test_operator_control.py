"""Controllers of the control plane: certificates, taints, lost pods, mirrored endpoints."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import pytest
from cryptography import x509

from cloudwright._base.clock import SystemClock, rfc3339
from cloudwright.apiserver.signer import RequestSigner
from cloudwright.apiserver.tls import Pki
from cloudwright.client.client import Client
from cloudwright.model.objects import Object, controller_of, finalizers_of, labels_of, name_of
from cloudwright.model.resources import (
    CERTIFICATE_SIGNING_REQUEST,
    ENDPOINT_SLICE,
    ENDPOINTS,
    JOB,
    NODE,
    PERSISTENT_VOLUME_CLAIM,
    POD,
    SERVICE,
)
from cloudwright.operator.controllers import podgc
from cloudwright.operator.engines import certificates, taints
from cloudwright.operator.run import run as run_operator
from tests.integration.operator_world import FAST, Hooks, World, api, eventually, make_node
from tests.unit.operator.test_certificates_engine import CLIENT_USES, pem

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def control(folder: Path, *controllers: str, **config: Any) -> AsyncIterator[Client]:
    """API and controllers, no node."""
    async with api(folder) as client, anyio.create_task_group() as tasks:
        await tasks.start(
            lambda *, task_status: run_operator(
                client,
                hooks=Hooks(),
                signer=RequestSigner(Pki(folder / "pki").ca),
                config=replace(FAST, **config),
                controllers=controllers,
                task_status=task_status,
            )
        )
        yield client
        tasks.cancel_scope.cancel()


def seen(client: Client) -> World:
    return World(client, Hooks(), None)  # type: ignore[arg-type]


def asked(name: str, signer: str, usages: list[str], text: bytes) -> Object:
    return {
        "metadata": {"name": name},
        "spec": {
            "request": base64.b64encode(text).decode(),
            "signerName": signer,
            "usages": usages,
            "expirationSeconds": 3600,
        },
    }


async def approve(client: Client, request: Object) -> None:
    entry = {"type": "Approved", "status": "True", "reason": "KubectlApprove", "message": "yes"}
    changed = {**request, "status": {"conditions": [entry]}}
    await client.update(CERTIFICATE_SIGNING_REQUEST, changed, subresource="approval")


async def test_certificates_are_approved_by_right_signed_and_refused(tmp_path: Path) -> None:
    async with control(tmp_path, "certificates") as client:
        w = seen(client)
        # The requester is an administrator, so that the right to ask for nodes is there.
        node = asked(
            "node", certificates.KUBELET_CLIENT, CLIENT_USES, pem("system:node:a", "system:nodes")
        )
        await client.create(CERTIFICATE_SIGNING_REQUEST, node)
        person = await client.create(
            CERTIFICATE_SIGNING_REQUEST,
            asked("person", certificates.CLIENT, ["client auth"], pem("jane", "team")),
        )
        wrong = await client.create(
            CERTIFICATE_SIGNING_REQUEST,
            asked("wrong", certificates.CLIENT, ["server auth"], pem("jane")),
        )
        signed = await w.until(CERTIFICATE_SIGNING_REQUEST, "node", certificates.issued)
        (entry,) = signed["status"]["conditions"]
        assert (entry["type"], entry["reason"]) == ("Approved", "AutoApproved")
        assert not certificates.issued(await client.get(CERTIFICATE_SIGNING_REQUEST, "person"))
        await approve(client, person)
        await approve(client, wrong)
        signed = await w.until(CERTIFICATE_SIGNING_REQUEST, "person", certificates.issued)
        found = x509.load_pem_x509_certificate(base64.b64decode(signed["status"]["certificate"]))
        found.verify_directly_issued_by(Pki(tmp_path / "pki").ca.certificate)
        refused = await w.until(
            CERTIFICATE_SIGNING_REQUEST, "wrong", lambda o: certificates.has(o, "Failed")
        )
        (entry,) = [e for e in refused["status"]["conditions"] if e["type"] == "Failed"]
        assert entry["reason"] == "SignerValidationFailure"


def node_object(ready: str) -> Object:
    return {
        "metadata": {"name": "n1"},
        "status": {"conditions": [{"type": "Ready", "status": ready}]},
    }


def pod(name: str, *tolerations: Object, node: str = "n1", **metadata: Any) -> Object:
    spec: Object = {"containers": [{"name": "app", "image": "app:1"}]}
    if node:
        spec["nodeName"] = node
    if tolerations:
        spec["tolerations"] = list(tolerations)
    return {"metadata": {"name": name, "namespace": "default", **metadata}, "spec": spec}


async def test_a_node_that_is_not_ready_loses_what_does_not_tolerate_it(tmp_path: Path) -> None:
    async with control(tmp_path, "nodes", "tainteviction") as client:
        w = seen(client)
        await make_node(client, node_object("True"))
        for_ever = {"key": taints.NOT_READY, "operator": "Exists", "effect": "NoExecute"}
        await client.create(POD, pod("stays", for_ever))
        await client.create(POD, pod("soon", {**for_ever, "tolerationSeconds": 1}))
        running = await client.get(POD, "stays", "default")
        since = rfc3339(SystemClock().now())
        ready = {"type": "Ready", "status": "True", "lastTransitionTime": since}
        status = {"phase": "Running", "conditions": [ready]}
        await client.update_status(POD, {**running, "status": status})
        await make_node(client, node_object("False"))
        found = await w.until(NODE, "n1", lambda o: len(o["spec"].get("taints") or ()) == 2)
        assert {one["effect"] for one in found["spec"]["taints"]} == {"NoSchedule", "NoExecute"}
        await w.until(
            POD, "soon", lambda o: any(
                c["type"] == "DisruptionTarget" and c["reason"] == "DeletionByTaintManager"
                for c in (o.get("status") or {}).get("conditions") or ()
            ),
        )  # fmt: skip
        await eventually(lambda: _ended(client, "soon"))
        await w.until(POD, "stays", lambda o: o["status"]["conditions"][0]["status"] == "False")
        assert "deletionTimestamp" not in (await client.get(POD, "stays", "default"))["metadata"]
        await make_node(client, node_object("True"))
        await w.until(NODE, "n1", lambda o: not o["spec"].get("taints"))


async def _ended(client: Client, name: str) -> bool:
    return all(
        name_of(one) != name or "deletionTimestamp" in one["metadata"]
        for one in (await client.list(POD, "default")).items
    )


async def test_lost_pods_are_removed_and_their_jobs_know(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(podgc, "QUARANTINE", 0.2)
    async with control(tmp_path, "podgc", "job") as client:
        w = seen(client)
        await client.create(POD, pod("orphan", node="gone", finalizers=["example.com/look"]))
        orphan = await w.until(POD, "orphan", lambda o: "deletionTimestamp" in o["metadata"])
        assert orphan["status"]["phase"] == "Failed"
        assert orphan["status"]["conditions"][-1]["reason"] == "DeletionByPodGC"
        template = {"spec": {"containers": [{"name": "c", "image": "x"}], "restartPolicy": "Never"}}
        spec = {"template": template, "podReplacementPolicy": "Failed", "backoffLimit": 0}
        wish = {"metadata": {"name": "j", "namespace": "default"}, "spec": spec}
        await client.create(JOB, wish)

        async def made() -> bool:
            return any(
                finalizers_of(one) and name_of(one) != "orphan" for one in await w.items(POD)
            )

        await eventually(made)
        (one,) = [p for p in await w.items(POD) if (controller_of(p) or {}).get("kind") == "Job"]
        # Nobody ever placed it: without help it would hang in its finalizer for ever.
        await client.delete(POD, name_of(one), "default")
        found = await w.until(JOB, "j", lambda o: (o.get("status") or {}).get("failed") == 1)
        assert found["status"]["failed"] == 1
        await w.until_gone(POD, name_of(one))


async def test_endpoints_that_people_write_become_slices(tmp_path: Path) -> None:
    async with control(tmp_path, "mirroring", "endpoints") as client:
        w = seen(client)
        head = {"name": "db", "namespace": "default"}
        service = {"metadata": head, "spec": {"ports": [{"name": "sql", "port": 5432}]}}
        await client.create(SERVICE, service)
        ports = [{"name": "sql", "port": 5432, "protocol": "TCP"}]
        subset = {"addresses": [{"ip": "192.0.2.7"}], "ports": ports}
        await client.create(ENDPOINTS, {"metadata": head, "subsets": [subset]})

        async def addresses() -> list[str]:
            found = [
                one
                for one in await w.items(ENDPOINT_SLICE)
                if labels_of(one).get("kubernetes.io/service-name") == "db"
            ]
            return [e["addresses"][0] for one in found for e in one.get("endpoints") or ()]

        async def has(*wanted: str) -> bool:
            return await addresses() == list(wanted)

        await eventually(lambda: has("192.0.2.7"))
        subset["addresses"] = [{"ip": "192.0.2.8"}]
        await client.patch(ENDPOINTS, "db", {"subsets": [subset]}, "default")
        await eventually(lambda: has("192.0.2.8"))
        await client.patch(SERVICE, "db", {"spec": {"selector": {"app": "db"}}}, "default")
        await eventually(lambda: has())


async def test_volumes_of_a_pod_get_claims_of_their_own(tmp_path: Path) -> None:
    async with control(tmp_path, "ephemeral") as client:
        wish = pod("p", node="")
        claim = {
            "metadata": {"labels": {"a": "b"}},
            "spec": {
                "accessModes": ["ReadWriteOnce"],
                "resources": {"requests": {"storage": "1Gi"}},
            },
        }
        wish["spec"]["volumes"] = [{"name": "scratch", "ephemeral": {"volumeClaimTemplate": claim}}]
        made = await client.create(POD, wish)
        found = await seen(client).until(PERSISTENT_VOLUME_CLAIM, "p-scratch", lambda _: True)
        assert (controller_of(found) or {})["uid"] == made["metadata"]["uid"]
        assert labels_of(found) == {"a": "b"}
        assert found["spec"]["resources"]["requests"] == {"storage": "1Gi"}
