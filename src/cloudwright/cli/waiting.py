"""Waiting on watches, never on a clock: each change of an object is looked at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from time import monotonic

from cloudwright._base.errors import CloudwrightError, TimedOutError
from cloudwright.cli.readiness import Readiness, readiness
from cloudwright.cli.sessions import Session
from cloudwright.cli.terminal import Progress, Terminal
from cloudwright.model.objects import Object
from cloudwright.model.resources import Resource

Target = tuple[Resource, str, str]
"""Resource, namespace, name."""


class WaitFailed(CloudwrightError):
    """What was waited for will not come."""

    default_code = "CW5001"


def changes(
    session: Session, resource: Resource, namespace: str, name: str, deadline: float
) -> Iterator[Object | None]:
    """The object now and after every change; None when it does not exist. Ends at ``deadline``.

    ``deadline`` is a value of ``monotonic()``. Raises TimedOutError.
    """
    fields = f"metadata.name={name}"
    head = {"apiVersion": resource.api_version, "kind": resource.kind}
    while (left := deadline - monotonic()) > 0:
        found = session.client.list(resource, namespace, field_selector=fields)
        items = found.get("items") or []
        yield {**head, **items[0]} if items else None
        version = str(found["metadata"].get("resourceVersion", ""))
        for event in session.client.watch(
            resource, namespace, resource_version=version, field_selector=fields, timeout=left
        ):
            if event["type"] == "DELETED":
                yield None
            elif event["type"] != "BOOKMARK":
                yield {**head, **event["object"]}
            if monotonic() >= deadline:
                break
    raise TimedOutError(f"{resource.singular}/{name} did not get there in time")


def until(
    session: Session,
    target: Target,
    holds: Callable[[Object | None], Readiness],
    timeout: float,
    show: Callable[[str], None] = lambda _: None,
) -> Object | None:
    """Wait until ``holds`` says done; returns the object then (None when it is gone).

    Raises WaitFailed when it says failed, TimedOutError with the last state.
    """
    resource, namespace, name = target
    last = ""
    try:
        for obj in changes(session, resource, namespace, name, monotonic() + timeout):
            state = holds(obj)
            last = state.text
            show(state.text)
            if state.done:
                return obj
            if state.failed:
                raise WaitFailed(
                    state.text, hint=f"see `cloudwright why {resource.singular}/{name}`"
                )
    except TimedOutError as error:
        raise TimedOutError(
            f"{resource.singular}/{name} did not get there in {timeout:.0f} s",
            cause=last or None,
            hint=f"see `cloudwright why {resource.singular}/{name}`",
        ) from error
    return None


def ready(obj: Object | None) -> Readiness:
    """Readiness of an object that must exist."""
    return readiness(obj) if obj is not None else Readiness(False, "it does not exist yet")


def until_ready(
    session: Session, targets: list[Target], timeout: float, terminal: Terminal
) -> None:
    """Wait for every target, showing all of them. Raises WaitFailed, TimedOutError."""
    progress = Progress(terminal)
    lines = {target: f"{target[2]}: waiting" for target in targets}
    start = monotonic()
    for target in targets:

        def show(text: str, target: Target = target) -> None:
            lines[target] = text
            progress.show([f"… {line}" for line in lines.values()])

        try:
            until(session, target, ready, max(timeout - (monotonic() - start), 0.1), show)
        except CloudwrightError:
            progress.clear()
            raise
        lines[target] = f"{target[2]}: ready"
    progress.clear()
