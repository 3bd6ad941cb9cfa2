"""`python -m shimmy` is the same as `shimmy`."""

from __future__ import annotations

from shimmy.cli import main

if __name__ == "__main__":
    main()
