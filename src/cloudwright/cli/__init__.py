"""One file per verb; renders, never decides."""
