"""Sentences from which something is to be read."""

# ruff: noqa: E501 (tables of phrases)

from __future__ import annotations

OPINIONS = ("The {x} was {a}.", "The {x} is {a} and {b}.", "What a {a} {x}!", "This {x} is really {a}.", "I think the {x} was {a}.",
            "My {x} is {a}.", "Such a {a} {x}, so {b}!")  # fmt: skip

EXTRACTS = {
    "email": (
        "Contact {v} for info.",
        "Please write to {v}.",
        "My address is {v}, thanks.",
        "contact {v} for info",
        "Send it to {v} today",
    ),
    "date": ("The party is on {v}.", "We meet on {v} in the park.", "The deadline is {v}!", "Born on {v} in Rome."),
    "phone number": ("Call me at {v}.", "My number is {v}, call me.", "For help call {v} now.", "Phone: {v}"),
    "number": (
        "There are {v} books on the shelf.",
        "We need {v} more chairs.",
        "The answer is {v}.",
        "I saw {v} birds today.",
    ),
    "city": ("I moved to {v} last year.", "The train to {v} is late.", "She works in {v} as a baker.", "We love {v}!"),
    "name": (
        "My friend {v} is a painter.",
        "The teacher {v} lives in a big house.",
        "Yesterday {v} bought a car.",
        "Hello, this is {v}.",
    ),
    "color": (
        "She has a {v} car.",
        "The door is {v}.",
        "I bought a {v} shirt yesterday.",
        "Paint the wall {v}, please.",
    ),
    "URL": ("See {v} for more.", "The page is at {v}", "Visit {v} today!", "Click here: {v}"),
    "price": ("The lamp costs {v}.", "I paid {v} for it.", "It is only {v}!", "The price is {v} for two."),
    "animal": ("I saw a {v} in the forest.", "The {v} runs very fast.", "My neighbor has a {v}.", "Look at the {v}!"),
}
