"""Suites of foreign standards and foreign clients, each beside the real thing."""
