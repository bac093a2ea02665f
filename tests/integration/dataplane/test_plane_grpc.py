"""gRPC through the gateway, and clients that speak gRPC-Web or JSON instead."""

from __future__ import annotations

import base64
import contextlib
import re
import struct
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.api import annotations_pb2, http_pb2  # type: ignore[import-untyped]
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from .plane_world import config, endpoints, forward, free_port, plane

pytestmark = pytest.mark.anyio

_STRING = descriptor_pb2.FieldDescriptorProto.TYPE_STRING
_INT = descriptor_pb2.FieldDescriptorProto.TYPE_INT32


def _descriptors() -> descriptor_pb2.FileDescriptorSet:
    """`test.Echo/Say`, which is also `GET /v1/echo/{name}`."""
    file = descriptor_pb2.FileDescriptorProto(name="echo.proto", package="test", syntax="proto3")
    file.dependency.append("google/api/annotations.proto")
    for name, fields in (
        ("Ask", [("name", _STRING), ("times", _INT)]),
        ("Told", [("text", _STRING)]),
    ):
        message = file.message_type.add(name=name)
        for number, (field, kind) in enumerate(fields, 1):
            message.field.add(name=field, number=number, type=kind, label=1, json_name=field)
    method = file.service.add(name="Echo").method.add(
        name="Say", input_type=".test.Ask", output_type=".test.Told"
    )
    method.options.Extensions[annotations_pb2.http].CopyFrom(
        http_pb2.HttpRule(get="/v1/echo/{name}")
    )
    whole = descriptor_pb2.FileDescriptorSet()
    for known in (descriptor_pb2.DESCRIPTOR, http_pb2.DESCRIPTOR, annotations_pb2.DESCRIPTOR):
        known.CopyToProto(whole.file.add())
    whole.file.append(file)
    return whole


def _messages() -> tuple[Any, Any]:
    pool = descriptor_pool.DescriptorPool()
    for file in _descriptors().file:
        pool.Add(file)
    found = (pool.FindMessageTypeByName(f"test.{name}") for name in ("Ask", "Told"))
    ask, told = (message_factory.GetMessageClass(one) for one in found)
    return ask, told


@contextlib.asynccontextmanager
async def _server() -> AsyncIterator[int]:
    ask, told = _messages()

    async def say(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
        if request.name == "nobody":
            await context.abort(grpc.StatusCode.NOT_FOUND, "nobody is here")
        return told(text=request.name * max(request.times, 1))

    handler = grpc.unary_unary_rpc_method_handler(
        say, request_deserializer=ask.FromString, response_serializer=told.SerializeToString
    )
    server = grpc.aio.server()
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler("test.Echo", {"Say": handler}),)
    )
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield port
    finally:
        await server.stop(None)


def _decoded(text: str) -> bytes:
    """Base64 of which each part may have its own padding, as gRPC-Web allows."""
    return b"".join(base64.b64decode(part) for part in re.findall("[^=]+=*", text))


async def test_grpc_grpc_web_and_json(tmp_path: Path) -> None:
    ask, told = _messages()
    descriptors = tmp_path / "echo.pb"
    descriptors.write_bytes(_descriptors().SerializeToString())
    port = free_port()
    async with _server() as backend:
        made = config(port, [forward("c")], c={"endpoints": endpoints(backend)})
        made["listeners"][0]["grpc"] = {
            "web": True,
            "transcode": {"descriptors": str(descriptors)},
            "cors": {"allow_origins": ["https://app.example"]},
        }
        async with plane(tmp_path, made) as gateway:
            async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
                call = channel.unary_unary(
                    "/test.Echo/Say",
                    request_serializer=ask.SerializeToString,
                    response_deserializer=told.FromString,
                )
                assert (await call(ask(name="ab", times=2), timeout=30)).text == "abab"
                with pytest.raises(grpc.aio.AioRpcError) as refused:
                    await call(ask(name="nobody"), timeout=30)
                assert refused.value.code() is grpc.StatusCode.NOT_FOUND

            assert await gateway.get("/v1/echo/hey?times=2") == (200, {"text": "heyhey"})
            status, failed = await gateway.get("/v1/echo/nobody")
            assert (status, failed["message"]) == (404, "nobody is here")
            status, failed = await gateway.get("/v1/echo/x?times=many")
            assert status == 400

            message = ask(name="w").SerializeToString()
            frame = b"\0" + struct.pack(">I", len(message)) + message
            async with gateway.session.post(
                gateway.url + "/test.Echo/Say",
                data=base64.b64encode(frame),
                headers={
                    "content-type": "application/grpc-web-text",
                    "origin": "https://app.example",
                },
            ) as answer:
                assert answer.headers["access-control-allow-origin"] == "https://app.example"
                body = _decoded(await answer.text())
            (length,) = struct.unpack(">I", body[1:5])
            assert told.FromString(body[5 : 5 + length]).text == "w"
            assert body[5 + length] == 0x80
            assert b"grpc-status:0" in body[10 + length :].replace(b" ", b"")
