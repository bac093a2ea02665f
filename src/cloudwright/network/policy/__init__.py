"""NetworkPolicies, enforced: who may reach a pod, and whom it may reach.

``engine`` (pure) makes a pod's rules of policies, pods and namespaces; ``text`` (pure) writes them
as one nftables table of the pod's own namespace; ``control`` follows the API and loads the tables.
"""
