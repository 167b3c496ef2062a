"""The one door to private interfaces of Lightning, torch and TensorBoard.

A release of theirs may change what is private without a word. So each such name is used in this
room alone (the parser's in `command/`), as is what is replaced in Wasmtime, and each module here
lists its own: what it saves or gives, and what happens without it.

With the environment variable `DESCENTLAB_PLAIN=1` every trick that is there for speed alone is off:
all goes the public way, slower and with the same results.
"""

import os
from typing import Final

SPEED_TRICKS: Final = os.environ.get("DESCENTLAB_PLAIN", "0") in ("", "0")
"""Whether private interfaces are used for speed; looked at once, when the package is imported."""
