"""The seconds that a person needs for single acts, by a keystroke-level model.

Card, Moran and Newell, "The Keystroke-Level Model for User Performance Time with Interactive Systems", CACM 1980.
"""

POINT, CLICK, KEY = 1.1, 0.2, 0.28
THINK = 1.35  # before a tool, a target or a confirmation
STROKE = 2.5
STROKE_LENGTH = 400  # pixels of the screen; a longer stroke takes longer in proportion
