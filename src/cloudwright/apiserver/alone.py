"""The API server without nodes and controllers, from its command line to its end."""

from __future__ import annotations

import argparse
import signal

import anyio

from cloudwright._base import logs, startup
from cloudwright._base.clock import SystemClock
from cloudwright._base.errors import UsageError
from cloudwright._base.files import make_private
from cloudwright._base.paths import Paths
from cloudwright.apiserver import bootstrap, identities, security, tls
from cloudwright.apiserver.aggregation import aggregator
from cloudwright.apiserver.audit import setup as auditing
from cloudwright.apiserver.config import CoreConfig, StoreConfig
from cloudwright.apiserver.server import FaceConfig, serve
from cloudwright.apiserver.store.opening import open_any

_log = logs.get("apiserver")


async def run(paths: Paths, options: argparse.Namespace) -> None:
    """Serve until SIGINT or SIGTERM. ``options`` are those of ``__main__.parser``.

    Raises:
        UsageError: an option names what there is not.
    """
    config = FaceConfig(host=options.host, port=options.port)
    core_config = core_of(options.enable_admission_plugins)
    secured, audit_log = security.of(options), paths.state / "audit" / "audit.log"
    pki = tls.Pki(paths.pki)
    make_private(paths.database.parent)
    async with (
        open_any(options.store, StoreConfig(paths.database), SystemClock()) as kept,
        security.sealed(secured, kept, paths.pki) as store,
        security.authorizer(secured, store, SystemClock()) as authorizer,
        bootstrap.running(store, authorizer, config=core_config) as core,
        auditing.running(core, secured.audit_policy, audit_log, webhook=secured),
        aggregator.running(core, paths.pki, pki.ca.certificate_pem),
        identities.running(core, paths, pki.ca.certificate_pem, secured) as known,
        serve(
            core, config, pki=pki, authenticator=known.authenticator, authorizer=authorizer
        ) as serving,
    ):
        kubeconfig = tls.write_kubeconfig(paths, serving.url)
        _log.info("serving", extra={"url": serving.url, "kubeconfig": str(kubeconfig)})
        startup.ready()
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
