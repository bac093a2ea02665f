from __future__ import annotations

import json

import pytest

from cloudwright._base.clock import ManualClock
from cloudwright._base.errors import UnreachableError
from cloudwright.client.client import Client
from cloudwright.client.recorder import Recorder
from tests.unit.client.scripted import Scripted, config_map, status

pytestmark = pytest.mark.anyio
OBJ = config_map("a", 7, uid="u1")


async def test_repeats_are_counted_instead_of_written_again() -> None:
    transport = Scripted([{}, {}, {}])
    clock = ManualClock()
    recorder = Recorder(Client(transport), "node", host="n1", clock=clock)
    for _ in range(3):
        await recorder.warning(OBJ, "BackOff", "restarting")
        clock.advance(10)
    assert [request.method for request in transport.asked] == ["POST", "PATCH", "PATCH"]
    first = json.loads(transport.asked[0].body)
    assert first["involvedObject"]["uid"] == "u1"
    assert (first["type"], first["reason"], first["count"]) == ("Warning", "BackOff", 1)
    assert first["source"] == {"component": "node", "host": "n1"}
    last = json.loads(transport.asked[2].body)
    assert last == {"count": 3, "lastTimestamp": "2026-01-01T00:00:20Z"}


async def test_other_messages_are_other_events() -> None:
    transport = Scripted([{}, {}])
    recorder = Recorder(Client(transport), "node", clock=ManualClock())
    await recorder.normal(OBJ, "Pulled", "one")
    await recorder.normal(OBJ, "Pulled", "two")
    assert [request.method for request in transport.asked] == ["POST", "POST"]


async def test_a_swept_event_is_written_anew() -> None:
    transport = Scripted([{}, status(404, "NotFound"), {}])
    recorder = Recorder(Client(transport), "node", clock=ManualClock())
    await recorder.normal(OBJ, "Pulled", "one")
    await recorder.normal(OBJ, "Pulled", "one")
    assert [request.method for request in transport.asked] == ["POST", "PATCH", "POST"]


async def test_an_api_that_is_away_stops_nobody(caplog: pytest.LogCaptureFixture) -> None:
    recorder = Recorder(Client(Scripted([UnreachableError("away")])), "node", clock=ManualClock())
    await recorder.normal(OBJ, "Pulled", "one")
    assert "is not recorded: away" in caplog.text
