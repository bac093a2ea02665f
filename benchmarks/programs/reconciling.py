"""Two reconcilers on our framework, as ``go/controller`` has them on controller-runtime.

``greetings``: a Greeting becomes a ConfigMap and a Deployment. ``trivial``: counts how often it
looks at ConfigMaps, and prints a line of JSON each thousand.
"""

from __future__ import annotations

import json
import sys
import time

from cloudwright.model.objects import Object, name_of
from cloudwright.model.resources import CONFIG_MAP, DEPLOYMENT, Resource
from cloudwright.operator import Context, Reconciler, Result, main

GREETING = Resource(
    "d.example.com", "v1", "Greeting", "greetings", "greeting", subresources=frozenset({"status"})
)


class Greetings(Reconciler[Object]):
    """What the Go controller does."""

    resource = GREETING
    owns = (CONFIG_MAP, DEPLOYMENT)
    finalizer = "d.example.com/cleanup"

    async def reconcile(self, obj: Object, context: Context) -> Result | None:
        """Write both children and say so."""
        name, spec = name_of(obj), obj.get("spec", {})
        text = {"metadata": {"name": name}, "data": {"text": spec.get("text", "")}}
        if await context.apply(CONFIG_MAP, text):
            await context.event("Written", "ConfigMap written")
        labels = {"greeting": name}
        container = {"name": "app", "image": spec.get("image", "")}
        template = {"metadata": {"labels": labels}, "spec": {"containers": [container]}}
        wish = {
            "metadata": {"name": name},
            "spec": {
                "replicas": spec.get("replicas", 1),
                "selector": {"matchLabels": labels},
                "template": template,
            },
        }
        await context.apply(DEPLOYMENT, wish)
        context.condition("Ready", "True", "Written")
        context.status["observedGeneration"] = obj["metadata"].get("generation", 0)
        return None


class Trivial(Reconciler[Object]):
    """Looks each ConfigMap up in its cache and counts."""

    resource = CONFIG_MAP
    seen = 0

    async def reconcile(self, obj: Object, context: Context) -> Result | None:
        """Count."""
        Trivial.seen += 1
        if Trivial.seen % 1000 == 0:
            line = {"said": "seen", "count": Trivial.seen, "at": time.time_ns()}
            sys.stdout.write(json.dumps(line) + "\n")
            sys.stdout.flush()
        return None


if __name__ == "__main__":
    chosen = {"greetings": Greetings, "trivial": Trivial}[sys.argv[1]]
    raise SystemExit(main(chosen(), words=sys.argv[2:]))
