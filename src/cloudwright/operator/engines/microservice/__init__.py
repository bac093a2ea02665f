"""The life cycle of a MicroService, pure: ``decide.decide`` turns one ``World`` into a plan."""
