"""A FlowSchema says whether its priority level exists."""

from __future__ import annotations

from pathlib import Path

import anyio
import pytest

from cloudwright.apiserver.flow import dangling
from tests.unit.apiserver_core import kit

pytestmark = pytest.mark.anyio
SCHEMAS = "/apis/flowcontrol.apiserver.k8s.io/v1/flowschemas"
LEVELS = "/apis/flowcontrol.apiserver.k8s.io/v1/prioritylevelconfigurations"


async def condition(api: kit.Api, name: str) -> tuple[str, str]:
    found = (await api.get(f"{SCHEMAS}/{name}")).get("status") or {}
    (one,) = found.get("conditions") or [{"status": "", "reason": ""}]
    return one["status"], one["reason"]


async def test_conditions_follow_the_levels(tmp_path: Path) -> None:
    async with kit.serving(tmp_path) as api, anyio.create_task_group() as tasks:
        tasks.start_soon(dangling.run, api.core)
        spec = {"priorityLevelConfiguration": {"name": "mine"}, "matchingPrecedence": 9}
        await api.create(SCHEMAS, {"metadata": {"name": "mine"}, "spec": spec})

        async def becomes(wanted: tuple[str, str], name: str) -> None:
            with anyio.fail_after(30):
                while await condition(api, name) != wanted:
                    await anyio.sleep(0.005)

        await becomes(("True", "NotFound"), "mine")
        await becomes(("False", "Found"), "global-default")
        level = {"type": "Limited", "limited": {"limitResponse": {"type": "Reject"}}}
        await api.create(LEVELS, {"metadata": {"name": "mine"}, "spec": level})
        await becomes(("False", "Found"), "mine")
        await api.delete(f"{LEVELS}/mine")
        await becomes(("True", "NotFound"), "mine")
        told = (await api.get(f"{SCHEMAS}/mine"))["status"]["conditions"][0]["message"]
        assert told.endswith('named "mine" but there is no such object')
        tasks.cancel_scope.cancel()


async def test_what_is_true_is_not_written_again(tmp_path: Path) -> None:
    async with kit.serving(tmp_path) as api:
        await dangling.tell(api.core)
        before = await api.core.store.newest()
        await dangling.tell(api.core)
        assert await api.core.store.newest() == before
