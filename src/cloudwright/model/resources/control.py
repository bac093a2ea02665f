"""What governs the API itself: admission, extensions, certificates, leases, flow control."""

from __future__ import annotations

from cloudwright.model.resources.resource import resource

_ADMISSION = "admissionregistration.k8s.io/v1"
_FLOW = "flowcontrol.apiserver.k8s.io/v1"
_EXTENSIONS = "api-extensions"

API_SERVICE = resource(
    "apiregistration.k8s.io/v1",
    "APIService",
    "apiservices",
    categories=_EXTENSIONS,
    subs="status",
    namespaced=False,
)
CERTIFICATE_SIGNING_REQUEST = resource(
    "certificates.k8s.io/v1",
    "CertificateSigningRequest",
    "certificatesigningrequests",
    short="csr",
    subs="approval status",
    namespaced=False,
)
CUSTOM_RESOURCE_DEFINITION = resource(
    "apiextensions.k8s.io/v1",
    "CustomResourceDefinition",
    "customresourcedefinitions",
    short="crd crds",
    categories=_EXTENSIONS,
    subs="status",
    namespaced=False,
)
FLOW_SCHEMA = resource(_FLOW, "FlowSchema", "flowschemas", subs="status", namespaced=False)
LEASE = resource("coordination.k8s.io/v1", "Lease", "leases")
MUTATING_ADMISSION_POLICY = resource(
    _ADMISSION,
    "MutatingAdmissionPolicy",
    "mutatingadmissionpolicies",
    categories=_EXTENSIONS,
    namespaced=False,
)
MUTATING_ADMISSION_POLICY_BINDING = resource(
    _ADMISSION,
    "MutatingAdmissionPolicyBinding",
    "mutatingadmissionpolicybindings",
    categories=_EXTENSIONS,
    namespaced=False,
)
MUTATING_WEBHOOK_CONFIGURATION = resource(
    _ADMISSION,
    "MutatingWebhookConfiguration",
    "mutatingwebhookconfigurations",
    categories=_EXTENSIONS,
    namespaced=False,
)
PRIORITY_LEVEL_CONFIGURATION = resource(
    _FLOW,
    "PriorityLevelConfiguration",
    "prioritylevelconfigurations",
    subs="status",
    namespaced=False,
)
VALIDATING_ADMISSION_POLICY = resource(
    _ADMISSION,
    "ValidatingAdmissionPolicy",
    "validatingadmissionpolicies",
    categories=_EXTENSIONS,
    subs="status",
    namespaced=False,
)
VALIDATING_ADMISSION_POLICY_BINDING = resource(
    _ADMISSION,
    "ValidatingAdmissionPolicyBinding",
    "validatingadmissionpolicybindings",
    categories=_EXTENSIONS,
    namespaced=False,
)
VALIDATING_WEBHOOK_CONFIGURATION = resource(
    _ADMISSION,
    "ValidatingWebhookConfiguration",
    "validatingwebhookconfigurations",
    categories=_EXTENSIONS,
    namespaced=False,
)

ADMISSION = (
    *(MUTATING_ADMISSION_POLICY, MUTATING_ADMISSION_POLICY_BINDING),
    *(MUTATING_WEBHOOK_CONFIGURATION, VALIDATING_ADMISSION_POLICY),
    *(VALIDATING_ADMISSION_POLICY_BINDING, VALIDATING_WEBHOOK_CONFIGURATION),
)
FLOW_CONTROL = (FLOW_SCHEMA, PRIORITY_LEVEL_CONFIGURATION)
