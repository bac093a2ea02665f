"""Server-side apply of children on our API (on kube-apiserver: test_operator_on_kubernetes)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.integration.applying import others_keep_their_fields
from tests.integration.operator_world import FAST, world

pytestmark = pytest.mark.anyio


async def test_others_keep_their_fields(tmp_path: Path) -> None:
    config = replace(FAST, server_side_apply=True)
    names = ("deployment", "replicaset", "microservice", "gc")
    async with world(tmp_path, controllers=names, config=config) as w:
        await others_keep_their_fields(w)
