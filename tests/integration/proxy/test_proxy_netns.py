"""The redirected path: two pods' namespaces, nftables, and the original destination."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.proxy.proxy_world import World

pytestmark = [pytest.mark.anyio, pytest.mark.root, pytest.mark.netns]

RULES = """
table inet cloudwright {
  chain output { type nat hook output priority -100;
    meta skuid 1337 accept
    udp dport 53 redirect to :15053
    tcp dport 53 redirect to :15053
    ip daddr != 127.0.0.0/8 meta l4proto tcp redirect to :15001
  }
  chain prerouting { type nat hook prerouting priority -100;
    iifname "eth0" meta l4proto tcp redirect to :15006
  }
}
"""
ANSWER = """
import http.server
class H(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        text = f"{self.path} {self.headers['x-mesh-sidecar']}".encode()
        self.send_response(200); self.send_header("content-length", str(len(text)))
        self.end_headers(); self.wfile.write(text)
    def log_message(self, *a): pass
http.server.HTTPServer(("127.0.0.1", 8080), H).serve_forever()
"""


def run(*words: str, text: str | None = None) -> str:
    done = subprocess.run(
        words, input=text, capture_output=True, text=True, timeout=20, check=False
    )
    assert done.returncode == 0, f"{words}: {done.stderr}"
    return done.stdout


@pytest.fixture
def pods() -> Iterator[list[str]]:
    """Two namespaces joined by a veth pair: 10.244.9.1 and 10.244.9.2."""
    names = [f"cwpx{os.getpid()}{side}" for side in "ab"]
    try:
        for name in names:
            run("ip", "netns", "add", name)
        run("ip", "link", "add", "eth0", "netns", names[0], "type", "veth", "peer", "name", "eth0",
            "netns", names[1])  # fmt: skip
        for number, name in enumerate(names, 1):
            run("ip", "-n", name, "addr", "add", f"10.244.9.{number}/24", "dev", "eth0")
            run("ip", "-n", name, "link", "set", "lo", "up")
            run("ip", "-n", name, "link", "set", "eth0", "up")
            run("ip", "-n", name, "route", "add", "default", "dev", "eth0")
            run("ip", "netns", "exec", name, "nft", "-f", "-", text=RULES)
        yield names
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)


async def test_a_service_address_leads_to_the_other_pods_application(
    tmp_path: Path, pods: list[str]
) -> None:
    async with World(tmp_path) as world:
        sides = [
            world.proxy("sidecar", f"pod-{n}", "default", pod=f"pod-{n}", ip=f"10.244.9.{n}")
            for n in (1, 2)
        ]
        sides[1].bootstrap["inbound_port"] = 8080  # the endpoint's port, not the listener's
        world.service("web", [sides[1]], ip="10.96.0.77")
        world.publish()
        run("chown", "-R", "1337:1337", str(tmp_path))
        for parent in [tmp_path, *list(tmp_path.parents)[:2]]:
            parent.chmod(0o755)
        for side, name in zip(sides, pods, strict=True):
            await side.start(netns=name)
        app = subprocess.Popen(["ip", "netns", "exec", pods[1], "python3", "-c", ANSWER])
        try:
            for _ in range(100):
                probe = {"type": "tcp", "port": 8080}
                if '"ok":true' in (await sides[1].admin("POST", "/probe", probe))[1]:
                    break
                await asyncio.sleep(0.05)
            curl = ("ip", "netns", "exec", pods[0], "curl", "-sS", "-m", "5")
            assert run(*curl, "http://10.96.0.77/vip") == "/vip pod-1"
            assert run(*curl, "http://10.244.9.2:8080/pod") == "/pod pod-1"
            refused = subprocess.run([*curl, "http://10.244.9.2:9999/"], check=False, timeout=20)
            assert refused.returncode != 0
            direct = ("setpriv", "--reuid=1337", "--regid=1337", "--clear-groups", "curl", "-sS")
            plain = ("ip", "netns", "exec", pods[0], *direct, "http://10.244.9.2:8080/")
            assert subprocess.run(plain, check=False, timeout=20).returncode != 0
        finally:
            app.kill()
            app.wait()
