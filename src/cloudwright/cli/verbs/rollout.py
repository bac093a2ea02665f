"""Roll-outs of MicroServices and Deployments.

cloudwright rollout status ms/payment         wait until it is done, showing the progress
cloudwright rollout history ms/payment        its revisions (also deploy/payment)
cloudwright rollout undo ms/payment           to the one before, or --to-revision N
cloudwright rollout pause|resume ms/payment   stay at a step; go on, also past an approval
cloudwright rollout promote|abort ms/payment  skip the steps that are left; go back
cloudwright rollout restart deploy/payment
"""

from __future__ import annotations

import argparse
from datetime import UTC, datetime

from cloudwright._base.clock import rfc3339
from cloudwright._base.errors import NotFoundError, UsageError
from cloudwright.cli import services, sessions, waiting
from cloudwright.cli.sessions import Session
from cloudwright.cli.terminal import Terminal
from cloudwright.model.objects import Object, annotations_of, name_of, owned_by
from cloudwright.model.resources import (
    DAEMON_SET,
    DEPLOYMENT,
    MICRO_SERVICE,
    REPLICA_SET,
    STATEFUL_SET,
    Resource,
)

REVISION = "deployment.kubernetes.io/revision"
CAUSE = "kubernetes.io/change-cause"
RESTARTED = "kubectl.kubernetes.io/restartedAt"
ACTIONS = ("status", "history", "undo", "restart", "pause", "resume", "promote", "abort")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of ``rollout``."""
    parser.add_argument("action", choices=ACTIONS)
    parser.add_argument("targets", nargs="+", metavar="KIND/NAME")
    parser.add_argument("--to-revision", type=int, default=0, metavar="NUMBER")
    parser.add_argument("--revision", type=int, default=0, metavar="NUMBER")
    parser.add_argument("--timeout", default="300s", metavar="TIME")
    parser.add_argument("-w", "--watch", action=argparse.BooleanOptionalAction, default=True)
    sessions.add_namespace(parser, everywhere=False)
    sessions.add_dry_run(parser)


def run(args: argparse.Namespace, terminal: Terminal) -> int:
    """Do the action for each."""
    session = Session(args)
    for resource, name in session.targets(args.targets):
        if not name:
            raise UsageError(f"which {resource.singular}?", hint="KIND NAME or KIND/NAME")
        if resource not in (DEPLOYMENT, MICRO_SERVICE, STATEFUL_SET, DAEMON_SET):
            hint = "deploy/NAME, ms/NAME, sts/NAME, ds/NAME"
            raise UsageError(f"a {resource.singular} has no roll-outs", hint=hint)
        _act(session, resource, name, args, terminal)
    return 0


def _act(
    session: Session, resource: Resource, name: str, args: argparse.Namespace, terminal: Terminal
) -> None:
    space = session.namespace or "default"
    if args.action == "status":
        _status(session, resource, name, space, args, terminal)
        return
    if resource == MICRO_SERVICE and args.action != "restart":
        services.act(session, name, space, args, terminal)
        return
    if args.action in ("promote", "abort"):
        raise UsageError(
            f"only a MicroService can be {services.WORDS[args.action]}", hint="ms/NAME"
        )
    if resource in (STATEFUL_SET, DAEMON_SET):
        _restart(session, resource, name, space, args, terminal)
        return
    deployment = session.client.get(DEPLOYMENT, name, space)
    if args.action == "history":
        _history(session, deployment, args, terminal)
        return
    if args.action == "undo":
        patch, word = _undo(session, deployment, args.to_revision), "rolled back"
    elif args.action == "restart":
        stamp = {RESTARTED: rfc3339(datetime.now(UTC))}
        patch = {"spec": {"template": {"metadata": {"annotations": stamp}}}}
        word = "restarted"
    else:
        patch = {"spec": {"paused": args.action == "pause"}}
        word = f"{args.action}d"
    session.client.patch(DEPLOYMENT, name, patch, space, query=sessions.dry_query(args))
    terminal.data(f"deployment.apps/{name} {word}")


def _restart(
    session: Session,
    resource: Resource,
    name: str,
    space: str,
    args: argparse.Namespace,
    terminal: Terminal,
) -> None:
    if args.action != "restart":
        hint = f"kubectl rollout {args.action} {resource.singular}/{name}"
        raise UsageError(f"{args.action} is for deployments and MicroServices", hint=hint)
    stamp = {RESTARTED: rfc3339(datetime.now(UTC))}
    patch = {"spec": {"template": {"metadata": {"annotations": stamp}}}}
    session.client.patch(resource, name, patch, space, query=sessions.dry_query(args))
    terminal.data(f"{resource.singular}.{resource.group}/{name} restarted")


def _status(
    session: Session,
    resource: Resource,
    name: str,
    space: str,
    args: argparse.Namespace,
    terminal: Terminal,
) -> None:
    session.client.get(resource, name, space)
    if not args.watch:
        found = {**session.client.get(resource, name, space), "kind": resource.kind}
        terminal.data(waiting.ready(found).text)
        return
    seen: list[str] = []

    def show(text: str) -> None:
        if not seen or seen[-1] != text:
            seen.append(text)
            terminal.data(text)
            terminal.flush()

    target = (resource, space, name)
    waiting.until(session, target, waiting.ready, sessions.seconds(args.timeout), show)


def revisions(session: Session, deployment: Object) -> dict[int, Object]:
    """The deployment's ReplicaSets by revision."""
    space = str(deployment["metadata"]["namespace"])
    found = session.client.list(REPLICA_SET, space).get("items") or []
    return {
        int(annotations_of(item).get(REVISION, 0)): item
        for item in found
        if owned_by(item, deployment)
    }


def _history(
    session: Session, deployment: Object, args: argparse.Namespace, terminal: Terminal
) -> None:
    found = revisions(session, deployment)
    if args.revision:
        if args.revision not in found:
            raise NotFoundError(f"{name_of(deployment)} has no revision {args.revision}")
        from cloudwright.cli.output import to_yaml

        terminal.data(to_yaml(found[args.revision]["spec"]["template"]).rstrip())
        return
    rows = []
    for number in sorted(found):
        containers = found[number]["spec"]["template"]["spec"]["containers"]
        cause = annotations_of(found[number]).get(CAUSE, "<none>")
        rows.append([str(number), ",".join(c["image"] for c in containers), cause])
    terminal.table(["REVISION", "IMAGES", "CHANGE-CAUSE"], rows)


def _undo(session: Session, deployment: Object, revision: int) -> Object:
    found = revisions(session, deployment)
    current = int(annotations_of(deployment).get(REVISION, 0))
    earlier = sorted(number for number in found if number < current)
    wanted = revision or (earlier[-1] if earlier else 0)
    if wanted not in found:
        known = ", ".join(map(str, sorted(found)))
        raise NotFoundError(f"{name_of(deployment)} has no such revision", hint=f"known: {known}")
    template = found[wanted]["spec"]["template"]
    labels = dict(template["metadata"].get("labels") or {})
    labels.pop("pod-template-hash", None)
    current_template = deployment["spec"]["template"]
    metadata = {**template["metadata"], "labels": labels}
    return {
        "spec": {
            "template": services.replacing(current_template, {**template, "metadata": metadata}),
        }
    }
