"""The pod network of one machine: namespaces, addresses, packet rules."""
