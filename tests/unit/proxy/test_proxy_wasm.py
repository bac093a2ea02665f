"""proxy-wasm modules as filters: a module written by hand against the ABI, run by the host's own
engine."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

import pytest

from cloudwright.proxy.host.source import SourceError, load
from cloudwright.proxy.testing import Filters
from cloudwright.proxy.wasm import abi

wasmtime = pytest.importorskip("wasmtime")
WAT = (Path(__file__).parent / "add_header.wat").read_text()


def build(
    folder: Path, wat: str = WAT, settings: str = "settings: {configuration: it works}\n"
) -> Path:
    path = folder / "add_header.wasm"
    path.write_bytes(wasmtime.wat2wasm(WAT))
    (folder / "add_header.yaml").write_text(f"timeout_ms: 200\n{settings}")
    return path


@pytest.fixture
def module(tmp_path: Path) -> Path:
    return build(tmp_path)


def test_a_module_changes_headers_of_request_and_answer_and_the_body(
    module: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "cloudwright.filters.wasm")
    with Filters(module) as send:
        outcome = send("PUT", "/a?b", headers={"x-wasm": "0"}, response_body=[b"hel", b"lo 1"])
        assert outcome.failures == []
        assert outcome.request.headers.all("x-wasm") == ["0", "it works"]
        assert outcome.request.headers["x-method"] == "PUT"
        assert outcome.headers["x-path"] == "/a?b"
        assert outcome.body == b"HELLO 1"
        # The context is closed with the exchange: proxy_on_log was called, and it logged.
        assert [record.getMessage() for record in caplog.records] == ["add-header: over"]
        machine = send.entries[0].instance._machine  # type: ignore[attr-defined]
        assert machine.contexts == {}
        assert machine.functions.metrics() == {"requests": 1, "ticks": 0}
        assert send.entries[0].tick_s == 0.05
        send.entries[0].instance.on_tick()
        assert machine.functions.metrics() == {"requests": 1, "ticks": 1}


def test_a_module_answers_the_request(module: Path) -> None:
    with Filters(module) as send:
        outcome = send("GET", "/forbidden")
        assert (outcome.answered, outcome.status, outcome.body) == (True, 403, b"not today")


def test_a_filter_that_was_built_for_envoy_runs_here(tmp_path: Path) -> None:
    shutil.copy(Path(__file__).parent / "assemblyscript" / "add.wasm", tmp_path / "add.wasm")
    (tmp_path / "add.yaml").write_text(
        "timeout_ms: 1000\nsettings: {configuration: by assemblyscript}\n"
    )
    with Filters(tmp_path / "add.wasm") as send:
        outcome = send("GET", "/any")
        assert outcome.failures == []
        assert outcome.request.headers["x-wasm"] == "by assemblyscript"
        assert outcome.headers["x-served-by"] == "assemblyscript"
        outcome = send("GET", "/forbidden")
        assert (outcome.answered, outcome.status, outcome.body) == (True, 403, b"no")
        assert outcome.headers == {"content-type": "text/plain"}
        outcome = send("POST", "/forbidden", headers={"content-type": "application/grpc"})
        assert outcome.headers["grpc-status"] == "13"


@pytest.mark.parametrize(
    ("path", "reason"), [("/loop", "took longer than 200 ms"), ("/trap", "unreachable")]
)
def test_a_module_that_fails_is_left_out_and_begins_anew(
    module: Path, path: str, reason: str
) -> None:
    with Filters(module) as send:
        outcome = send("GET", path)
        assert any(reason in text for text in outcome.failures), outcome.failures
        assert (outcome.answered, "x-wasm" in outcome.request.headers) == (False, False)
        assert send("GET", "/").request.headers["x-wasm"] == "it works"


def test_what_is_no_filter_is_refused_with_its_reason(tmp_path: Path) -> None:
    (tmp_path / "no.wasm").write_bytes(b"text")
    with pytest.raises(SourceError, match="no WebAssembly module"):
        load(tmp_path / "no.wasm", 1)
    (tmp_path / "no.wasm").write_bytes(wasmtime.wat2wasm("(module)"))
    with pytest.raises(SourceError, match="exports none of proxy_abi_version_0_2_1"):
        load(tmp_path / "no.wasm", 1)
    path = build(tmp_path, settings="")
    with pytest.raises(SourceError, match="proxy_on_configure returned false"):
        load(path, 1)


def test_maps_are_serialised_as_the_specification_says() -> None:
    pairs = [(b"a", b"1"), (b"b", b"22")]
    data = b"\2\0\0\0" + b"\1\0\0\0\1\0\0\0" + b"\1\0\0\0\2\0\0\0" + b"a\0001\0b\00022\0"
    assert abi.pack_pairs(pairs) == data
    assert abi.unpack_pairs(data) == pairs
    assert abi.unpack_pairs(b"") == abi.unpack_pairs(b"\0") == []
    for length in range(4, len(data)):
        with pytest.raises(ValueError, match="cut off"):
            abi.unpack_pairs(data[:length])
