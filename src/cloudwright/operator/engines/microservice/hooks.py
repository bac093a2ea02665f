"""When the postRolloutHook is called, and when configuration counts as applied.

A roll-out is one pair (generation, version); its hook's success is written in
``status.postRolloutHook``, so it is not called again, also after a restart. An attempt is written
down before it is made: a crash between the call and its record repeats that one call.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Literal
from uuid import NAMESPACE_OID, uuid5

from cloudwright._base.clock import parse_rfc3339, rfc3339_micro
from cloudwright.model.objects import (
    Object,
    annotations_of,
    name_of,
    namespace_of,
    resource_version,
    uid_of,
)
from cloudwright.operator.engines.actions import Draft
from cloudwright.operator.engines.microservice.children import hook_of, is_url
from cloudwright.operator.engines.microservice.world import (
    CONFIG_APPLIED,
    HOOK_ATTEMPTS,
    HOOK_FIRST_WAIT,
    HOOK_LONGEST_WAIT,
    HookCall,
    Ledger,
    World,
    ready_pods,
)
from cloudwright.operator.engines.templates import digest

CONFIG_SPREAD_SECONDS = 90.0
"""A kubelet looks at ConfigMaps once a minute, and may have a cached one."""
StatusKey = Literal["postRolloutHook", "configHook"]


def after_rollout(
    ledger: Ledger, draft: Draft, version: str, previous: str, generation: int
) -> tuple[HookCall | None, bool]:
    """The PostRollout call that is due, and whether the hook is over (done or given up)."""
    world = ledger.world
    url = hook_of(world.service, "postRolloutHook")
    if not url:
        ledger.status.pop("postRolloutHook", None)
        ledger.drop("PostRolloutHook")
        return None, True
    key = {"generation": generation, "version": version}
    payload = _payload(world, "PostRollout", version, previous)
    return _attempt(ledger, draft, "postRolloutHook", key, url, payload)


def after_config(
    ledger: Ledger, draft: Draft, version: str, config: Mapping[str, Any] | None
) -> HookCall | None:
    """The ConfigChanged call that is due, once every ready pod has the files of ``config``."""
    world = ledger.world
    if config is None:
        for key in ("config", "configHook"):
            ledger.status.pop(key, None)
        ledger.drop("ConfigApplied")
        return None
    wished = digest(config)
    known = ledger.record("config")
    revision = _revision(world.children.get("ConfigMap"))
    if not known:
        # The first roll-out's pods started with these files; its own hook has told of it.
        ledger.status["config"] = {"digest": wished, "revision": revision}
        ledger.condition("ConfigApplied", True, "Applied", f"pods run with {revision}")
        return None
    if known.get("digest") == wished:
        return None
    if not world.nodes_confirm and _still_spreading(ledger, draft, wished, revision):
        return None
    late = [pod for pod in ready_pods(world) if revision not in _applied(pod)]
    if late and world.nodes_confirm:
        total = len(ready_pods(world))
        names = ", ".join(sorted(name_of(pod) for pod in late)[:3])
        message = f"{total - len(late)} of {total} pods have {revision}; waiting for {names}"
        ledger.condition("ConfigApplied", False, "WaitingForPods", message)
        return None
    if ledger.condition("ConfigApplied", True, "Applied", f"every ready pod has {revision}"):
        draft.note("ConfigApplied", f"Configuration {revision} is in the files of every ready pod")
    url = hook_of(world.service, "postRolloutHook")
    if url:
        payload = {
            **_payload(world, "ConfigChanged", version, version),
            "configRevision": revision.partition("@")[2],
        }
        call, over = _attempt(ledger, draft, "configHook", {"digest": wished}, url, payload)
        if not over:
            return call
    ledger.status["config"] = {"digest": wished, "revision": revision}
    return None


def _still_spreading(ledger: Ledger, draft: Draft, wished: str, revision: str) -> bool:
    """On nodes that do not tell what their pods have: whether they may still have old files."""
    known = ledger.record("config")
    if known.get("pending") != wished:
        known.update(pending=wished, since=rfc3339_micro(ledger.world.now))
        ledger.status["config"] = known
    due = parse_rfc3339(str(known["since"])) + timedelta(seconds=CONFIG_SPREAD_SECONDS)
    left = (due - ledger.world.now).total_seconds()
    if left <= 0:
        return False
    draft.again(left)
    message = f"{revision} is on its way; nodes here do not tell when pods have it"
    ledger.condition("ConfigApplied", None, "NotConfirmed", message)
    return True


def settle(
    status: Object, key: StatusKey, failure: str | None, world: World
) -> tuple[Object, tuple[str, str, bool]]:
    """The status after a call ended, and the event to tell: ``(reason, message, warning)``."""
    ledger = Ledger(world)
    ledger.status = dict(status)
    record = ledger.record(key)
    url = hook_of(world.service, "postRolloutHook")
    event = "PostRollout" if key == "postRolloutHook" else "ConfigChanged"
    attempt = int(record.get("attempts") or 0)
    if failure is None:
        record.update(state="Succeeded", message="")
        ledger.condition("PostRolloutHook", True, "Succeeded", f"{event}: {url} answered")
        note = ("HookSucceeded", f"{event}: {url} answered", False)
    else:
        last = attempt >= HOOK_ATTEMPTS
        record.update(state="Failed" if last else "Retrying", message=failure)
        reason = "HookFailed" if last else "HookRetrying"
        message = f"{event}: {url}, attempt {attempt} of {HOOK_ATTEMPTS}: {failure}"
        ledger.condition("PostRolloutHook", False, reason, message)
        note = (reason, message, True)
    ledger.status[key] = record
    return ledger.status, note


def _attempt(
    ledger: Ledger,
    draft: Draft,
    status_key: StatusKey,
    key: Mapping[str, Any],
    url: str,
    payload: dict[str, Any],
) -> tuple[HookCall | None, bool]:
    record = ledger.record(status_key)
    if any(record.get(name) != value for name, value in key.items()):
        record = {**key, "state": "Pending", "attempts": 0}
    if record["state"] in ("Succeeded", "Failed"):
        return None, True
    attempts = int(record.get("attempts") or 0)
    if attempts >= HOOK_ATTEMPTS:
        # The daemon died during the last attempt: nobody knows how it ended.
        record.update(state="Failed", message="the last attempt was interrupted")
        ledger.status[status_key] = record
        ledger.condition("PostRolloutHook", False, "HookFailed", record["message"])
        return None, True
    wait = _wait(record, ledger.world)
    if wait > 0:
        draft.again(wait)
        ledger.status[status_key] = record
        return None, False
    pod = ""
    if not is_url(url):
        serving = sorted(name_of(pod) for pod in ready_pods(ledger.world))
        if not serving:
            ledger.status[status_key] = record
            return None, False
        # After a failure another pod may do better.
        pod = serving[attempts % len(serving)]
    identity = json.dumps([uid_of(ledger.world.service), status_key, key], sort_keys=True)
    record["key"] = str(uuid5(NAMESPACE_OID, identity))
    record.update(
        state="Calling", attempts=attempts + 1, lastAttemptTime=rfc3339_micro(ledger.world.now)
    )
    ledger.status[status_key] = record
    if attempts == 0:
        ledger.condition("PostRolloutHook", False, "Calling", f"calling {url}")
    payload |= {"idempotencyKey": record["key"], "attempt": attempts + 1, "pod": pod}
    return HookCall(url, payload, status_key, attempts + 1, record["key"], pod), False


def _wait(record: Mapping[str, Any], world: World) -> float:
    """Seconds until the next attempt may be made."""
    attempts = int(record.get("attempts") or 0)
    last = record.get("lastAttemptTime")
    if attempts == 0 or not last:
        return 0.0
    pause = min(HOOK_FIRST_WAIT * 2 ** (attempts - 1), HOOK_LONGEST_WAIT)
    due = parse_rfc3339(str(last)) + timedelta(seconds=pause)
    return (due - world.now).total_seconds()


def _payload(world: World, event: str, version: str, previous: str) -> dict[str, Any]:
    config = world.children.get("ConfigMap")
    return {
        "event": event,
        "namespace": namespace_of(world.service),
        "name": name_of(world.service),
        "version": version,
        "previousVersion": previous,
        "pod": "",
        "configRevision": resource_version(config) if config else "",
    }


def _revision(config: Object | None) -> str:
    return f"{name_of(config)}@{resource_version(config)}" if config else ""


def _applied(pod: Object) -> list[str]:
    return [part.strip() for part in annotations_of(pod).get(CONFIG_APPLIED, "").split(",")]
