"""The data plane on real sockets: sidecars back to back and the gateway, with real certificates."""
