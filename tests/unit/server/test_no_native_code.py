"""The server process never loads the native extension."""

from __future__ import annotations

import subprocess
import sys


def test_importing_the_server_does_not_import_the_extension() -> None:
    program = (
        "import sys, shimmy.server.app, shimmy.server.serve, shimmy.runner\n"
        "assert 'shimmy._core' not in sys.modules\n"
        "assert 'shimmy.async_engine' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
