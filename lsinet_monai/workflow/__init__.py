"""Running the bundle: its settings, their checks, repeated runs in one process, and how a run ends in one line."""
