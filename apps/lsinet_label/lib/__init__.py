"""The parts of the label app: the store of videos, the jobs, and the answers of the server."""
