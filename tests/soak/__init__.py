"""Load for long, while everything around changes: what is lost, and does memory stay flat?"""
