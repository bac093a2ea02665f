"""Reconciler[T] and the controllers, one file each."""
