"""The label app's rooms: what is stored, what runs, and what is served."""
