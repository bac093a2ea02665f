"""Go's httputil.ReverseProxy as a peer (``benchmarks/programs/data_plane/reverse_proxy``)."""

from __future__ import annotations

from tests.peers.build import built
from tests.peers.data_plane.places import STREAMS, UPSTREAM_NAME, Launch, Task


class Golang:
    """The reverse proxy of Go's standard library."""

    name = "go"

    def launch(self, task: Task, listen: int) -> Launch:
        certificate, key = task.certificate
        words = [
            built("reverse_proxy"),
            *("-listen", f"127.0.0.1:{listen}", "-upstream", f"127.0.0.1:{task.port}"),
            *("-protocol", ("tls-" if task.tls else "") + task.spoken, "-streams", str(STREAMS)),
            *("-ca", task.authority.file, "-cert", certificate, "-key", key),
            *("-name", UPSTREAM_NAME),
        ]
        return Launch(words, {"GOMAXPROCS": "1"})
