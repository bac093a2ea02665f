"""CEL admission policies: ``ValidatingAdmissionPolicy`` and ``MutatingAdmissionPolicy``.

https://kubernetes.io/docs/reference/access-authn-authz/validating-admission-policy/
"""
