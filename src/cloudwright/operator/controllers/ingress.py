"""Ingress → Routes of the gateway."""

from __future__ import annotations

from cloudwright.model.objects import Object, key_of, name_of, namespace_of
from cloudwright.model.resources import INGRESS, INGRESS_CLASS, ROUTE, SERVICE
from cloudwright.operator.engines import ingress as engine
from cloudwright.operator.manager import Result
from cloudwright.operator.reconciler import Context, Reconciler


class IngressController(Reconciler[Object]):
    """Serves the Ingresses whose class has our controller."""

    name = "ingress-controller"
    resource = INGRESS
    owns = (ROUTE,)

    def setup(self) -> None:
        """Also classes and Services."""
        super().setup()
        self._classes = self.watch(INGRESS_CLASS, self._all)
        self._services = self.watch(SERVICE, self._of_service)
        self._told: dict[str, list[str]] = {}

    def _all(self, _changed: Object) -> list[str]:
        return [key_of(one) for one in self._cache.all()]

    def _of_service(self, service: Object) -> list[str]:
        name = name_of(service)
        return [
            key_of(one)
            for one in self._cache.all(namespace_of(service))
            if any(backend.service == name for backend in engine.backends(one)[0])
        ]

    async def reconcile(self, obj: Object, context: Context) -> Result | None:
        """Make, change and remove the Routes of one Ingress."""
        wanted: dict[str, Object] = {}
        doubts: list[str] = []
        if self._ours(obj):
            found, doubts = engine.backends(obj)
            for backend in found:
                service = self._services.get(f"{namespace_of(obj)}/{backend.service}")
                port = engine.port_number(backend, service)
                if port is None:
                    doubts.append(f"Service {backend.service} has no port {backend.port}")
                    continue
                wish = engine.route(obj, backend, port)
                wanted[name_of(wish)] = wish
        for child in context.owned(ROUTE):
            if name_of(child) not in wanted:
                await context.remove(ROUTE, child)
        for wish in wanted.values():
            await context.apply(ROUTE, wish)
        await self._tell(obj, context, doubts)
        address = self.manager.config.ingress_address
        if wanted and address:
            context.status["loadBalancer"] = {"ingress": [{"ip": address}]}
        elif context.status.get("loadBalancer"):
            context.status["loadBalancer"] = {}
        return None

    def _ours(self, ingress: Object) -> bool:
        found = self._classes.get(engine.class_of(ingress) or " ")
        return found is not None and found["spec"].get("controller") == engine.CONTROLLER

    async def _tell(self, obj: Object, context: Context, doubts: list[str]) -> None:
        """Each doubt once, until it changes."""
        key = key_of(obj)
        for doubt in doubts:
            if doubt not in self._told.get(key, ()):
                await context.event("NotAsWritten", doubt, warning=True)
        if doubts:
            self._told[key] = doubts
        else:
            self._told.pop(key, None)
