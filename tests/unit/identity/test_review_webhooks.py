"""Webhooks that know tokens and decide about rights: questions, memory, errors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import orjson
import pytest

from cloudwright._base.clock import ManualClock
from cloudwright._base.errors import UnreachableError
from cloudwright.apiserver import reviewing
from cloudwright.apiserver.authn.webhook import TokenWebhook
from cloudwright.apiserver.authz import configuration
from cloudwright.apiserver.authz.configuration import AuthorizationProblem
from cloudwright.apiserver.authz.webhook import Opinion, WebhookAuthorizer, WebhookSettings
from cloudwright.apiserver.errors import ApiError
from cloudwright.apiserver.identity import Attributes, User
from cloudwright.apiserver.reviewing import Reviewer, ReviewError
from cloudwright.client.transport import Reply, Request

pytestmark = pytest.mark.anyio
ANN = User("ann", ("dev",), "7", (("scopes", ("a",)),))
GET = Attributes("get", "", "pods", "log", "default", "web")
Say = Callable[[dict[str, Any]], Any]


class Hook:
    """A transport whose server is a function."""

    def __init__(self, say: Say) -> None:
        self.say = say
        self.seen: list[dict[str, Any]] = []

    async def request(self, request: Request, *, timeout: float | None = None) -> Reply:
        assert (request.method, request.path) == ("POST", "")
        review = orjson.loads(request.body)
        self.seen.append(review)
        found = self.say(review)
        if isinstance(found, Exception):
            raise found
        if isinstance(found, int):
            return Reply(found, {}, b"")
        return Reply(201, {}, orjson.dumps({**review, "status": found}))

    def stream(self, request: Request) -> Any:
        raise NotImplementedError

    async def aclose(self) -> None:
        pass


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reviewing, "FIRST_PAUSE", 0.0)


def asked(say: Say) -> tuple[Hook, Reviewer]:
    hook = Hook(say)
    return hook, Reviewer(Path("webhook.yaml"), transport=lambda: hook)


async def test_a_token_is_reviewed_once_and_again_when_the_answer_is_old() -> None:
    user = {"username": "ann", "uid": "7", "groups": ["dev"], "extra": {"Scopes": ["a"]}}
    hook, reviewer = asked(lambda _: {"authenticated": True, "user": user})
    clock = ManualClock()
    tokens = TokenWebhook(reviewer, clock, 120)
    for _ in range(2):
        assert await tokens.by_token("t", (), ("api",)) == (ANN, ("api",))
    assert [one["spec"] for one in hook.seen] == [{"token": "t"}]
    clock.advance(121)
    await tokens.by_token("t", (), ("api",))
    assert len(hook.seen) == 2


async def test_audiences_are_those_that_the_webhook_grants() -> None:
    status = {"authenticated": True, "user": {"username": "ann"}, "audiences": ["x", "y"]}
    hook, reviewer = asked(lambda _: status)
    tokens = TokenWebhook(reviewer, ManualClock())
    found = await tokens.by_token("t", ("y", "z"), ("api",))
    assert found is not None
    assert found[1] == ("y",)
    assert hook.seen[0]["spec"]["audiences"] == ["y", "z"]
    assert await tokens.by_token("t", ("z",), ("api",)) is None


async def test_a_token_that_nobody_knows_and_one_that_is_wrong() -> None:
    _, reviewer = asked(lambda _: {"authenticated": False})
    assert await TokenWebhook(reviewer, ManualClock()).by_token("t", (), ()) is None
    _, reviewer = asked(lambda _: {"authenticated": False, "error": "expired"})
    with pytest.raises(ApiError) as error:
        await TokenWebhook(reviewer, ManualClock()).by_token("t", (), ())
    assert error.value.http_status == 401


async def test_what_may_pass_is_tried_again() -> None:
    answers: list[Any] = [UnreachableError("no route"), 503, {"authenticated": False}]
    hook, reviewer = asked(lambda _: answers.pop(0))
    assert await reviewer.ask({"kind": "TokenReview"}) == {"authenticated": False}
    assert len(hook.seen) == 3
    hook, reviewer = asked(lambda _: 404)
    with pytest.raises(ReviewError):
        await reviewer.ask({"kind": "TokenReview"})
    assert len(hook.seen) == 1


def access(status: Any, **settings: Any) -> tuple[Hook, WebhookAuthorizer, ManualClock]:
    hook, reviewer = asked(lambda _: status)
    clock = ManualClock()
    return hook, WebhookAuthorizer(WebhookSettings(**settings), reviewer, clock), clock


async def test_the_question_is_a_subject_access_review() -> None:
    hook, webhook, _ = access({"allowed": True, "reason": "fine"})
    assert await webhook.decide(ANN, GET) == (Opinion.ALLOW, "fine")
    assert hook.seen[0]["spec"] == {
        "resourceAttributes": {
            "namespace": "default",
            "verb": "get",
            "version": "*",
            "resource": "pods",
            "subresource": "log",
            "name": "web",
        },
        "user": "ann",
        "groups": ["dev"],
        "extra": {"scopes": ["a"]},
        "uid": "7",
    }
    await webhook.decide(ANN, Attributes("get", path="/metrics"))
    wanted = {"path": "/metrics", "verb": "get"}
    assert hook.seen[1]["spec"]["nonResourceAttributes"] == wanted


@pytest.mark.parametrize(
    ("status", "opinion"),
    [
        ({"allowed": True}, Opinion.ALLOW),
        ({"allowed": False}, Opinion.NONE),
        ({"allowed": False, "denied": True}, Opinion.DENY),
        ({"allowed": True, "denied": True}, Opinion.DENY),
    ],
)
async def test_opinions(status: Mapping[str, Any], opinion: Opinion) -> None:
    _, webhook, _ = access(status)
    assert (await webhook.decide(ANN, GET))[0] is opinion


@pytest.mark.parametrize(("allowed", "seconds"), [(True, 300), (False, 30)])
async def test_yes_and_no_are_remembered_for_their_own_time(allowed: bool, seconds: int) -> None:
    hook, webhook, clock = access({"allowed": allowed})
    for wait, count in ((0, 1), (seconds - 1, 1), (2, 2)):
        clock.advance(wait)
        await webhook.decide(ANN, GET)
        assert len(hook.seen) == count


@pytest.mark.parametrize(("deny", "opinion"), [(True, Opinion.DENY), (False, Opinion.NONE)])
async def test_a_webhook_that_gives_no_answer(deny: bool, opinion: Opinion) -> None:
    _, webhook, _ = access(404, deny_on_error=deny)
    assert (await webhook.decide(ANN, GET))[0] is opinion


async def test_conditions_say_whether_it_is_asked() -> None:
    conditions = ("has(request.resourceAttributes)", "request.user != 'ann'")
    hook, webhook, _ = access({"allowed": True}, conditions=conditions)
    assert await webhook.decide(ANN, GET) == (Opinion.NONE, "")
    assert hook.seen == []
    assert (await webhook.decide(User("bob"), GET))[0] is Opinion.ALLOW
    broken = ("request.resourceAttributes.namespace == 'x'",)
    for deny, opinion in ((True, Opinion.DENY), (False, Opinion.NONE)):
        _, webhook, _ = access({"allowed": True}, conditions=broken, deny_on_error=deny)
        found = await webhook.decide(ANN, Attributes("get", path="/x"))
        assert found[0] is opinion


WEBHOOK = {
    "type": "Webhook",
    "name": "w",
    "webhook": {
        "authorizedTTL": "10s",
        "timeout": "3s",
        "subjectAccessReviewVersion": "v1",
        "matchConditionSubjectAccessReviewVersion": "v1",
        "failurePolicy": "Deny",
        "connectionInfo": {"type": "KubeConfigFile", "kubeConfigFile": "/x"},
        "matchConditions": [{"expression": "request.user == 'ann'"}],
    },
}


def configured(*entries: Any) -> Any:
    return {"kind": "AuthorizationConfiguration", "authorizers": list(entries)}


async def test_a_configuration_is_an_order() -> None:
    steps = configuration.configuration(configured(WEBHOOK, {"type": "RBAC", "name": "r"}))
    webhook, rbac = steps
    assert isinstance(webhook, configuration.Webhook)
    assert webhook.settings == WebhookSettings("w", 10.0, 30.0, True, ("request.user == 'ann'",))
    assert (webhook.timeout, rbac) == (3.0, "RBAC")


@pytest.mark.parametrize(
    ("entries", "said"),
    [
        ([], "at least one"),
        ([{"type": "Nobody", "name": "n"}], "authorizers[0].type"),
        ([{"type": "RBAC"}], "authorizers[0].name: required"),
        ([{"type": "RBAC", "name": "a"}, {"type": "Node", "name": "a"}], "there twice"),
        ([{"type": "RBAC", "name": "a"}, {"type": "RBAC", "name": "b"}], "RBAC is there twice"),
        ([{"type": "Webhook", "name": "w"}], "authorizers[0].webhook: required"),
        (
            [{**WEBHOOK, "webhook": {**WEBHOOK["webhook"], "failurePolicy": "Maybe"}}],  # type: ignore[dict-item]
            "failurePolicy",
        ),
        (
            [{**WEBHOOK, "webhook": {**WEBHOOK["webhook"], "timeout": "31s"}}],  # type: ignore[dict-item]
            "at most 30s",
        ),
        (
            [
                {
                    **WEBHOOK,
                    "webhook": {
                        **WEBHOOK["webhook"],  # type: ignore[dict-item]
                        "matchConditions": [{"expression": "request.nobody"}],
                    },
                }
            ],
            "undefined field 'nobody'",
        ),
    ],
)
async def test_wrong_configurations_name_the_field(entries: list[Any], said: str) -> None:
    with pytest.raises(AuthorizationProblem) as error:
        configuration.configuration(configured(*entries))
    assert said in error.value.message


async def test_flags_are_an_order_too() -> None:
    assert configuration.from_flags("", "", "", "") == ("Node", "RBAC")
    found = configuration.from_flags("Webhook,RBAC", "/x", "1m", "5s")
    assert isinstance(found[0], configuration.Webhook)
    assert found[0].settings.authorized_seconds == 60
    for modes, file in (("Webhook", ""), ("RBAC", "/x"), ("RBAC,RBAC", ""), ("X", "")):
        with pytest.raises(AuthorizationProblem):
            configuration.from_flags(modes, file, "", "")
