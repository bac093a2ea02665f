"""The Kubernetes API on an embedded store.

Two halves. The core knows no HTTP: ``core.ApiCore`` turns a request of a known user into a reply
or a stream; ``store`` keeps the objects; ``verbs`` has one file for each verb; ``registry`` says
what is served, and grows with CustomResourceDefinitions; callers in the same process use
``local.LocalTransport``. The face (``server``, ``face``, ``streams``, ``discovery``, ``openapi``,
``tls``, ``authn``, ``authz``) speaks HTTPS in front of it.

Speaks the Kubernetes API conventions (v1.36). Alone: ``python -m cloudwright.apiserver``.
"""
