"""Skips what a machine cannot do, with the reason; the rest is in each room's own conftest."""

from __future__ import annotations

import os
import shutil

import pytest
from hypothesis import settings

# A loaded machine is slow, which is no failure; examples are limited by their number.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    is_root = os.geteuid() == 0
    has_ip = shutil.which("ip") is not None
    for item in items:
        if not is_root and (item.get_closest_marker("root") or item.get_closest_marker("netns")):
            item.add_marker(pytest.mark.skip(reason="needs root"))
        elif item.get_closest_marker("netns") and not has_ip:
            item.add_marker(pytest.mark.skip(reason="needs the ip command (package iproute2)"))
