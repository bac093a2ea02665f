from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.unit.apiserver_admission import hook
from tests.unit.apiserver_core import kit


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[kit.Api]:
    async with kit.serving(tmp_path) as found:
        yield found


@pytest.fixture
async def webhook() -> AsyncIterator[hook.Hook]:
    async with hook.serving() as found:
        yield found
