"""What a start loads, and what it leaves to whoever asks first."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from cloudwright.apiserver.admission.chain import Chain
from cloudwright.apiserver.admission.deferred import Deferred
from tests.unit.apiserver_core.kit import config_map, serving

pytestmark = pytest.mark.anyio

NOT_NEEDED = (
    *("aiohttp", "cronsim", "google", "grpc", "h11", "http.client", "jwt", "prometheus_client"),
    *("urllib.request", "wsproto", "yaml"),
)
LATER = (
    *("admission.chain", "admission.connects", "audit.auditor", "authn.issuers", "authn.requests"),
    *("authz.escalation", "cel", "crdchecks", "crds", "definitions", "discovery", "fieldchecks"),
    *("openapi_v2", "openapi_v3", "seeds.wishes", "services", "signing", "streams.doors"),
    *("streams.podlogs", "structures", "verbs.create", "verbs.patch", "webhooks.caller", "writes"),
)
STARTED = """
import gc, json, os, sys
from cloudwright._base import startup
from cloudwright.apiserver import __main__

ready = startup.ready

def told():
    assert not gc.isenabled()
    ready()
    found = {"modules": sorted(sys.modules), "frozen": gc.get_freeze_count(), "gc": gc.isenabled()}
    print(json.dumps(found), flush=True)
    os._exit(0)

startup.ready = told
__main__.main(["--state-dir", sys.argv[1], "--port", "0"])
"""


def started(state: Path) -> dict[str, Any]:
    """What a server of its own says once it serves; then it ends as if it was killed."""
    words = [sys.executable, "-c", STARTED, str(state)]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def test_a_start_loads_neither_how_to_write_nor_what_few_use(tmp_path):
    for _ in ("with an empty store", "with what is there"):
        modules = set(started(tmp_path)["modules"])
        assert "cloudwright.apiserver.server" in modules
        assert not modules & set(NOT_NEEDED)
        assert not modules & {f"cloudwright.apiserver.{name}" for name in LATER}
    assert "cryptography" not in modules  # keys and certificates are those of the first start


def test_garbage_is_collected_once_it_serves_and_the_start_is_left_alone(tmp_path):
    found = started(tmp_path)
    assert found["gc"]
    assert found["frozen"] > 10_000


def test_the_rules_of_writes_load_no_certificates():
    script = (
        "import sys, cloudwright.apiserver.writes, cloudwright.apiserver.admission.chain\n"
        "print([name for name in ('aiohttp', 'cryptography', 'jwt') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr


def test_help_loads_no_server():
    script = (
        "import sys\nfrom cloudwright.apiserver.__main__ import parser\nparser().format_help()\n"
        "print([name for name in ('anyio', 'asyncio', 'sqlite3', 'cloudwright.apiserver.core')"
        " if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr


async def test_the_rules_come_with_the_first_write_and_hold_for_it(tmp_path):
    async with serving(tmp_path) as api:
        assert isinstance(api.core.admission[-1], Deferred)
        pod = {"metadata": {"name": "a"}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
        pod["spec"]["priorityClassName"] = "nobody-made-it"
        refused = await api.create("/api/v1/namespaces/default/pods", pod, status=403)
        assert "no PriorityClass" in refused["message"]
        assert isinstance(api.core.admission[-1], Chain)
        await api.create("/api/v1/namespaces/default/configmaps", config_map("a"))
        assert [type(rule) for rule in api.core.admission].count(Chain) == 1
