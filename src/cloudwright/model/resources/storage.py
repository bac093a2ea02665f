"""Volumes, their classes and drivers (``storage.k8s.io``) and devices (``resource.k8s.io``)."""

from __future__ import annotations

from cloudwright.model.resources.resource import resource

CSI_DRIVER = resource("storage.k8s.io/v1", "CSIDriver", "csidrivers", namespaced=False)
CSI_NODE = resource("storage.k8s.io/v1", "CSINode", "csinodes", namespaced=False)
CSI_STORAGE_CAPACITY = resource("storage.k8s.io/v1", "CSIStorageCapacity", "csistoragecapacities")
STORAGE_CLASS = resource(
    "storage.k8s.io/v1", "StorageClass", "storageclasses", short="sc", namespaced=False
)
VOLUME_ATTACHMENT = resource(
    "storage.k8s.io/v1", "VolumeAttachment", "volumeattachments", subs="status", namespaced=False
)
VOLUME_ATTRIBUTES_CLASS = resource(
    "storage.k8s.io/v1",
    "VolumeAttributesClass",
    "volumeattributesclasses",
    short="vac",
    namespaced=False,
)

DEVICE_CLASS = resource("resource.k8s.io/v1", "DeviceClass", "deviceclasses", namespaced=False)
RESOURCE_CLAIM = resource("resource.k8s.io/v1", "ResourceClaim", "resourceclaims", subs="status")
RESOURCE_CLAIM_TEMPLATE = resource(
    "resource.k8s.io/v1", "ResourceClaimTemplate", "resourceclaimtemplates"
)
RESOURCE_SLICE = resource("resource.k8s.io/v1", "ResourceSlice", "resourceslices", namespaced=False)

STORAGE = (
    *(CSI_DRIVER, CSI_NODE, CSI_STORAGE_CAPACITY, STORAGE_CLASS, VOLUME_ATTACHMENT),
    VOLUME_ATTRIBUTES_CLASS,
)
DEVICES = (DEVICE_CLASS, RESOURCE_CLAIM, RESOURCE_CLAIM_TEMPLATE, RESOURCE_SLICE)
