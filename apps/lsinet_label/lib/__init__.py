"""The parts of the label app: the store of videos, the jobs, and the server's routes."""
