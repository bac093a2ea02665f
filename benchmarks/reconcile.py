"""Our reconcile framework beside controller-runtime, both on the same server of ours.

Patch to pod template: a Greeting's image is patched, until its Deployment's template has it.
Reconciles a second: a trivial reconciler meets thousands of ConfigMaps at its start. The two
controllers do the same work (``tests/standards/kubernetes/go/controller``,
``benchmarks/programs/reconciling.py``) and run by turns.

    python benchmarks/reconcile.py [--on real] [--rounds 2]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.figures import OURS, REAL, Figures, table
from tests.peers.build import Unavailable, built
from tests.peers.cluster import Cluster
from tests.peers.http import Client
from tests.peers.ours import our_server
from tests.peers.processes import cpu_seconds
from tests.peers.real import real_cluster
from tests.standards.kubernetes.greetings import CRDS, DEFINITION

NAMESPACE = "greetings"
PATH = f"/apis/d.example.com/v1/namespaces/{NAMESPACE}/greetings"
DEPLOYMENTS = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments"
PROGRAM = Path(__file__).parent / "programs" / "reconciling.py"
MERGE = {"Content-Type": "application/merge-patch+json"}


def words(side: str, cluster: Cluster, trivial: bool, namespace: str) -> list[str]:
    """The command line of one controller."""
    config = str(cluster.kubeconfig())
    if side == REAL:
        made = [str(built("controller")), "-config", config, "-namespace", namespace]
        return [*made, "-trivial"] if trivial else made
    role = "trivial" if trivial else "greetings"
    made = [sys.executable, str(PROGRAM), role, "--kubeconfig", config, "-n", namespace]
    return [*made, "--leader-elect", "--leader-elect-namespace", namespace]


@contextmanager
def running(command: Sequence[str]) -> Iterator[subprocess.Popen[str]]:
    """A controller, ended at the end."""
    with (
        tempfile.TemporaryFile("w+") as log,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True) as process,
    ):
        try:
            yield process
        except BaseException:
            log.seek(0)
            sys.stderr.write(log.read()[-2000:])
            raise
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()


def patches(client: Client, name: str, count: int) -> list[float]:
    """Milliseconds from a patch to the changed pod template, ``count`` times."""
    times = []
    version = client.send("GET", DEPLOYMENTS).json["metadata"]["resourceVersion"]
    with client.watch(f"{DEPLOYMENTS}?watch=1&resourceVersion={version}") as watch:
        for number in range(count):
            image = f"web:{time.time_ns()}-{number}"
            begun = time.perf_counter()
            client.send("PATCH", f"{PATH}/{name}", {"spec": {"image": image}}, MERGE)
            watch.until(lambda event, image=image: image_of(event["object"]) == image)
            times.append((time.perf_counter() - begun) * 1000)
    return sorted(times)


def wait(client: Client, path: str, status: int, process: subprocess.Popen[str] | None) -> None:
    """Ask until the status is that."""
    deadline = time.monotonic() + 60
    while (found := client.send("GET", path).status) != status:
        if time.monotonic() > deadline or (process and process.poll() is not None):
            raise RuntimeError(f"{path}: {found}, not {status}")
        time.sleep(0.05)


def image_of(deployment: dict[str, object]) -> object:
    """The image in a Deployment's template."""
    return deployment["spec"]["template"]["spec"]["containers"][0]["image"]  # type: ignore[index]


def reaction(cluster: Cluster, rounds: int, figures: Figures) -> None:
    """From patch to template, by turns."""
    with Client(cluster) as client:
        client.send("POST", "/api/v1/namespaces", {"metadata": {"name": NAMESPACE}})
        client.send("POST", CRDS, DEFINITION)
        wait(client, PATH, 200, None)
        for number in range(rounds):
            for side in (REAL, OURS) if number % 2 == 0 else (OURS, REAL):
                name = f"hello-{side}-{number}"
                spec = {"text": "hi", "image": "web:0", "replicas": 1}
                body = {"apiVersion": "d.example.com/v1", "kind": "Greeting"}
                client.send("POST", PATH, {**body, "metadata": {"name": name}, "spec": spec})
                with running(words(side, cluster, False, NAMESPACE)) as process:
                    wait(client, f"{DEPLOYMENTS}/{name}", 200, process)
                    patches(client, name, 10)
                    before, times = cpu_seconds(process.pid), patches(client, name, 100)
                    used = (cpu_seconds(process.pid) - before) / len(times)
                    figures.add("patch → pod template, P50 ms", side, times[len(times) // 2])
                    figures.add("patch → pod template, P90 ms", side, times[len(times) * 9 // 10])
                    figures.add("controller's CPU a patch, ms", side, used * 1000)
                    client.send("DELETE", f"{PATH}/{name}")
                    wait(client, f"{PATH}/{name}", 404, process)


def throughput(cluster: Cluster, rounds: int, objects: int, figures: Figures) -> None:
    """Reconciles a second of a trivial controller, by turns."""
    with Client(cluster) as client:
        client.send("POST", "/api/v1/namespaces", {"metadata": {"name": "many"}})
        for number in range(objects):
            body = {"metadata": {"name": f"c{number}"}, "data": {"a": "x" * 100}}
            client.send("POST", "/api/v1/namespaces/many/configmaps", body)
    for number in range(rounds):
        for side in (REAL, OURS) if number % 2 == 0 else (OURS, REAL):
            with running(words(side, cluster, True, "many")) as process:
                assert process.stdout is not None
                marks = {}
                for line in process.stdout:
                    said = json.loads(line)
                    if said["said"] == "seen":
                        marks[said["count"]] = said["at"]
                        if said["count"] >= objects:
                            break
                seconds = (marks[objects] - marks[1000]) / 1e9
                figures.add("reconciles/s, trivial", side, (objects - 1000) / seconds)


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--on", choices=("ours", "real"), default="ours", help="which server")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--objects", type=int, default=5000)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    figures = Figures()
    with tempfile.TemporaryDirectory(prefix="cwbench-") as directory:
        start = our_server if options.on == "ours" else real_cluster
        try:
            with start(Path(directory) / "server") as cluster:
                reaction(cluster, options.rounds, figures)
                throughput(cluster, options.rounds, options.objects, figures)
        except Unavailable as error:
            print(f"skipped: {error}")
            return 0
    print(f"on {options.on}; theirs = controller-runtime")
    print(table(figures))
    if options.json:
        options.json.write_text(json.dumps(figures.as_dict(), indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
