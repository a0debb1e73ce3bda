"""Commands, a module each."""

import os

# Pydantic looks for plugins in all installed packages when it makes its first model, which takes
# about 20 ms of each start. It has none that a command here needs.
os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
