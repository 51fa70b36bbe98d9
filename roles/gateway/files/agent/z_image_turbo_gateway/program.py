"""Which version of the program this is: the role restarts an agent that runs another one than is on disk."""

from pathlib import Path

REVISION = Path(__file__).parents[1].name  # the role gives every version a folder of its own
