"""What a request allows when it does not fit its context: `context_policy`."""

from __future__ import annotations

from shimmy.errors import InvalidRequestError

ERROR = "error"
TRUNCATE_MIDDLE = "truncate_middle"
SHIFT = "shift"
BOTH = "truncate_middle+shift"
POLICIES = (ERROR, TRUNCATE_MIDDLE, SHIFT, BOTH)


def check_policy(policy: str, param: str = "context_policy") -> str:
    """`policy`, when it is one. InvalidRequestError (`param`) otherwise."""
    if policy not in POLICIES:
        raise InvalidRequestError(f"{param} must be one of {', '.join(POLICIES)}, got {policy!r}", param)
    return policy


def truncates(policy: str) -> bool:
    return policy in (TRUNCATE_MIDDLE, BOTH)


def shifts(policy: str) -> bool:
    return policy in (SHIFT, BOTH)


def policy_of(truncate: bool | None, shift: bool | None) -> str | None:
    """The policy that two flags mean; None when neither is set."""
    if truncate is None and shift is None:
        return None
    return (BOTH if shift else TRUNCATE_MIDDLE) if truncate else (SHIFT if shift else ERROR)


def prompt_limit(n_ctx: int, max_tokens: int | None) -> int:
    """Tokens that a prompt may have that can be cut: room is left for `max_tokens`, but at most half of the context; a
    quarter of it where the answer has no limit.
    """
    room = n_ctx // 4 if max_tokens is None else min(max(max_tokens, 1), n_ctx // 2)
    return n_ctx - room


def answer_limit(n_ctx: int, policy: str, max_tokens: int | None, min_tokens: int) -> int | None:
    """Tokens of an answer; None: until the context is full. One that may shift and has no limit of its own ends after
    ten times the context, as Ollama's do.
    """
    return max(10 * n_ctx, min_tokens) if max_tokens is None and shifts(policy) else max_tokens


def cut_step(n_ctx: int) -> int:
    """Conversations lose tokens in steps of about that many. One that grows then keeps its beginning for several turns,
    and finds it in the prefix cache.
    """
    return max(n_ctx // 8, 1)


def without_middle(tokens: list[int], limit: int, n_keep: int | None) -> list[int]:
    """`limit` of the tokens, of which there are more: the first `n_keep`, half of them when it is None, and the last.

    At least one is left at the end, which is what is to be continued.
    """
    head = limit // 2 if n_keep is None or n_keep < 0 else min(n_keep, limit - 1)
    return tokens[:head] + tokens[len(tokens) - (limit - head) :]
