"""The main job: one YAML becomes running services, and stays up through everything that happens
to it.

One platform for the module, in a network namespace of its own; 200 requests/s go through the
gateway during
a rolling update, a rollback, kill -9 of the daemon, certificate rotation and the deletion of a pod.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.machine import SHOP, Load, Machine, build_shop, machine

pytestmark = [pytest.mark.root, pytest.mark.netns, pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    state = Path(f"/tmp/cwt-shop-{os.getpid()}")
    with machine(f"cwt-shop-{os.getpid()}", state) as made:
        build_shop(made, "1.11.0", "1.12.0", "1.13.0")
        made.run("up")
        made.run("apply", "-f", str(SHOP / "shop.yaml"), "--wait", "--timeout", "120s")
        yield made


def living(shop: Machine) -> dict[str, Any]:
    """Pods by name, without those that are being ended."""
    pods = shop.get("pods")["items"]
    return {
        pod["metadata"]["name"]: pod for pod in pods if not pod["metadata"].get("deletionTimestamp")
    }


def version(shop: Machine, wanted: str) -> None:
    """Bring payment to a version and wait until it is there."""
    patch = json.dumps({"spec": {"version": wanted}})
    shop.run("patch", "ms", "payment", "-p", patch)
    shop.run(
        "wait", "ms/payment", "--for", f"jsonpath={{.status.version}}={wanted}", "--timeout", "90s"
    )
    shop.run("wait", "ms/payment", "--for", "condition=Ready", "--timeout", "90s")


def test_the_shop_answers_through_the_gateway(shop: Machine) -> None:
    receipt = shop.fetch("/web/checkout?sku=tea&cents=1000")["receipt"]
    assert receipt["total_cents"] == 1020
    assert receipt["version"] == "1.12.0"
    assert receipt["pod"].startswith("payment-")
    assert "HTTP/1.1 404" in shop.curl("/nothing/here", "-i").stdout


def test_the_mesh_says_who_sent_a_request(shop: Machine) -> None:
    front = shop.fetch("/web/")
    headers = {k.lower(): v for k, v in front["payment"]["headers"].items()}
    assert headers["x-mesh-ns"] == "default"
    assert headers["x-mesh-sidecar"].startswith("web-")
    assert len(headers["x-request-id"]) >= 16
    forged = shop.curl("/payment/version", "-H", "x-mesh-sidecar: evil").stdout
    assert "evil" not in forged


def test_every_replica_is_ready_and_apart(shop: Machine) -> None:
    pods = shop.get("pods", "-l", "platform.example.com/microservice=payment")["items"]
    assert len(pods) == 3
    assert len({pod["status"]["podIP"] for pod in pods}) == 3
    for pod in pods:
        assert {c["type"]: c["status"] for c in pod["status"]["conditions"]}["Ready"] == "True"


ASK = """
import os, ssl, urllib.error, urllib.request
held = "/var/run/secrets/kubernetes.io/serviceaccount/"
port = os.environ["KUBERNETES_SERVICE_PORT"]
def ask(host, path):
    request = urllib.request.Request(f"https://{host}:{port}{path}")
    request.add_header("Authorization", "Bearer " + open(held + "token").read())
    context = ssl.create_default_context(cafile=held + "ca.crt")
    try:
        return urllib.request.urlopen(request, context=context, timeout=20).status
    except urllib.error.HTTPError as error:
        return error.code
host = os.environ["KUBERNETES_SERVICE_HOST"]
mine = "/api/v1/namespaces/" + open(held + "namespace").read()
name = "kubernetes.default.svc"
print(ask(host, mine + "/pods"), ask(name, "/apis"), ask(host, mine + "/secrets"))
"""


def test_a_pod_asks_the_api_as_its_own_service_account(shop: Machine, tmp_path: Path) -> None:
    pod = next(name for name in living(shop) if name.startswith("payment-"))
    words = ("exec", pod, "--", "/usr/bin/python3", "-c", ASK)
    assert shop.run(*words).stdout.split() == ["403", "200", "403"]
    account = {"kind": "ServiceAccount", "name": "default", "namespace": "default"}
    group = "rbac.authorization.k8s.io"
    binding = {
        "apiVersion": f"{group}/v1",
        "kind": "RoleBinding",
        "metadata": {"name": "pods-view", "namespace": "default"},
        "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": "view"},
        "subjects": [account],
    }
    file = tmp_path / "binding.json"
    file.write_text(json.dumps(binding))
    shop.run("apply", "-f", str(file))
    assert shop.run(*words).stdout.split() == ["200", "200", "403"]
    before = shop.run("token", "create", "default").stdout
    shop.run("token", "rotate-key")
    after = shop.run("token", "create", "default", "--duration", "10m").stdout
    assert before.split(".")[0] != after.split(".")[0], "another key signs"
    assert shop.run(*words).stdout.split() == ["200", "200", "403"]


def test_a_rolling_update_and_a_rollback_lose_no_request(shop: Machine) -> None:
    load = Load(shop, "/payment/version")
    version(shop, "1.11.0")
    version(shop, "1.12.0")
    tally = load.finish()
    assert tally["failed"] == 0, tally
    assert set(tally["versions"]) == {"1.11.0", "1.12.0"}
    assert tally["sent"] >= 600, tally


def test_killing_the_daemon_disturbs_nothing(shop: Machine) -> None:
    before = living(shop)
    load = Load(shop, "/payment/version")
    os.kill(shop.daemon, signal.SIGKILL)
    shop.run("up")
    shop.run("wait", "ms/payment", "--for", "condition=Ready", "--timeout", "60s")
    tally = load.finish()
    assert tally["failed"] == 0, tally
    after = living(shop)
    assert set(after) == set(before)
    for name, pod in after.items():
        statuses = pod["status"]["containerStatuses"]
        assert [s["restartCount"] for s in statuses] == [0] * len(statuses), name
        assert [s["containerID"] for s in statuses] == [
            s["containerID"] for s in before[name]["status"]["containerStatuses"]
        ]


def test_rotating_every_certificate_loses_no_request(shop: Machine) -> None:
    serials = json.loads(shop.run("mesh", "certificates", "-o", "json").stdout)
    load = Load(shop, "/web/checkout?sku=tea", rate=100)
    for _ in range(3):
        shop.run("mesh", "rotate")
    tally = load.finish()
    assert tally["failed"] == 0, tally
    rotated = json.loads(shop.run("mesh", "certificates", "-o", "json").stdout)
    assert {c["id"] for c in rotated} == {c["id"] for c in serials}
    assert not {c["serial"] for c in rotated} & {c["serial"] for c in serials}


def test_deleting_a_pod_loses_no_request(shop: Machine) -> None:
    load = Load(shop, "/payment/version")
    victim = shop.get("pods", "-l", "platform.example.com/microservice=payment")["items"][0]
    shop.run("delete", "pod", victim["metadata"]["name"], "--yes")
    shop.run("rollout", "status", "deployment/payment", "--timeout", "60s")
    tally = load.finish()
    assert tally["failed"] == 0, tally
    names = {p["metadata"]["name"] for p in shop.get("pods")["items"]}
    assert victim["metadata"]["name"] not in names


def test_a_bad_version_takes_no_traffic_and_is_rolled_back(shop: Machine) -> None:
    load = Load(shop, "/payment/version", rate=100)
    shop.run("patch", "ms", "payment", "-p", json.dumps({"spec": {"version": "1.13.0"}}))
    shop.run(
        "wait", "ms/payment", "--for", "jsonpath={.status.phase}=RolledBack", "--timeout", "120s"
    )
    tally = load.finish()
    assert tally["failed"] == 0, tally
    assert set(tally["versions"]) == {"1.12.0"}
    payment = shop.get("ms", "payment")
    assert payment["spec"]["version"] == "1.13.0"
    assert payment["status"]["lastGoodVersion"] == "1.12.0"
    assert "ledger" in json.dumps(payment["status"]) or "503" in json.dumps(payment["status"])
    why = shop.run("why", "ms/payment").stdout
    assert "1.13.0" in why
    version(shop, "1.12.0")


def test_a_configuration_change_reaches_the_processes_without_a_restart(shop: Machine) -> None:
    before = set(living(shop))
    text = json.dumps({"currency": "CHF", "fee_percent": 10})
    shop.run(
        "patch", "ms", "payment", "-p", json.dumps({"spec": {"config": {"payment.json": text}}})
    )
    shop.run("wait", "ms/payment", "--for", "condition=Ready", "--timeout", "60s")
    shop.run("wait", "ms/payment", "--for", "condition=ConfigApplied", "--timeout", "60s")
    for _ in range(6):
        receipt = shop.fetch("/payment/pay?sku=tea&cents=1000")
        assert (receipt["currency"], receipt["total_cents"]) == ("CHF", 1100)
    assert set(living(shop)) == before
    events = shop.fetch("/config-sync/events")["events"]
    assert [e for e in events if e["event"] == "ConfigChanged" and e["name"] == "payment"]


def test_hooks_ran(shop: Machine) -> None:
    events = shop.fetch("/config-sync/events")["events"]
    rollouts = [e for e in events if e["event"] == "PostRollout" and e["name"] == "payment"]
    assert rollouts
    listed = shop.get("events")["items"]
    assert [e for e in listed if "PreStop" in e["reason"]], {e["reason"] for e in listed}


def test_logs_and_exec(shop: Machine) -> None:
    pod = shop.get("pods", "-l", "platform.example.com/microservice=payment")["items"][0]
    name = pod["metadata"]["name"]
    assert "payment 1.12.0 is up" in shop.run("logs", name).stdout
    answer = shop.run(
        "exec", name, "--", "python3", "-c", "import os;print(os.getuid(),os.getpid())"
    )
    assert answer.stdout.split()[0] == "65532"
    told = shop.run("exec", name, "--", "python3", "-c", "import os;print(os.environ['HOSTNAME'])")
    assert told.stdout.strip() == name
    failed = shop.run("exec", name, "--", "python3", "-c", "raise SystemExit(7)", check=False)
    assert failed.returncode == 7


def test_kubectl_works(shop: Machine) -> None:
    if shutil.which("kubectl") is None:
        pytest.skip("kubectl is not installed")
    out = shop.call("kubectl", "get", "ms,pods,deploy,svc", "-o", "wide").stdout
    assert "payment" in out
    assert "Normal" in shop.call("kubectl", "describe", "ms", "payment").stdout
    shop.call("kubectl", "rollout", "status", "deployment/payment", "--timeout=30s")
    shop.call("kubectl", "wait", "ms/payment", "--for=condition=Ready", "--timeout=30s")
    pod = shop.call("kubectl", "get", "pods", "-o", "name").stdout.split()[0]
    told = shop.call("kubectl", "exec", pod, "--", "python3", "--version").stdout
    assert told.startswith("Python 3")
    shop.call("kubectl", "logs", pod, "--tail=3")
    for kind in ("strategic", "merge"):
        patch = '{"spec":{"replicas":2}}'
        shop.call("kubectl", "patch", "ms", "web", "--type", kind, "-p", patch)


def test_a_pod_cannot_see_other_pods_or_the_host(shop: Machine) -> None:
    pods = shop.get("pods")["items"]
    payment = next(p for p in pods if p["metadata"]["name"].startswith("payment-"))
    program = (
        "import os,socket,json\n"
        "r={}\n"
        "r['root']=sorted(os.listdir('/'))\n"
        "r['pids']=[p for p in os.listdir('/proc') if p.isdigit()]\n"
        "def reach(h,p):\n"
        "  s=socket.socket();s.settimeout(2)\n"
        "  try:\n"
        "    s.connect((h,p));s.sendall(b'GET / HTTP/1.0\\r\\n\\r\\n')\n"
        "    return s.recv(64).decode('latin1')\n"
        "  except OSError as e: return type(e).__name__\n"
        "r['api']=reach('10.244.0.1',6443)\n"
        "try: open('/proc/sys/kernel/hostname','w'); r['sysctl']='writable'\n"
        "except OSError as e: r['sysctl']=type(e).__name__\n"
        "try: os.mknod('/tmp/d',0o60600,os.makedev(254,0)); r['mknod']='made'\n"
        "except OSError as e: r['mknod']=type(e).__name__\n"
        "print(json.dumps(r))\n"
    )
    answer = shop.run("exec", payment["metadata"]["name"], "--", "python3", "-c", program)
    seen = json.loads(answer.stdout)
    assert set(seen["root"]) <= {
        "app", "bin", "dev", "etc", "lib", "lib64", "proc", "run", "sys", "tmp", "usr", "var",
    }  # fmt: skip
    assert len(seen["pids"]) <= 4
    assert seen["sysctl"] != "writable"
    assert seen["mknod"] != "made"
    assert "200" not in seen["api"]


def test_a_caller_without_a_mesh_certificate_is_refused(shop: Machine) -> None:
    pod = next(p for p in shop.get("pods")["items"] if p["metadata"]["name"].startswith("payment-"))
    ip = pod["status"]["podIP"]
    plain = shop.curl(f"http://{ip}:8080/version")
    assert plain.stdout.strip().endswith("000"), plain.stdout
    insecure = shop.curl(f"https://{ip}:8080/version", "-k")
    assert insecure.stdout.strip().endswith("000"), insecure.stdout


def test_the_api_asks_for_credentials_and_rights(shop: Machine) -> None:
    answer = shop.curl("https://127.0.0.1:6443/api/v1/pods", "-k")
    assert answer.stdout.strip().endswith("401")
    assert json.loads(answer.stdout.rpartition("\n")[0])["kind"] == "Status"


def test_deleting_the_service_removes_everything_of_it(shop: Machine) -> None:
    shop.run("delete", "ms", "web", "--yes", "--wait")
    for kind in ("pods", "deployments", "replicasets", "services", "routes.cloudwright.dev"):
        found = shop.get(kind, "-l", "platform.example.com/microservice=web")["items"]
        assert found == [], kind
    assert "404" in shop.curl("/web/").stdout
