"""The pod network of one machine: namespaces, addresses, packet rules.

``driver.BridgeNetwork`` gives each pod a network namespace of its own with one address on a bridge.
Default deny: the kernel lets nothing into a pod but its sidecar's port, and nothing out of the
machine that did not ask for it. Speaks rtnetlink and nftables; ``probe`` tells what the kernel
offers of both. The names of what it makes in the kernel are in ``docs/reference/internals.md``.
"""
