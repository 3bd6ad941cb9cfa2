"""Which chat template a model gets."""

from __future__ import annotations

import difflib
import re
from functools import cache
from pathlib import Path

from shimmy.errors import InvalidRequestError

MAX_TEMPLATE_BYTES = 1024 * 1024

_FALLBACK = "chatml"
# The first match decides: fine-tunes that changed the format of their base come before the bases.
_BY_NAME: tuple[tuple[str, str], ...] = (
    (r"chatml|hermes|dolphin|openorca|qwen|smollm", "chatml"),
    (r"openchat|starling", "openchat"),
    (r"llama-?3", "llama3"),
    (r"gemma", "gemma"),
    (r"phi-?[34]", "phi"),
    (r"mistral|mixtral", "mistral"),
)
_BY_ARCHITECTURE: tuple[tuple[str, str], ...] = (
    (r"gemma", "gemma"),
    (r"phi3|phimoe", "phi"),
    (r"mistral", "mistral"),
)


# What only templates of that family write, in whatever language they are.
_BY_MARK: tuple[tuple[str, str], ...] = (
    ("<|im_start|>", "chatml"),
    ("GPT4 Correct ", "openchat"),
    ("<|start_header_id|>", "llama3"),
    ("<start_of_turn>", "gemma"),
    ("<|end|>", "phi"),
    ("[INST]", "mistral"),
)


def choose_template(
    architecture: str | None, model_name: str | None, option: str | None, *, has_own: bool, foreign: str | None = None
) -> str | None:
    """Jinja source of the chat template to load a model with, or None for the model's own.

    `option` (a family's name or a Jinja file) wins; then the model's own, when it `has_own`; then the family told from
    a `foreign` template (one that is not Jinja, such as Ollama's), from the model's name and architecture; then
    ChatML. Raises InvalidRequestError (param "chat_template") for an option that is neither a family nor a readable
    file.
    """
    if option is not None:
        return family_template(option) if option in families() else _read_template(option)
    if has_own:
        return None
    family = foreign_family(foreign) if foreign else None
    return family_template(family or _family(architecture or "", model_name or ""))


def foreign_family(template: str) -> str | None:
    """The family of a template in another language, by the marks that it writes; None when they tell nothing."""
    return next((family for mark, family in _BY_MARK if mark in template), None)


@cache
def families() -> tuple[str, ...]:
    """The names of the families, sorted."""
    return tuple(sorted(file.stem for file in Path(__file__).parent.glob("*.jinja")))


def family_template(name: str) -> str:
    """The Jinja source of a family."""
    return (Path(__file__).parent / f"{name}.jinja").read_text(encoding="utf-8")


def _family(architecture: str, model_name: str) -> str:
    name = re.sub(r"[^a-z0-9]+", "-", model_name.lower())
    for text, table in ((name, _BY_NAME), (architecture.lower(), _BY_ARCHITECTURE)):
        for pattern, family in table:
            if re.search(pattern, text):
                return family
    return _FALLBACK


def _read_template(option: str) -> str:
    path = Path(option).expanduser()
    try:
        if path.is_file() and path.stat().st_size > MAX_TEMPLATE_BYTES:
            raise InvalidRequestError(
                f"chat template {option}: larger than {MAX_TEMPLATE_BYTES} bytes", param="chat_template"
            )
        return path.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        close = difflib.get_close_matches(option.lower(), families(), n=1)
        hint = f" Did you mean {close[0]}?" if close else ""
        raise InvalidRequestError(
            f"chat template {option!r} is no file and none of {', '.join(families())}.{hint}", param="chat_template"
        ) from None
    except OSError as error:
        raise InvalidRequestError(f"chat template {option}: {error.strerror}", param="chat_template") from error
    except UnicodeDecodeError as error:
        raise InvalidRequestError(f"chat template {option}: not UTF-8 text ({error})", param="chat_template") from error
