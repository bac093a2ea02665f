"""Calls to webhooks: admission, conversion, audit and tokens share this door.

A webhook is given by a ``clientConfig`` (``admissionregistration.k8s.io/v1``,
``apiextensions.k8s.io/v1``): a URL, or a Service that is reached through the pods behind it.
"""
