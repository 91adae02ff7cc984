"""Running a workflow: checks of settings, repeated runs in one process, and errors in one line."""
