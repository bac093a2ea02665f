"""What runs pods, scales them and protects them: apps, batch, autoscaling, policy, scheduling."""

from __future__ import annotations

from cloudwright.model.resources.resource import resource

CONTROLLER_REVISION = resource("apps/v1", "ControllerRevision", "controllerrevisions")
DAEMON_SET = resource(
    "apps/v1", "DaemonSet", "daemonsets", short="ds", categories="all", subs="status"
)
DEPLOYMENT = resource(
    "apps/v1", "Deployment", "deployments", short="deploy", categories="all", subs="status scale"
)
REPLICA_SET = resource(
    "apps/v1", "ReplicaSet", "replicasets", short="rs", categories="all", subs="status scale"
)
STATEFUL_SET = resource(
    "apps/v1", "StatefulSet", "statefulsets", short="sts", categories="all", subs="status scale"
)
HORIZONTAL_POD_AUTOSCALER = resource(
    "autoscaling/v2",
    "HorizontalPodAutoscaler",
    "horizontalpodautoscalers",
    short="hpa",
    categories="all",
    subs="status",
)
HORIZONTAL_POD_AUTOSCALER_V1 = resource(
    "autoscaling/v1",
    "HorizontalPodAutoscaler",
    "horizontalpodautoscalers",
    short="hpa",
    categories="all",
    subs="status",
)
CRON_JOB = resource("batch/v1", "CronJob", "cronjobs", short="cj", categories="all", subs="status")
JOB = resource("batch/v1", "Job", "jobs", categories="all", subs="status")
POD_DISRUPTION_BUDGET = resource(
    "policy/v1", "PodDisruptionBudget", "poddisruptionbudgets", short="pdb", subs="status"
)
PRIORITY_CLASS = resource(
    "scheduling.k8s.io/v1", "PriorityClass", "priorityclasses", short="pc", namespaced=False
)
RUNTIME_CLASS = resource("node.k8s.io/v1", "RuntimeClass", "runtimeclasses", namespaced=False)

APPS = (CONTROLLER_REVISION, DAEMON_SET, DEPLOYMENT, REPLICA_SET, STATEFUL_SET)
AUTOSCALING = (HORIZONTAL_POD_AUTOSCALER, HORIZONTAL_POD_AUTOSCALER_V1)
BATCH = (CRON_JOB, JOB)
