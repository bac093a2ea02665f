"""Identities, certificates, routes: what every proxy is told."""
