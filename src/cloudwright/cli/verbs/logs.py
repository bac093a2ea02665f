"""Show what containers print.

cloudwright logs payment-7f9c4-x2x        one pod
cloudwright logs ms/payment -f            every pod of a service, lines as they come
cloudwright logs pod/x -p --tail 20       the container before its last restart
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator

from cloudwright._base.errors import NotFoundError, UsageError
from cloudwright.cli import sessions
from cloudwright.cli.sessions import Session
from cloudwright.cli.terminal import Terminal
from cloudwright.client.transport import Request
from cloudwright.model.objects import Object, name_of
from cloudwright.model.resources import POD


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of ``logs``."""
    parser.add_argument("target", nargs="?", metavar="POD or KIND/NAME")
    parser.add_argument("container_word", nargs="?", metavar="CONTAINER")
    parser.add_argument("-c", "--container", metavar="NAME")
    parser.add_argument("-f", "--follow", action="store_true")
    parser.add_argument("-p", "--previous", action="store_true", help="before the last restart")
    parser.add_argument("--tail", type=int, default=-1, metavar="LINES")
    parser.add_argument("--since", metavar="TIME", help="for example 10m")
    parser.add_argument("--since-time", metavar="RFC3339")
    parser.add_argument("--timestamps", action="store_true")
    parser.add_argument("--limit-bytes", type=int, metavar="BYTES")
    parser.add_argument("--prefix", action="store_true", help="the pod's name before each line")
    sessions.add_namespace(parser, everywhere=False)
    sessions.add_selector(parser)


def run(args: argparse.Namespace, terminal: Terminal) -> int:
    """Print them."""
    session = Session(args)
    pods = _pods(session, args)
    if args.follow and len(pods) > 1:
        return _together(session, pods, args)
    for pod in pods:
        for line in _lines(session, pod, args):
            _print(pod, line, args.prefix or len(pods) > 1)
    return 0


def _pods(session: Session, args: argparse.Namespace) -> list[str]:
    space = session.namespace or "default"
    if args.target and "/" not in args.target:
        return [args.target]
    if args.target:
        resource, name = session.one(args.target)
        if resource == POD:
            return [name]
        selector = _selector(session.client.get(resource, name, space))
    elif args.selector:
        selector = args.selector
    else:
        raise UsageError("whose logs?", hint="a pod's name, KIND/NAME or -l LABELS")
    found = session.client.list(POD, space, label_selector=selector).get("items") or []
    if not found:
        raise NotFoundError(f"no pod matches {selector}", hint="see `cloudwright get pods`")
    return [name_of(pod) for pod in found]


def _selector(obj: Object) -> str:
    if obj.get("kind") == "MicroService":
        return f"platform.example.com/microservice={name_of(obj)}"
    selector = obj.get("spec", {}).get("selector") or {}
    labels = selector.get("matchLabels", selector)
    if not labels:
        raise UsageError(f"{obj.get('kind')} {name_of(obj)} has no pods")
    return ",".join(f"{key}={value}" for key, value in labels.items())


def _request(session: Session, pod: str, args: argparse.Namespace) -> Request:
    pairs = {
        "container": args.container or args.container_word,
        "follow": "true" if args.follow else "",
        "previous": "true" if args.previous else "",
        "tailLines": str(args.tail) if args.tail >= 0 else "",
        "sinceSeconds": str(max(int(sessions.seconds(args.since)), 1)) if args.since else "",
        "sinceTime": args.since_time,
        "timestamps": "true" if args.timestamps else "",
        "limitBytes": str(args.limit_bytes) if args.limit_bytes else "",
    }
    query = [(key, value) for key, value in pairs.items() if value]
    return Request("GET", POD.path(session.namespace or "default", pod, "log"), query)


def _lines(session: Session, pod: str, args: argparse.Namespace) -> Iterator[bytes]:
    rest = b""
    for chunk in session.client.stream(_request(session, pod, args)):
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            yield line + b"\n"
    if rest:
        yield rest


def _print(pod: str, line: bytes, prefix: bool) -> None:
    out = sys.stdout.buffer
    out.write((f"[{pod}] ".encode() if prefix else b"") + line)
    out.flush()


def _together(session: Session, pods: list[str], args: argparse.Namespace) -> int:
    """Follow several pods at once: one worker each."""
    from concurrent.futures import ThreadPoolExecutor

    def follow(pod: str) -> None:
        for line in _lines(Session(args), pod, args):
            _print(pod, line, True)

    with ThreadPoolExecutor(len(pods)) as workers:
        for done in [workers.submit(follow, pod) for pod in pods]:
            done.result()
    return 0
