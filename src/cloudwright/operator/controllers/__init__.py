"""The controllers, one file each: they read caches, ask an engine, and do what it says."""
