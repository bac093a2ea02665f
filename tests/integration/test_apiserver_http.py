"""The native HTTP server in front of the real core: limits, identities, reads from memory."""

import gzip
import json
import ssl
import subprocess
from datetime import UTC, datetime, timedelta

import anyio
import pytest
from anyio import to_thread

from cloudwright.apiserver import tls

from .http_world import MAPS, TIMEOUT, world

pytestmark = pytest.mark.anyio
DIRECT = "cloudwright_apiserver_memory_reads_total"
BINDINGS = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings"


@pytest.fixture
async def here(tmp_path):
    async with world(tmp_path) as made:
        yield made


def bearer(token):
    return {"authorization": f"Bearer {token}"}


async def test_certificates_name_users(here, tmp_path):
    anonymous = here.context(None)
    assert (await here.ask("GET", "/api/v1/pods", context=anonymous)).status == 401
    assert (await here.ask("GET", "/readyz", context=anonymous)).status == 200
    nobody = here.context(here.pki.client("joe", "joe", ["nobodies"]))
    refused = await here.ask("GET", "/api/v1/pods", context=nobody)
    assert refused.status == 403
    assert 'User "joe" cannot list resource "pods"' in refused.json["message"]
    foreign = tls.Pki(tmp_path / "foreign").client("eve", "admin", ["system:masters"])
    answer = await here.ask("GET", "/api/v1/pods", context=here.context(foreign))
    assert (answer.status, answer.json["reason"]) == (401, "Unauthorized")


async def test_an_expired_certificate_is_no_identity(here, monkeypatch):
    past = datetime.now(UTC) - timedelta(days=3650)
    old = tls.Pki(here.pki.ca.certificate_file.parent)
    monkeypatch.setattr(old, "_now", lambda: past)
    expired = here.context(old.client("old", "old", ["system:masters"]))
    answer = await here.ask("GET", "/api/v1/pods", context=expired)
    assert answer.status == 401


async def test_old_tls_is_refused(here):
    context = here.context(None)
    context.minimum_version = ssl.TLSVersion.TLSv1
    context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.raises((ssl.SSLError, OSError)):
        await here.ask("GET", "/readyz", context=context)


def curl(here, *words):
    pair = here.pki.client("admin", "admin", ["system:masters"])
    done = subprocess.run(
        ["curl", "-sS", "--max-time", "60", "--cacert", str(here.pki.ca.certificate_file),
         "--cert", str(pair.certificate_file), "--key", str(pair.key_file),
         "-w", "\n%{http_version} %{http_code}", *words],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    body, _, last = done.stdout.rpartition("\n")
    return body, *last.split()


async def test_http2_is_spoken(here):
    url = f"{here.serving.url}{MAPS}"
    body, version, code = await to_thread.run_sync(curl, here, "--http2", url)
    assert (version, code) == ("2", "200")
    assert json.loads(body)["kind"] == "ConfigMapList"
    _, version, code = await to_thread.run_sync(curl, here, "--http1.1", url)
    assert (version, code) == ("1.1", "200")


@pytest.mark.parametrize("words", [(), ("--http1.1", "-H", "Transfer-Encoding: chunked")])
async def test_large_bodies_are_refused_in_words(here, tmp_path, words):
    file = tmp_path / "large.json"
    text = {"metadata": {"name": "x"}, "data": {"k": "v" * (10 << 20)}}
    file.write_text(json.dumps(text))
    body, _, code = await to_thread.run_sync(
        curl, here, *words, "-H", "Content-Type: application/json",
        "--data-binary", f"@{file}", f"{here.serving.url}{MAPS}",
    )  # fmt: skip
    answer = json.loads(body)
    assert (code, answer["reason"]) == ("413", "RequestEntityTooLarge")
    assert answer["message"] == "Request entity too large: limit is 3145728"
    assert (await here.ask("GET", "/readyz")).status == 200


async def test_too_much_in_the_head_is_refused(here):
    def ask(size):
        with here.raw() as secure:
            try:
                head = b"GET /livez HTTP/1.1\r\nhost: x\r\nx-long: %b\r\n\r\n"
                secure.sendall(head % (b"x" * size))
                return secure.recv(12)
            except OSError:
                return b"cut off"  # the answer may be lost: more was sent than was read

    assert await to_thread.run_sync(ask, 30 << 10) == b"HTTP/1.1 200"
    assert await to_thread.run_sync(ask, 200 << 10) in (b"HTTP/1.1 431", b"cut off", b"")


async def test_a_client_that_does_not_finish_its_head_is_sent_away(tmp_path):
    async with world(tmp_path, face={"keep_alive_seconds": 0.5}) as here:

        def slow():
            with here.raw() as secure:
                secure.sendall(b"GET /readyz HTTP/1.1\r\nhost: x")
                return secure.recv(1)

        assert await to_thread.run_sync(slow) == b""


async def test_reads_from_memory_see_every_acknowledged_write(here):
    await here.create("one", k="0")
    path = f"{MAPS}/one"
    assert (await here.ask("GET", path)).json["data"] == {"k": "0"}
    before = await here.metric(DIRECT)
    for number in range(1, 20):
        changed = await here.change("one", k=str(number))
        seen = (await here.ask("GET", path)).json
        assert seen == changed
    assert await here.metric(DIRECT) >= before + 19
    listed = (await here.ask("GET", MAPS)).json
    del changed["kind"], changed["apiVersion"]  # the list says it for all
    assert changed in listed["items"]
    again = (await here.ask("GET", MAPS)).json
    assert again == listed
    assert int(again["metadata"]["resourceVersion"]) >= int(changed["metadata"]["resourceVersion"])
    assert (await here.ask("DELETE", path)).status == 200
    gone = await here.ask("GET", path)
    assert (gone.status, gone.json["reason"]) == (404, "NotFound")
    assert changed not in (await here.ask("GET", MAPS)).json["items"]


async def test_writers_and_readers_at_once_see_one_history(here):
    """Every reader sees versions that only grow, and never an older one than was acknowledged."""
    await here.create("race", k="0")
    path = f"{MAPS}/race"
    acknowledged = 0
    done = anyio.Event()

    async def write():
        nonlocal acknowledged
        for number in range(40):
            changed = await here.change("race", k=str(number))
            acknowledged = int(changed["metadata"]["resourceVersion"])
        done.set()

    async def read():
        last = 0
        while not done.is_set():
            least = acknowledged
            if last % 2:
                answer = (await here.ask("GET", path)).json
            else:
                listed = (await here.ask("GET", MAPS)).json
                (answer,) = [i for i in listed["items"] if i["metadata"]["name"] == "race"]
                assert int(listed["metadata"]["resourceVersion"]) >= least
            version = int(answer["metadata"]["resourceVersion"])
            assert version >= max(last, least)
            last = version

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(write)
        for _ in range(3):
            tasks.start_soon(read)


async def test_rights_taken_away_end_reads_from_memory_at_once(here):
    await here.create("secretive")
    token = here.tokens.issue("ann", ())
    binding = {
        "metadata": {"name": "ann-views"},
        "roleRef": {
            "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view",
        },
        "subjects": [
            {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "ann"}
        ],
    }  # fmt: skip
    plain = here.context(None)

    async def read():
        answer = await here.ask("GET", f"{MAPS}/secretive", context=plain, **bearer(token))
        return answer.status

    for _ in range(5):
        assert await read() == 403
        assert (await here.ask("POST", BINDINGS, binding)).status == 201
        before = await here.metric(DIRECT)
        assert [await read() for _ in range(3)] == [200, 200, 200]
        assert await here.metric(DIRECT) >= before + 2
        assert (await here.ask("DELETE", f"{BINDINGS}/ann-views")).status == 200
    assert await read() == 403


async def test_a_right_to_one_name_is_no_right_to_others(here):
    await here.create("mine")
    await here.create("yours")
    role = {
        "metadata": {"name": "one"},
        "rules": [{
            "apiGroups": [""], "resources": ["configmaps"], "resourceNames": ["mine"],
            "verbs": ["get"],
        }],
    }  # fmt: skip
    roles = "/apis/rbac.authorization.k8s.io/v1/namespaces/default/roles"
    assert (await here.ask("POST", roles, role)).status == 201
    binding = {
        "metadata": {"name": "one"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "one"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "bob"}],
    }
    assert (await here.ask("POST", roles.replace("roles", "rolebindings"), binding)).status == 201
    token, plain = here.tokens.issue("bob", ()), here.context(None)
    for name, code in (("mine", 200), ("yours", 403), ("mine", 200), ("yours", 403)):
        answer = await here.ask("GET", f"{MAPS}/{name}", context=plain, **bearer(token))
        assert answer.status == code


async def test_impersonation_is_never_answered_from_memory(here):
    await here.create("a")
    for _ in range(3):
        assert (await here.ask("GET", f"{MAPS}/a")).status == 200
    answer = await here.ask("GET", f"{MAPS}/a", impersonate_user="joe")
    assert answer.status == 403


async def test_long_answers_are_compressed_for_who_takes_it(here):
    for number in range(3):
        await here.create(f"big-{number}", k="v" * 90_000)
    plain = await here.ask("GET", MAPS)
    for _ in range(2):  # from the core, then from memory
        packed = await here.ask("GET", MAPS, accept_encoding="gzip")
        assert packed.headers["content-encoding"] == "gzip"
        assert gzip.decompress(packed.body) == plain.body
    assert (
        "content-encoding" not in (await here.ask("GET", MAPS, accept_encoding="gzip;q=0")).headers
    )


async def test_a_renewed_certificate_is_shown_to_new_connections(tmp_path):
    async with world(tmp_path, face={"renew_every": timedelta(seconds=0.2)}) as here:

        def shown():
            with here.raw() as secure:
                return secure.getpeercert(binary_form=True)

        before = await to_thread.run_sync(shown)
        pki = here.pki.ca.certificate_file.parent
        for file in pki.glob("*server*"):
            file.unlink()
        with anyio.fail_after(TIMEOUT):
            while await to_thread.run_sync(shown) == before:
                await anyio.sleep(0.05)


async def test_requests_are_counted(here):
    await here.create("counted")
    labels = ('resource="configmaps"', 'verb="POST"', 'code="201"', 'scope="resource"')
    assert await here.metric("apiserver_request_total", *labels) == 1
    count = "apiserver_request_duration_seconds_count"
    assert await here.metric(count, 'resource="configmaps"', 'verb="POST"') == 1
    await here.ask("GET", "/apis/no/such/thing/as/this/one")
    total = await here.metric("apiserver_request_total", 'code="404"', 'resource=""')
    assert total == 1
    assert await here.metric("apiserver_current_inflight_requests", "readOnly") == 1


async def test_answers_tell_their_flow_schema(here):
    await here.create("x")
    for _ in range(2):  # from the core, then from memory
        answer = await here.ask("GET", f"{MAPS}/x")
        assert answer.headers["x-kubernetes-pf-flowschema-uid"]
        assert answer.headers["x-kubernetes-pf-prioritylevel-uid"]
