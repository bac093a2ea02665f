"""The API server alone: ``python -m cloudwright.apiserver --state-dir D --port N``.

Serves the Kubernetes API on an embedded store (or on etcd: ``--store``), without nodes or
controllers: objects can be read, written and watched, but nothing runs.
"""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence
from functools import partial

import anyio

from cloudwright._base import logs
from cloudwright._base.clock import SystemClock
from cloudwright._base.errors import CloudwrightError, UsageError, render
from cloudwright._base.files import make_private
from cloudwright._base.paths import Paths
from cloudwright.apiserver import bootstrap, identities, tls
from cloudwright.apiserver.audit import setup as auditing
from cloudwright.apiserver.authn import TokenFile
from cloudwright.apiserver.authz import ChainAuthorizer
from cloudwright.apiserver.config import CoreConfig, StoreConfig
from cloudwright.apiserver.server import FaceConfig, serve
from cloudwright.apiserver.store.opening import EMBEDDED, open_any

_log = logs.get("apiserver")


def parser() -> argparse.ArgumentParser:
    """The command line."""
    words = argparse.ArgumentParser(
        prog="python -m cloudwright.apiserver", description=(__doc__ or "").splitlines()[0]
    )
    words.add_argument("--state-dir", help="where everything is kept (else /var/lib/cloudwright)")
    words.add_argument("--host", default="127.0.0.1", help="address to listen on")
    words.add_argument("--port", type=int, default=6443, help="port to listen on; 0: any free one")
    words.add_argument(
        "--store",
        default=EMBEDDED,
        metavar="STORE",
        help="sqlite (in the state directory), or etcd://HOST:PORT,…/PREFIX?ca=&cert=&key=",
    )
    words.add_argument(
        "--enable-admission-plugins",
        default="",
        metavar="NAMES",
        help="beside the usual ones: ServiceAccount (needs somebody who makes the accounts)",
    )
    words.add_argument(
        "--audit-policy",
        default="",
        metavar="FILE",
        help="audit.k8s.io/v1 Policy, or `default`; events go to STATE/audit/audit.log",
    )
    words.add_argument(
        "--authentication-config",
        default="",
        metavar="FILE",
        help="further issuers of tokens (apiserver.config.k8s.io/v1)",
    )
    words.add_argument("--issue-token", metavar="USER", help="print a token for USER and end")
    words.add_argument("--group", action="append", default=[], help="group of --issue-token's USER")
    return words


async def run(
    paths: Paths,
    config: FaceConfig,
    store_at: str = EMBEDDED,
    core_config: CoreConfig | None = None,
    *,
    audit_policy: str = "",
    issuers: str = "",
) -> None:
    """Serve until SIGINT or SIGTERM."""
    pki = tls.Pki(paths.pki)
    make_private(paths.database.parent)
    async with open_any(store_at, StoreConfig(paths.database), SystemClock()) as store:
        authorizer = ChainAuthorizer(store)
        async with (
            bootstrap.running(store, authorizer, config=core_config) as core,
            auditing.running(core, audit_policy, paths.state / "audit" / "audit.log"),
            identities.running(core, paths, pki.ca.certificate_pem, issuers) as known,
            serve(
                core, config, pki=pki, authenticator=known.authenticator, authorizer=authorizer
            ) as serving,
        ):
            kubeconfig = tls.write_kubeconfig(paths, serving.url)
            _log.info("serving", extra={"url": serving.url, "kubeconfig": str(kubeconfig)})
            with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
                async for _ in signals:
                    return


def core_of(plugins: str) -> CoreConfig:
    """The core's settings with more admission plug-ins than usual.

    Raises:
        UsageError: there is no such plug-in.
    """
    names = {name.strip() for name in plugins.split(",") if name.strip()}
    known = {"ServiceAccount", "TaintNodesByCondition"}
    if names - known:
        unknown = ", ".join(sorted(names - known))
        raise UsageError(
            f"--enable-admission-plugins: unknown: {unknown}",
            hint="ServiceAccount, TaintNodesByCondition; all others are on",
        )
    return CoreConfig(
        service_accounts="ServiceAccount" in names, taint_nodes="TaintNodesByCondition" in names
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run; returns the exit code."""
    options = parser().parse_args(arguments)
    paths = Paths.find(options.state_dir)
    logs.configure()
    try:
        if options.issue_token:
            token = TokenFile.of(paths).issue(options.issue_token, options.group)
            sys.stdout.write(f"{token}\n")
            return 0
        face = FaceConfig(host=options.host, port=options.port)
        wanted = core_of(options.enable_admission_plugins)
        serve_all = partial(
            run, audit_policy=options.audit_policy, issuers=options.authentication_config
        )
        anyio.run(serve_all, paths, face, options.store, wanted)
    except CloudwrightError as error:
        sys.stderr.write(f"{render(error)}\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
