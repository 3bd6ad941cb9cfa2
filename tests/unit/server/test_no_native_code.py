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


def test_what_pulling_needs_is_imported_when_something_is_pulled() -> None:
    program = (
        "import sys, shimmy.server.app, shimmy.cli.pull, shimmy.library.pull\n"
        "assert not {'httpx', 'huggingface_hub', 'tomli_w'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
