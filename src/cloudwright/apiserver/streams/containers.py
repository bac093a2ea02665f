"""Which container of a pod a stream is about."""

from __future__ import annotations

from cloudwright.apiserver.errors import bad_request
from cloudwright.model.objects import Object, annotations_of, name_of

SUBRESOURCES = ("exec", "attach", "portforward")
"""The interactive ones, which take the connection over."""
_DEFAULT = "kubectl.kubernetes.io/default-container"


def container_of(pod: Object, wanted: str) -> str:
    """The container that a request means.

    Raises:
        ApiError: 400, it does not exist, or none was named and there are several.
    """
    spec = pod.get("spec") or {}
    main = [str(c["name"]) for c in spec.get("containers") or []]
    names = main + [
        str(c["name"])
        for key in ("initContainers", "ephemeralContainers")
        for c in spec.get(key) or []
    ]
    where = f'pod "{name_of(pod)}"'
    if wanted:
        if wanted not in names:
            raise bad_request(
                f"container {wanted} is not valid for pod {name_of(pod)}: it has {', '.join(names)}"
            )
        return wanted
    if len(main) == 1:
        return main[0]
    default = annotations_of(pod).get(_DEFAULT, "")
    if default in main:
        return default
    raise bad_request(f"a container name must be specified for {where}, choose one of: {main}")
