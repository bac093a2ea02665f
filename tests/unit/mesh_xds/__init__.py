"""Tests of the xDS server (``cloudwright.mesh.xds``)."""
