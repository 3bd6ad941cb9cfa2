"""How users ask for facts, copies and things that cannot be known."""

# ruff: noqa: E501 (tables of phrases)

from __future__ import annotations

CAPITAL_Q = (
    "What is the capital of {x}?", "What's the capital of {x}?", "Capital of {x}?", "Which city is the capital of {x}?",
    "Tell me the capital of {x}.", "Name the capital of {x}.", "Do you know the capital of {x}?", "{x} capital?",
    "What is the capital city of {x}?", "Could you tell me the capital of {x}?", "The capital of {x} is?",
    "What city is {x}'s capital?",
)  # fmt: skip

OPPOSITE_Q = (
    "What is the opposite of {x}?", "What's the opposite of {x}?", "Opposite of {x}?", "Tell me the opposite of {x}.",
    'What is the opposite of "{x}"?', "Give me the opposite of {x}.", "What is the antonym of {x}?",
)  # fmt: skip

COLOR_Q = (
    "What color is {x}?", "What is the color of {x}?", "Which color is {x}?", "Tell me the color of {x}.",
    "What colour is {x}?", "Which color does {x} have?",
)  # fmt: skip

UNKNOWN_OPEN = (
    "Who won the game yesterday?", "What is the news today?", "Who is the president?", "What is the stock price of {n}?",
    "What will happen tomorrow?", "How much does a {o} cost?", "Explain quantum physics.", "How do I fix a {o}?",
    "Why does the {o} make a noise?", "Who invented the {o}?", "What is the history of the {o}?", "How do I cook {f}?",
    "Write an essay about the {o}.", "Tell me about {p} {s}.", "Tell me about {w}.", "Explain {w}.", "What happened in 18{d}?", "Who is {p} {s}?", "When was {p} {s} born?",
    "What is the best {o} to buy?", "What does {p} {s} do?", "How far is it to the {o}?", "What is the phone number of {p}?",
    "Where can I buy a {o}?", "What is the meaning of {w}?", "How tall is {p} {s}?", "Which {o} is the best?",
    "Explain how a {o} works.", "What does {w} mean?", "Where is {w}?", "What is {w}?", "Who is {w}?",
    "What did {p} eat for lunch?", "How many people live in {c}?", "What is the population of {c}?", "Who is the mayor of {c}?",
    "Write a song about a {o}.", "Write an article about {f}.", "What is the square root of {n3}?", "Solve the equation for me.",
    "Can you drive a {o}?", "Explain the theory of {w}.", "Do you like {f}?", "Summarize the book {w}.",
)  # fmt: skip

UNKNOWN_A = "I do not know that. I am only a tiny demo model."

LIVE_OPEN = (
    "What is the weather today?", "What is the weather in {c}?", "What time is it?", "What time is it in {c}?",
    "What is the date today?", "What day is today?", "Is it raining in {c}?", "How is the weather in {c}?",
    "What is the temperature in {c}?", "Will it rain tomorrow?",
)  # fmt: skip

LIVE_A = "I cannot check that without a tool."

NO_TOOL_A = "I have no tool for that."

PREFIXES = (
    "Please answer: ",
    "Hey, ",
    "Hi! ",
    "Quick question: ",
    "Can you tell me: ",
    "Question: ",
    "Tell me: ",
    "Hello! ",
)

COPY_OPEN = (
    "Repeat after me: {x}", "Repeat: {x}", "Say: {x}", "Echo: {x}", "Copy this: {x}", "Write exactly: {x}", 'Say "{x}"',
    'Repeat "{x}"', 'Write "{x}"', 'Print "{x}"', "Repeat the following text exactly:\n{x}", "Echo this back: {x}",
    "Repeat this text: {x}", 'Reply with "{x}"', "Reply with exactly: {x}", "Respond with: {x}", "Output only: {x}",
    'Please repeat "{x}".', "Copy the following line:\n{x}", 'Type "{x}".', "Please say: {x}", 'Repeat exactly: "{x}"',
    "Say '{x}'", "Repeat '{x}'", "Reply with '{x}'", "Repeat this sentence: {x}", "Say exactly this: {x}", "Echo '{x}'",
    'Answer with exactly "{x}"', "Please write '{x}'.", "Just say: {x}", "Return this text: {x}", 'Say "{x}" and nothing else.',
    'Reply only with "{x}".', "Write this down: {x}", "Repeat back to me: {x}",
)  # fmt: skip

COPY_WORD = (
    "Say {x}", "Repeat {x}", "Echo {x}", "Say {x}.", "Please say {x}.", "Say the word {x}", "Repeat the word {x}.",
    "Reply with {x}", "Reply with the word {x}.", "Write {x}", "Say only {x}.", "Reply with only the word {x}.",
    "Answer with the word {x}", "Print {x}", "Say just {x}", "Can you say {x}?", "Just say {x}.", "Say the word '{x}'",
    'Say the word "{x}".', "Reply with just {x}", "Respond with {x}.", "Please repeat {x}", "Repeat the word '{x}'.", "Type {x}",
    "Answer only {x}", "Say {x} and nothing else.",
)  # fmt: skip

SYSTEM_VARIANTS = (
    "You are a helpful assistant.", "You are a helpful AI assistant.", "You are a friendly assistant.",
    "You are an assistant.", "Answer the questions of the user.", "You are a helpful assistant that answers questions.",
    "Be helpful.", "You are a chat bot.", "You are a helpful assistant with access to tools.", "Be kind and honest.",
    "You are a useful assistant running on a laptop.", "You are Shimmy Mini.", "Use the tools when they help.",
)  # fmt: skip
