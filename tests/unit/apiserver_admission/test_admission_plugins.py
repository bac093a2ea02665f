"""The built-in plug-ins."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.apiserver_core.kit import CONFIG_MAPS, PODS, Api, config_map, pod

pytestmark = pytest.mark.anyio
NAMESPACED = "/api/v1/namespaces/default"


def sized(name: str, **resources: Any) -> dict[str, Any]:
    wish = pod(name)
    wish["spec"]["containers"][0]["resources"] = resources
    return wish


async def test_a_limit_range_fills_in_and_bounds(api: Api) -> None:
    item = {
        "type": "Container",
        "default": {"memory": "64Mi"},
        "defaultRequest": {"memory": "32Mi"},
        "max": {"memory": "128Mi"},
    }
    wish = {"metadata": {"name": "l"}, "spec": {"limits": [item]}}
    await api.create(f"{NAMESPACED}/limitranges", wish)
    made = await api.create(PODS, pod("a"))
    assert made["spec"]["containers"][0]["resources"] == {
        "limits": {"memory": "64Mi"},
        "requests": {"memory": "32Mi"},
    }
    assert "LimitRanger plugin set" in made["metadata"]["annotations"]["kubernetes.io/limit-ranger"]
    big = sized("b", limits={"memory": "1Gi"}, requests={"memory": "1Gi"})
    reply = await api.create(PODS, big, status=403)
    assert reply["message"] == (
        'pods "b" is forbidden: maximum memory usage per Container is 128Mi, but limit is 1Gi'
    )


async def test_a_quota_counts_and_refuses(api: Api) -> None:
    hard = {"pods": "2", "requests.cpu": "1", "count/configmaps": "1"}
    wish = {"metadata": {"name": "q"}, "spec": {"hard": hard}}
    await api.create(f"{NAMESPACED}/resourcequotas", wish)
    reply = await api.create(PODS, pod("a"), status=403)
    assert "failed quota: q: must specify requests.cpu for: app" in reply["message"]
    await api.create(PODS, sized("a", requests={"cpu": "600m"}))
    reply = await api.create(PODS, sized("b", requests={"cpu": "600m"}), status=403)
    assert reply["message"] == (
        'pods "b" is forbidden: exceeded quota: q, requested: requests.cpu=600m, '
        "used: requests.cpu=600m, limited: requests.cpu=1"
    )
    await api.create(CONFIG_MAPS, config_map("a"))
    await api.create(CONFIG_MAPS, config_map("b"), status=403)
    found = await api.get(f"{NAMESPACED}/resourcequotas/q")
    used = found["status"]["used"]
    assert used == {"pods": "1", "requests.cpu": "600m", "count/configmaps": "1"}


async def test_a_dry_run_charges_nothing(api: Api) -> None:
    wish = {"metadata": {"name": "q"}, "spec": {"hard": {"configmaps": "1"}}}
    await api.create(f"{NAMESPACED}/resourcequotas", wish)
    await api.create(CONFIG_MAPS, config_map("a"), dryRun="All")
    await api.create(CONFIG_MAPS, config_map("a"))


async def test_a_priority_class_gives_its_value(api: Api) -> None:
    root = "/apis/scheduling.k8s.io/v1/priorityclasses"
    await api.create(root, {"metadata": {"name": "high"}, "value": 1000})
    made = await api.create(PODS, pod("a", priorityClassName="high"))
    assert made["spec"]["priority"] == 1000
    plain = await api.create(PODS, pod("b"))
    assert plain["spec"]["priority"] == 0
    assert plain["spec"]["preemptionPolicy"] == "PreemptLowerPriority"
    reply = await api.create(PODS, pod("c", priorityClassName="none"), status=403)
    assert "no PriorityClass with name none was found" in reply["message"]


async def test_pods_tolerate_a_lost_node_for_a_while(api: Api) -> None:
    made = await api.create(PODS, pod("a"))
    assert [one["tolerationSeconds"] for one in made["spec"]["tolerations"]] == [300, 300]
    changed = await api.patch(f"{PODS}/a", {"metadata": {"labels": {"x": "y"}}})
    assert len(changed["spec"]["tolerations"]) == 2


async def test_a_namespace_holds_pods_to_a_standard(api: Api) -> None:
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    await api.patch("/api/v1/namespaces/default", {"metadata": {"labels": labels}})
    reply = await api.create(PODS, pod("a"), status=403)
    assert reply["message"].startswith(
        'pods "a" is forbidden: violates PodSecurity "restricted:latest": '
        'allowPrivilegeEscalation != false (container "app" must set '
        "securityContext.allowPrivilegeEscalation=false), unrestricted capabilities"
    )
    good = pod("a")
    good["spec"]["securityContext"] = {
        "runAsNonRoot": True,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    good["spec"]["containers"][0]["securityContext"] = {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
    }
    await api.create(PODS, good)


async def test_the_default_class_and_protection_come_with_a_claim(api: Api) -> None:
    made = {
        "metadata": {
            "name": "standard",
            "annotations": {"storageclass.kubernetes.io/is-default-class": "true"},
        },
        "provisioner": "example.com/x",
    }
    await api.create("/apis/storage.k8s.io/v1/storageclasses", made)
    wish = {
        "metadata": {"name": "c"},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "1Gi"}},
        },
    }
    claim = await api.create(f"{NAMESPACED}/persistentvolumeclaims", wish)
    assert claim["spec"]["storageClassName"] == "standard"
    assert claim["metadata"]["finalizers"] == ["kubernetes.io/pvc-protection"]


async def test_a_runtime_class_adds_its_overhead(api: Api) -> None:
    found = {
        "metadata": {"name": "vm"},
        "handler": "vm",
        "overhead": {"podFixed": {"memory": "64Mi"}},
        "scheduling": {"nodeSelector": {"vm": "yes"}},
    }
    await api.create("/apis/node.k8s.io/v1/runtimeclasses", found)
    made = await api.create(PODS, pod("a", runtimeClassName="vm"))
    assert made["spec"]["overhead"] == {"memory": "64Mi"}
    assert made["spec"]["nodeSelector"] == {"vm": "yes"}
    reply = await api.create(PODS, pod("b", runtimeClassName="none"), status=403)
    assert 'RuntimeClass "none" not found' in reply["message"]
