"""httpx without its own command line, which it loads where rich and pygments are installed: a tenth of the time that a
command of ours takes to start, and of use to none. Without them httpx does by itself what this has it do."""

from __future__ import annotations

import sys

_COMMAND_LINE = "httpx._main"

if "httpx" not in sys.modules:
    sys.modules[_COMMAND_LINE] = None  # type: ignore[assignment]  # how the language has an import fail
    try:
        import httpx
    finally:
        del sys.modules[_COMMAND_LINE]
else:
    import httpx

__all__ = ["httpx"]
