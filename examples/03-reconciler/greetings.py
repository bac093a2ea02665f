"""A reconciler in one file: each ``Greeting`` becomes a ConfigMap, on any Kubernetes API.

kubectl apply -f crd.yaml
python greetings.py                     # --kubeconfig, --leader-elect, --dry-run, --listen …
kubectl apply -f greeting.yaml
"""

from dataclasses import dataclass

from cloudwright.model.objects import Object, name_of
from cloudwright.model.resources import CONFIG_MAP, Resource
from cloudwright.operator import Context, Reconciler, Result, main

GREETING = Resource(
    "example.com", "v1", "Greeting", "greetings", "greeting", subresources=frozenset({"status"})
)


@dataclass(frozen=True)
class Greeting:
    name: str
    text: str


class Greetings(Reconciler[Greeting]):
    resource = GREETING
    owns = (CONFIG_MAP,)  # a changed or deleted ConfigMap is repaired
    finalizer = "example.com/goodbye"  # cleanup() runs before a Greeting goes

    def parse(self, obj: Object) -> Greeting:
        text = obj["spec"].get("text", "")
        if not text:
            raise ValueError("spec.text: must not be empty")  # → condition Valid=False
        return Greeting(name_of(obj), text)

    async def reconcile(self, obj: Greeting, context: Context) -> Result | None:
        child = {"metadata": {"name": obj.name}, "data": {"greeting": obj.text}}
        if await context.apply(CONFIG_MAP, child):
            await context.event("Greeted", f"Wrote {obj.text!r}")
        context.condition("Ready", "True", "Written")
        return None  # Result(requeue_after=60) asks for another look

    async def cleanup(self, obj: Greeting, context: Context) -> Result | None:
        print(f"goodbye, {obj.name}", flush=True)  # undo what is outside of the API
        return None


if __name__ == "__main__":
    raise SystemExit(main(Greetings()))
