"""`python -m cleanlens.parity`."""

import sys

from cleanlens.parity import main

if __name__ == "__main__":
    sys.exit(main())
