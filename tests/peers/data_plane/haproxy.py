"""haproxy as a peer: one thread, connections to the upstream reused."""

from __future__ import annotations

from tests.peers.data_plane.debian import haproxy
from tests.peers.data_plane.places import STREAMS, UPSTREAM_NAME, Launch, Task

# The limits below fit a machine that allows 20,000 descriptors a process.
MAIN = """
global
  nbthread 1
  maxconn 9900
  no strict-limits
  tune.h2.max-concurrent-streams {streams}
  tune.h2.initial-window-size 262144
  stats socket {directory}/haproxy.sock mode 600
defaults
  mode http
  timeout connect 5s
  timeout client 1h
  timeout server 1h
  timeout http-keep-alive 1h
  timeout http-request 30s
  http-reuse always
frontend edge
  bind 127.0.0.1:{listen} backlog 4096 {proto}
  default_backend app
backend app
  server one 127.0.0.1:{port} {server}
"""


class Haproxy:
    """haproxy."""

    name = "haproxy"

    def launch(self, task: Task, listen: int) -> Launch:
        program, environment = haproxy()
        directory = task.directory.absolute() / "haproxy"
        directory.mkdir(parents=True, exist_ok=True)
        file = directory / "haproxy.cfg"
        file.write_text(
            MAIN.format(
                directory=directory,
                streams=STREAMS,
                listen=listen,
                port=task.port,
                proto="proto h2" if task.front == "h2" else "",
                server=" ".join(self._server(task)),
            )
        )
        return Launch([program, "-db", "-q", "-f", file], environment)

    def _server(self, task: Task) -> list[str]:
        if not task.tls:
            return ["proto h2"] if task.spoken == "h2" else []
        certificate, key = task.certificate
        both = task.directory / "haproxy.pem"
        both.write_bytes(certificate.read_bytes() + key.read_bytes())
        alpn = "h2" if task.spoken == "h2" else "http/1.1"
        return [
            f"ssl crt {both} ca-file {task.authority.file} verify required",
            f"verifyhost {UPSTREAM_NAME} sni str({UPSTREAM_NAME}) alpn {alpn}",
        ]
