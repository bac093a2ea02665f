"""Identities, certificates, routes: what every proxy is told.

``controller.MeshControl`` turns Services, EndpointSlices, Pods and Routes into the snapshot that
the proxies watch, gives each pod's sidecar its files, and asks the proxies through their admin
sockets.
``hooks.MeshHooks`` calls life-cycle hooks through the gateway. Identities are SPIFFE X.509-SVIDs;
the formats on disk are in ``docs/reference/internals.md``.
"""
