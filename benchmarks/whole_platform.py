"""The whole platform: start, first answer, memory at rest, command line, API, requests through
the mesh.

In a network namespace of its own, as root. The load is ``wrk`` (Debian package wrk) when it is
installed; nginx as a plain
reverse proxy to the same application (package nginx-light) is the peer in the same run.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.machine import SHOP, Machine, machine

ROWS: list[tuple[str, str]] = []


def row(name: str, value: str) -> None:
    """One line of the table."""
    ROWS.append((name, value))
    print(f"{name:<58} {value}", flush=True)


def memory(pid: int) -> str:
    """RSS, PSS and anonymous memory of a process, in MB."""
    table = {}
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]:
        key, _, rest = line.partition(":")
        table[key] = int(rest.split()[0]) / 1024
    return f"RSS {table['Rss']:.1f}  PSS {table['Pss']:.1f}  anonymous {table['Anonymous']:.1f} MB"


def median_ms(work: Callable[[], object], count: int = 15) -> str:
    """Median and minimum of ``count`` runs."""
    took = []
    for _ in range(count):
        start = time.perf_counter()
        work()
        took.append((time.perf_counter() - start) * 1000)
    return f"median {statistics.median(took):.0f}  min {min(took):.0f} ms"


def native(made: Machine, role: str) -> list[int]:
    """Pids of this machine's native processes in a role."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes().decode().split("\0")
            except OSError:
                continue
            ours = any(word.startswith(f"{made.state}/") for word in words)
            if ours and words[0].endswith("cloudwright-native") and words[1:2] == [role]:
                found.append(int(entry.name))
    return found


def service(name: str, replicas: int) -> dict[str, object]:
    """A MicroService that runs the inventory image."""
    spec = {"version": "1.0.0", "image": "inventory", "replicas": replicas}
    return {
        "apiVersion": "platform.example.com/v1",
        "kind": "MicroService",
        "metadata": {"name": name},
        "spec": {**spec, "readinessProbePath": "/health/ready"},
    }


def start_and_first_answer(made: Machine) -> None:
    """How long until the API serves, and until a request is answered."""
    begun = time.perf_counter()
    made.run("up")
    row("up → ready (fresh state)", f"{time.perf_counter() - begun:.2f} s")
    made.run("down", "--daemon-only")
    begun = time.perf_counter()
    made.run("up")
    row("up → ready (containers and gateway run on)", f"{time.perf_counter() - begun:.2f} s")
    pid = made.daemon
    row("daemon at rest, no pods", memory(pid))
    begun = time.perf_counter()
    made.apply(service("inventory", 3))
    while not made.curl("/inventory/items").stdout.endswith("200"):
        if time.perf_counter() - begun > 60:
            raise SystemExit("no answer through the gateway in 60 s")
    row("apply → first 200 (cached image, 3 replicas)", f"{time.perf_counter() - begun:.2f} s")
    made.run("wait", "ms/inventory", "--for", "condition=Ready", "--timeout", "60s")


def at_rest(made: Machine) -> None:
    """Memory of every process."""
    row("daemon with 3 pods", memory(made.daemon))
    row("supervisor", memory(native(made, "supervisor")[0]))
    row("gateway", memory(native(made, "gateway")[0]))
    for pid in native(made, "sidecar")[:1]:
        row("one sidecar", memory(pid))


def command_line(made: Machine) -> None:
    """Start of the command line as a whole process."""
    python = sys.executable
    program = str(Path(python).parent / "cloudwright")
    row("python -c pass", median_ms(lambda: made.call(python, "-c", "pass")))
    row("cloudwright --help", median_ms(lambda: made.call(program, "--help")))
    row("cloudwright get pods", median_ms(lambda: made.call(program, "get", "pods")))


API = """
import sys, time
sys.path.insert(0, sys.argv[1])
from cloudwright.client import kubeconfig
from cloudwright.client.transports.blocking import BlockingClient
from cloudwright.model.resources import CONFIG_MAP
client = BlockingClient(kubeconfig.find(sys.argv[2]))
def rate(name, count, work):
    start = time.perf_counter()
    for number in range(count):
        work(number)
    print(f"{name}={count / (time.perf_counter() - start):.0f}", flush=True)
head = {"apiVersion": "v1", "kind": "ConfigMap", "data": {"k": "v" * 200}}
body = lambda n: {**head, "metadata": {"name": f"b{n}"}}
rate("create", 500, lambda n: client.create(CONFIG_MAP, body(n), "default"))
rate("get", 500, lambda n: client.get(CONFIG_MAP, f"b{n}", "default"))
start = time.perf_counter()
items = client.list(CONFIG_MAP, "default")["items"]
print(f"list={len(items)} objects in {(time.perf_counter() - start) * 1000:.0f} ms")
"""


def api(made: Machine) -> None:
    """Create, get and list over HTTPS, one client, one connection."""
    root = str(Path(__file__).parents[1])
    done = made.call(sys.executable, "-c", API, root, str(made.paths.kubeconfig))
    for line in done.stdout.splitlines():
        name, _, value = line.partition("=")
        row(f"API over HTTPS, 1 client: {name}", value if name == "list" else f"{value}/s")


def requests(made: Machine) -> None:
    """Requests per second through gateway and sidecar, beside nginx in front of the same
    application.
    """
    if shutil.which("wrk") is None:
        row("requests/s", "skipped: wrk is not installed (apt-get install wrk)")
        return

    def wrk(url: str) -> float:
        done = made.call("wrk", "-t1", "-c32", "-d5s", url)
        line = next(x for x in done.stdout.splitlines() if x.startswith("Requests/sec"))
        return float(line.split()[1])

    ours = wrk("http://127.0.0.1:8080/inventory/items")
    row("gateway → sidecar → application (3 × Python), wrk -c32", f"{ours:.0f}/s")
    if shutil.which("nginx") is None:
        row("nginx beside it", "skipped: nginx is not installed (apt-get install nginx-light)")
        return
    with tempfile.TemporaryDirectory() as folder:
        program = str(SHOP / "inventory" / "main.py")
        app = made.popen(
            sys.executable, program, env={**os.environ, "PORT": "18081"},
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        conf = Path(folder) / "nginx.conf"
        conf.write_text(
            f"daemon off; worker_processes 1; pid {folder}/pid; error_log stderr crit;"
            "events { worker_connections 1024; } http { access_log off;"
            "upstream app { server 127.0.0.1:18081; keepalive 64; }"
            "server { listen 127.0.0.1:18080; location / { proxy_pass http://app;"
            'proxy_http_version 1.1; proxy_set_header Connection ""; } } }'
        )
        nginx = made.popen("nginx", "-c", str(conf), "-p", folder)
        try:
            made.call("curl", "-sf", "--retry", "20", "--retry-connrefused", "--retry-delay", "1",
                      "http://127.0.0.1:18080/items")  # fmt: skip
            theirs = wrk("http://127.0.0.1:18080/items")
        finally:
            for process in (nginx, app):
                process.terminate()
                process.wait(10)
    row("nginx → application (1 × Python, no TLS), wrk -c32", f"{theirs:.0f}/s")
    row("ratio ours / nginx (ours: two proxies and mTLS, 3 replicas)", f"{ours / theirs:.2f}")


def main() -> int:
    """Run all of it."""
    if os.geteuid() != 0:
        print("error: needs root", file=sys.stderr)
        return 1
    with machine(f"cwb-{os.getpid()}", Path(f"/tmp/cwb-{os.getpid()}")) as made:
        made.build(str(SHOP / "inventory"), "-t", "inventory:1.0.0")
        start_and_first_answer(made)
        at_rest(made)
        command_line(made)
        api(made)
        requests(made)
    print(json.dumps(dict(ROWS)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
