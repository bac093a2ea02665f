"""The face without HTTP: routing, rights, health, and failures of other rooms."""

import json

import pytest

from cloudwright._base import errors
from cloudwright._base.clock import SystemClock
from cloudwright.apiserver import bootstrap
from cloudwright.apiserver.authn import Authenticator, Peer
from cloudwright.apiserver.authz import ChainAuthorizer
from cloudwright.apiserver.config import StoreConfig
from cloudwright.apiserver.errors import ApiError
from cloudwright.apiserver.face import Door, Face, as_api_error
from cloudwright.apiserver.health import Health
from cloudwright.apiserver.replies import StreamReply
from cloudwright.apiserver.store.sqlite import open_store
from cloudwright.apiserver.streams.executions import exit_status
from cloudwright.client.transport import Request

pytestmark = pytest.mark.anyio
ADMIN = Peer("root", ("system:masters",))
VIEWER = Peer("ann", ("cloudwright:viewers",))
CONTAINERS = [{"name": name, "image": "x"} for name in "ab"]
POD = {"metadata": {"name": "p"}, "spec": {"containers": CONTAINERS}}


class Streams:
    """``PodStreams`` that remembers what it was asked."""

    def __init__(self):
        self.asked = []

    async def logs(self, namespace, pod, **options):
        self.asked.append((namespace, pod, options))
        if options["previous"]:
            raise errors.NotFoundError("no previous container")
        yield b"line\n"


@pytest.fixture
async def face(tmp_path):
    async with open_store(StoreConfig(tmp_path / "store.db"), SystemClock()) as store:
        authorizer = ChainAuthorizer(store)
        core = await bootstrap.start(store, authorizer)
        made = Face(core, Authenticator(), authorizer, streams=Streams())
        await ask(made, "POST", "/api/v1/namespaces/default/pods", POD)
        yield made


async def ask(face, method, path, body=None, peer=ADMIN, query=(), **headers):
    data = json.dumps(body).encode() if body is not None else b""
    request = Request(
        method, path, query, {k.replace("_", "-"): v for k, v in headers.items()}, data
    )
    return await face.answer(request, peer)


def status(reply):
    return reply.status, json.loads(reply.body).get("message", "")


LOG = "/api/v1/namespaces/default/pods/p/log"
EXEC = "/api/v1/namespaces/default/pods/p/exec"


async def test_logs_need_a_container_that_exists(face):
    assert status(await ask(face, "GET", LOG)) == (
        400,
        "a container name must be specified for pod \"p\", choose one of: ['a', 'b']",
    )
    code, text = status(await ask(face, "GET", LOG, query=(("container", "z"),)))
    assert (code, "is not valid for pod p" in text) == (400, True)
    answer = await ask(face, "GET", LOG.replace("/p/", "/q/"), query=(("container", "a"),))
    assert answer.status == 404


async def test_log_options_reach_the_node(face):
    query = (("container", "a"), ("tailLines", "3"), ("sinceSeconds", "5"), ("timestamps", "true"))
    answer = await ask(face, "GET", LOG, query=query)
    assert isinstance(answer, StreamReply)
    assert [chunk async for chunk in answer.body] == [b"line\n"]
    namespace, pod, options = face._streams.asked[-1]
    assert (namespace, pod, options["container"]) == ("default", "p", "a")
    assert (options["tail_lines"], options["since_seconds"]) == (3, 5.0)
    assert options["timestamps"] is True
    assert options["follow"] is False


@pytest.mark.parametrize(
    ("name", "value"),
    [("tailLines", "-1"), ("tailLines", "x"), ("sinceSeconds", "0"), ("limitBytes", "0"),
     ("sinceTime", "yesterday")],
)  # fmt: skip
async def test_wrong_log_options_are_refused(face, name, value):
    answer = await ask(face, "GET", LOG, query=(("container", "a"), (name, value)))
    code, text = status(answer)
    assert code == 400
    assert name in text


async def test_a_failure_of_the_node_is_a_status(face):
    answer = await ask(face, "GET", LOG, query=(("container", "a"), ("previous", "1")))
    assert status(answer) == (404, "no previous container")


async def test_a_bug_is_a_500_that_says_nothing(face, caplog):
    face._streams.logs = None
    answer = await ask(face, "GET", LOG, query=(("container", "a"),))
    assert status(answer) == (500, "an internal error occurred")
    assert "a request failed" in caplog.text


async def test_exec_is_a_door_for_those_who_may_create(face):
    answer = await ask(face, "GET", EXEC, query=(("container", "a"),))
    assert isinstance(answer, Door)
    assert answer.subresource == "exec"
    refused = await ask(face, "GET", EXEC, peer=VIEWER)
    assert status(refused)[0] == 403
    assert 'cannot create resource "pods/exec"' in status(refused)[1]


async def test_a_policy_may_refuse_exec(face):
    root = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies"
    rule = {
        "apiGroups": [""],
        "apiVersions": ["v1"],
        "operations": ["CONNECT"],
        "resources": ["pods/exec"],
    }
    policy = {
        "metadata": {"name": "p"},
        "spec": {
            "matchConstraints": {"resourceRules": [rule]},
            "validations": [
                {"expression": "object.command[0] != 'sh'", "message": "no shells"},
            ],
        },
    }
    binding = {
        "metadata": {"name": "b"},
        "spec": {"policyName": "p", "validationActions": ["Deny"]},
    }
    assert (await ask(face, "POST", root, body=policy)).status == 201
    bindings = root.replace("policies", "policybindings")
    assert (await ask(face, "POST", bindings, body=binding)).status == 201
    query = (("container", "a"), ("command", "sh"))
    refused = await ask(face, "GET", EXEC, query=query)
    assert status(refused)[0] == 422
    assert "no shells" in status(refused)[1]
    answer = await ask(face, "GET", EXEC, query=(("container", "a"), ("command", "ls")))
    assert isinstance(answer, Door)


async def test_bodies_in_protobuf_that_cannot_be_read_are_said(face):
    request = Request(
        "POST",
        "/api/v1/namespaces/default/pods",
        (),
        {"content-type": "application/vnd.kubernetes.protobuf"},
        b"nonsense",
    )
    code, text = status(await face.answer(request, ADMIN))
    assert (code, "protobuf" in text) == (400, True)


async def test_documents_are_304_when_known(face):
    first = await ask(face, "GET", "/openapi/v2", accept="application/json")
    again = await ask(
        face, "GET", "/openapi/v2", accept="application/json", if_none_match=first.headers["etag"]
    )
    assert (again.status, again.body) == (304, b"")


@pytest.mark.parametrize("path", ["/nothing", "/apis/nothing", "/apis/nothing/v1", "/api/v2"])
async def test_unknown_paths_are_404_for_administrators(face, path):
    assert (await ask(face, "GET", path)).status == 404


async def test_health_says_which_check_failed():
    health = Health()

    async def bad():
        return "it is broken"

    async def broken():
        raise RuntimeError("secret")

    assert (await health.answer("/livez", verbose=False)).body == b"ok"
    health.add("late", bad, ready_only=True)
    assert (await health.answer("/livez", verbose=False)).status == 200
    answer = await health.answer("/readyz", verbose=False)
    assert answer.status == 500
    assert answer.body == b"[+]ping ok\n[-]late failed: it is broken\nreadyz check failed\n"
    assert (await health.answer("/readyz", verbose=True, exclude=["late"])).status == 200
    assert (await health.answer("/readyz/late", verbose=False)).status == 500
    assert (await health.answer("/readyz/unknown", verbose=False)).status == 404
    health.add("broken", broken)
    assert b"secret" not in (await health.answer("/healthz", verbose=True)).body


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.NotFoundError("x"), 404),
        (errors.UsageError("x"), 400),
        (errors.ConflictError("x"), 409),
        (errors.TimedOutError("x"), 504),
        (errors.UnreachableError("x"), 503),
        (errors.NotAllowedError("x"), 403),
        (errors.CloudwrightError("x"), 500),
        (ApiError(418, "Teapot", "x"), 418),
    ],
)
async def test_failures_of_rooms_as_answers(error, code):
    assert as_api_error(error).http_status == code


async def test_exit_codes_as_kubernetes_tells_them():
    assert exit_status(0) == {"metadata": {}, "status": "Success"}
    failed = exit_status(7)
    assert failed["reason"] == "NonZeroExitCode"
    assert failed["details"]["causes"] == [{"reason": "ExitCode", "message": "7"}]
