"""Run every entry of the handouts and write the report: `python scripts/reproduce.py --help`."""

import sys

from descentlab.handouts.command_line import main
from handouts import FIVE

if __name__ == "__main__":
    sys.exit(main(handouts=FIVE))
