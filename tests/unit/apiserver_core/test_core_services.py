from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudwright._base.clock import ManualClock
from cloudwright.apiserver import sweeping
from cloudwright.apiserver.admission import Review
from cloudwright.apiserver.clusterips import ClusterIPs
from cloudwright.apiserver.config import CoreConfig
from cloudwright.apiserver.errors import forbidden
from cloudwright.model import fields
from cloudwright.model.fields import FieldError
from tests.unit.apiserver_core.kit import CONFIG_MAPS, Api, config_map, serving

pytestmark = pytest.mark.anyio

SERVICES = "/api/v1/namespaces/default/services"


def service(name: str, **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": name}, "spec": {"ports": [{"port": 80}], **spec}}


async def address(api: Api, name: str, **spec: Any) -> str:
    made = await api.create(SERVICES, service(name, **spec))
    assert made["spec"]["clusterIPs"] == [made["spec"]["clusterIP"]]
    return str(made["spec"]["clusterIP"])


async def test_each_service_gets_its_own_address(api: Api) -> None:
    found = {await address(api, f"s{index}") for index in range(20)}
    assert len(found) == 20
    assert not found & {"10.96.0.0", "10.96.0.1", "10.96.0.10"}
    assert all(one.startswith("10.96.0.") for one in found)


async def test_addresses_can_be_asked_for_once(api: Api) -> None:
    assert await address(api, "a", clusterIP="10.96.7.7") == "10.96.7.7"
    for wanted, text in (
        ("10.96.7.7", "already allocated"),
        ("192.0.2.1", "does not match the current range"),
        ("10.96.0.0", "first and last"),
        ("nonsense", "must be a valid IP address"),
    ):
        error = await api.create(SERVICES, service("b", clusterIP=wanted), status=422)
        assert text in error["message"]
    await api.delete(f"{SERVICES}/a")
    assert await address(api, "b", clusterIP="10.96.7.7") == "10.96.7.7"


async def test_headless_services_have_none(api: Api) -> None:
    made = await api.create(SERVICES, service("a", clusterIP="None"))
    assert (made["spec"]["clusterIP"], made["spec"]["clusterIPs"]) == ("None", ["None"])


async def test_an_address_stays_with_its_service(api: Api) -> None:
    found = await address(api, "a")
    # An update that does not speak of the address keeps it (`kubectl replace`).
    kept = await api.update(f"{SERVICES}/a", service("a", selector={"app": "a"}))
    assert kept["spec"]["clusterIP"] == found
    error = await api.patch(f"{SERVICES}/a", {"spec": {"clusterIP": "10.96.9.9"}}, status=422)
    assert "may not change once set" in error["message"]


async def test_failed_and_dry_creations_take_no_address(tmp_path: Path) -> None:
    config = CoreConfig(service_cidr="10.0.0.0/30", reserved_ips=())
    async with serving(tmp_path, config=config) as api:
        for _ in range(5):
            await api.create(SERVICES, service("a"), dryRun="All")
            bad = service("b") | {"metadata": {"name": "b", "labels": {"x": "-"}}}
            await api.create(SERVICES, bad, status=422)
        assert {await address(api, "a"), await address(api, "b")} == {"10.0.0.1", "10.0.0.2"}
        error = await api.create(SERVICES, service("c"), status=422)
        assert "no address is free" in error["message"]
        await api.delete(f"{SERVICES}/a")
        await address(api, "c")


async def test_addresses_are_remembered_over_a_restart(tmp_path: Path) -> None:
    async with serving(tmp_path) as api:
        found = await address(api, "a")
    async with serving(tmp_path) as api:
        assert await address(api, "b") != found
        await api.create(SERVICES, service("c", clusterIP=found), status=422)


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.booleans()), max_size=30))
def test_no_address_has_two_holders(steps: list[tuple[str, bool]]) -> None:
    pool = ClusterIPs("10.0.0.0/29", ("10.0.0.3",))
    held: dict[str, str] = {}
    for holder, take in steps:
        if take and holder not in held:
            found = pool.allocate(holder)
            if found is None:
                assert len(held) == 5
            else:
                assert found not in held.values()
                assert found != "10.0.0.3"
                held[holder] = found
        elif not take and holder in held:
            pool.release(held.pop(holder), holder)


class Labels:
    """Adds a label, refuses the name ``bad``, and forbids deleting what is labelled ``keep``."""

    async def mutate(self, review: Review) -> None:
        if review.obj is not None:
            review.obj["metadata"].setdefault("labels", {})["seen"] = review.operation.lower()
            review.warnings.append(f"{review.operation} of {review.name} was seen")

    async def validate(self, review: Review) -> Sequence[FieldError]:
        if review.operation == "DELETE":
            assert review.old is not None
            if review.old["metadata"]["labels"].get("keep"):
                raise forbidden("", review.resource.plural, review.name, "it is to be kept")
        if review.name == "bad":
            return [fields.invalid("metadata.name", "bad", "is a bad name")]
        return []


async def test_admission_changes_warns_and_refuses(tmp_path: Path) -> None:
    async with serving(tmp_path) as api:
        api.core.admission.append(Labels())
        reply = await api.raw("POST", CONFIG_MAPS, config_map("a"))
        assert reply.headers["warning"] == '299 - "CREATE of a was seen"'
        found = await api.get(f"{CONFIG_MAPS}/a")
        assert found["metadata"]["labels"] == {"seen": "create"}
        error = await api.create(CONFIG_MAPS, config_map("bad"), status=422)
        assert error["message"].endswith('"bad": is a bad name')
        changed = await api.patch(f"{CONFIG_MAPS}/a", {"metadata": {"labels": {"keep": "1"}}})
        assert changed["metadata"]["labels"] == {"seen": "update", "keep": "1"}
        error = await api.delete(f"{CONFIG_MAPS}/a", status=403)
        assert "it is to be kept" in error["message"]


async def test_too_many_waiting_writes_are_refused(tmp_path: Path) -> None:
    async with serving(tmp_path, pending_writes_max=100) as api:
        found: list[int] = []
        refused = anyio.Event()
        store: Any = api.core.store
        disk = store._on_disk

        async def held(work: Any) -> Any:
            await refused.wait()  # the disk is slow until somebody was refused
            return await disk(work)

        store._on_disk = held

        async def one(index: int) -> None:
            reply = await api.raw("POST", CONFIG_MAPS, config_map(f"c{index}"))
            found.append(reply.status)
            if reply.status == 429:
                assert reply.headers["retry-after"] == "1"
                refused.set()

        async with anyio.create_task_group() as tasks:
            for index in range(400):
                tasks.start_soon(one, index)
        assert set(found) == {201, 429}
        listed = await api.get(CONFIG_MAPS)
        ours = [item for item in listed["items"] if item["metadata"]["name"].startswith("c")]
        assert len(ours) == found.count(201)


async def test_the_first_start_makes_the_namespaces_once(tmp_path: Path) -> None:
    async with serving(tmp_path) as api:
        first = await api.get("/api/v1/namespaces")
        names = [one["metadata"]["name"] for one in first["items"]]
        assert {"default", "kube-system", "cloudwright-system"} <= set(names)
    async with serving(tmp_path) as api:
        assert await api.get("/api/v1/namespaces") == first


async def test_old_and_surplus_events_are_swept(tmp_path: Path) -> None:
    clock = ManualClock()
    config = CoreConfig(event_seconds=100, event_count_max=3)
    events = "/api/v1/namespaces/default/events"
    async with serving(tmp_path, clock=clock, config=config) as api:

        async def names() -> list[str]:
            return [one["metadata"]["name"] for one in (await api.get(events))["items"]]

        about = {"kind": "Pod", "name": "p", "namespace": "default"}
        await api.create(events, {"metadata": {"name": "old"}, "involvedObject": about})
        clock.advance(101)
        for index in range(5):
            clock.advance(1)
            body = {"metadata": {"name": f"e{index}"}, "involvedObject": about}
            await api.create(events, body)
        assert await sweeping.sweep(api.core) == 3
        assert await names() == ["e2", "e3", "e4"]
        assert await sweeping.sweep(api.core) == 0
