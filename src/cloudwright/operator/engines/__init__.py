"""The controllers' decisions as pure functions: state and ``now`` in, actions and status out.

No clock, no socket, no randomness: what a controller would do can be asked without doing it.
"""
