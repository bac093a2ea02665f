"""What a filter's author sees: the base class, its declarations, and the messages it may change."""
