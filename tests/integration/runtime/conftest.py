from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.integration.runtime.kit import Kit, helper_binary, runtime


@pytest.fixture(scope="session")
def helper(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return helper_binary(tmp_path_factory.mktemp("runtime-helper"))


@pytest.fixture
async def kit(helper: Path, anyio_backend: str) -> AsyncIterator[Kit]:
    async with runtime(helper) as made:
        yield made
