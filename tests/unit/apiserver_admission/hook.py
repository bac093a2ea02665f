"""A webhook over HTTPS on a loopback port, with a certificate authority of its own."""

from __future__ import annotations

import base64
import datetime
import json
import ssl
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import h11
from anyio.abc import SocketAttribute
from anyio.streams.tls import TLSListener, TLSStream
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

Answer = Callable[[dict[str, Any]], dict[str, Any]]


class Hook:
    """Remembers requests; ``answer`` makes the response of one."""

    def __init__(self, port: int, ca: bytes) -> None:
        self.port = port
        self.ca = base64.b64encode(ca).decode()
        self.requests: list[dict[str, Any]] = []
        self.paths: list[str] = []
        self.connections = 0
        self.answer: Answer = lambda request: {"allowed": True}
        self.broken = False
        self.hang = False

    def client(self, path: str = "/") -> dict[str, Any]:
        """A ``clientConfig`` that points here."""
        return {"url": f"https://localhost:{self.port}{path}", "caBundle": self.ca}


def patch(*operations: dict[str, Any]) -> dict[str, Any]:
    """A response that allows and changes."""
    text = base64.b64encode(json.dumps(operations).encode()).decode()
    return {"allowed": True, "patchType": "JSONPatch", "patch": text}


@asynccontextmanager
async def serving() -> AsyncIterator[Hook]:
    with tempfile.TemporaryDirectory() as folder:
        ca, chain = _certificates(Path(folder))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(chain)
        listener = await anyio.create_tcp_listener(local_host="127.0.0.1", local_port=0)
        port = listener.extra(SocketAttribute.local_port)
        found = Hook(port, ca)
        secure = TLSListener(listener, ssl_context=context, standard_compatible=False)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(secure.serve, lambda stream: _serve(found, stream))
            yield found
            tasks.cancel_scope.cancel()
        await secure.aclose()


async def _serve(found: Hook, stream: TLSStream) -> None:
    found.connections += 1
    connection = h11.Connection(h11.SERVER)
    async with stream:
        while True:
            body, path = b"", ""
            while True:
                event = connection.next_event()
                if event is h11.NEED_DATA:
                    try:
                        connection.receive_data(await stream.receive())
                    except (anyio.EndOfStream, anyio.BrokenResourceError):
                        return
                elif isinstance(event, h11.Request):
                    path = event.target.decode()
                elif isinstance(event, h11.Data):
                    body += bytes(event.data)
                else:
                    break
            if found.hang:
                await anyio.sleep_forever()
            data = _reply(found, path, body)
            headers = [("content-length", str(len(data)))]
            sent = connection.send(h11.Response(status_code=200, headers=headers)) or b""
            sent += connection.send(h11.Data(data=data)) or b""
            await stream.send(sent + (connection.send(h11.EndOfMessage()) or b""))
            connection.start_next_cycle()


def _reply(found: Hook, path: str, body: bytes) -> bytes:
    review = json.loads(body)
    found.requests.append(review["request"])
    found.paths.append(path)
    if found.broken:
        return b"no review"
    response = {"uid": review["request"]["uid"], **found.answer(review["request"])}
    return json.dumps({**review, "response": response}).encode()


def _certificates(folder: Path) -> tuple[bytes, Path]:
    now = datetime.datetime.now(datetime.UTC)
    ca_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))

    def build(name: str, issuer: str, public: Any, signer: Any, *, ca: bool) -> x509.Certificate:
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
            .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(minutes=5))
            .not_valid_after(now + datetime.timedelta(hours=1))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        )
        if not ca:
            names = x509.SubjectAlternativeName([x509.DNSName("localhost")])
            builder = builder.add_extension(names, critical=False)
        return builder.sign(signer, hashes.SHA256())

    authority = build("hook-ca", "hook-ca", ca_key.public_key(), ca_key, ca=True)
    leaf = build("localhost", "hook-ca", key.public_key(), ca_key, ca=False)
    pem = serialization.Encoding.PEM
    private = key.private_bytes(
        pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    chain = folder / "chain.pem"
    chain.write_bytes(private + leaf.public_bytes(pem))
    return authority.public_bytes(pem), chain
