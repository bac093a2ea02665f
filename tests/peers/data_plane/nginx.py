"""nginx as a peer: one worker, keep-alive to the upstream, no access log."""

from __future__ import annotations

from pathlib import Path

from tests.peers.data_plane.debian import on_path
from tests.peers.data_plane.places import STREAMS, UPSTREAM_NAME, Launch, Task, Unsupported

# The limits below fit a machine that allows 20,000 descriptors a process.
MAIN = """
daemon off;
master_process off;
worker_processes 1;
error_log stderr error;
pid {directory}/nginx.pid;
events {{ worker_connections 19000; }}
http {{
  access_log off;
  client_body_temp_path {directory}/body;
  proxy_temp_path {directory}/proxy;
  fastcgi_temp_path {directory}/fastcgi;
  uwsgi_temp_path {directory}/uwsgi;
  scgi_temp_path {directory}/scgi;
  keepalive_requests 100000000;
  keepalive_timeout 3600s;
  http2_max_concurrent_streams {streams};
  upstream backend {{ server 127.0.0.1:{port}; keepalive 1024; keepalive_requests 100000000; }}
  server {{
    listen 127.0.0.1:{listen}{h2} backlog=4096;
    location / {{
{location}
    }}
  }}
}}
"""


class Nginx:
    """nginx; HTTP/2 upstreams only for gRPC, which it has no other way of."""

    name = "nginx"

    def launch(self, task: Task, listen: int) -> Launch:
        program = on_path("nginx", "nginx")
        directory = task.directory.absolute() / "nginx"
        directory.mkdir(parents=True, exist_ok=True)
        text = MAIN.format(
            directory=directory,
            streams=STREAMS,
            port=task.port,
            listen=listen,
            h2=" http2" if task.front == "h2" else "",
            location="\n".join(f"      {line};" for line in self._location(task)),
        )
        file = directory / "nginx.conf"
        file.write_text(text)
        return Launch([program, "-e", "stderr", "-p", directory, "-c", file])

    def _location(self, task: Task) -> list[str]:
        if task.upstream in ("h2", "tls-h2"):
            raise Unsupported("nginx speaks HTTP/2 to upstreams for gRPC only")
        secure = "s" if task.tls else ""
        if task.upstream.endswith("grpc"):
            return [f"grpc_pass grpc{secure}://backend", *tls(task, "grpc")]
        lines = [
            f"proxy_pass http{secure}://backend",
            "proxy_http_version 1.1",
            'proxy_set_header Connection ""',
        ]
        return lines + tls(task, "proxy")


def tls(task: Task, what: str) -> list[str]:
    """Mutual TLS of a location's upstream."""
    if not task.tls:
        return []
    certificate, key = task.certificate
    paths: dict[str, Path | str] = {
        "certificate": certificate,
        "certificate_key": key,
        "trusted_certificate": task.authority.file,
        "verify": "on",
        "name": UPSTREAM_NAME,
        "protocols": "TLSv1.3",
    }
    return [f"{what}_ssl_{name} {value}" for name, value in paths.items()]
