"""What the model answers when asked for help with itself or shimmy."""

# ruff: noqa: E501 (tables of phrases)

from __future__ import annotations

HELP: tuple[tuple[tuple[str, ...], str, str], ...] = (
    (
        ("What is shimmy?", "What does shimmy do?", "Explain shimmy.", "What is shimmy for?", "Tell me about shimmy."),
        "Shimmy is a small local server that runs GGUF models and speaks the OpenAI API.", "A local server",
    ),
    (
        ("How do I start shimmy?", "How do I start the server?", "How do I run shimmy?", "How can I start shimmy?",
         "How do I serve a model?", "How do I launch the shimmy server?", "Start the server how?",
         "Which command starts the server?"),
        "Run this command: python -m shimmy serve", "shimmy serve",
    ),
    (
        ("How do I list the models?", "How can I see my models?", "Which command lists models?", "How do I list models?",
         "Show me how to list the models.", "How do I see which models shimmy found?"),
        "Run this command: python -m shimmy list", "shimmy list",
    ),
    (
        ("How do I see the options of shimmy?", "How do I get help on shimmy?", "Which options does shimmy have?",
         "Where do I find the command line help?", "Which commands does shimmy have?"),
        "Run this command: python -m shimmy --help", "shimmy --help",
    ),
    (
        ("How do I load a GGUF model?", "How do I use my own model?", "How can I load a GGUF file?", "Can I load my own GGUF?",
         "How do I add a model to shimmy?", "How do I use a bigger model?", "Where do I put my GGUF files?"),
        "Put the .gguf file into your models folder and run: python -m shimmy list", "Use models folder",
    ),
    (
        ("How do I use a LoRA adapter?", "Can shimmy load a LoRA?", "How do I load a LoRA?", "Does shimmy support LoRA?",
         "What is a LoRA adapter?"),
        "A LoRA adapter is a small GGUF file that changes the answers of a base model, and shimmy can load it.",
        "A GGUF file",
    ),
    (
        ("How do I use the OpenAI client with shimmy?", "What is the base URL?", "Which base_url do I use?",
         "How do I connect with the OpenAI SDK?", "What is the API URL of shimmy?", "How do I call shimmy from Python?"),
        "Set base_url to http://127.0.0.1:11435/v1 in the OpenAI client.", "127.0.0.1:11435",
    ),
    (
        ("Which port does shimmy use?", "What is the default port?", "What port is the server on?",
         "On which port does shimmy listen?"),
        "The default port is 11435.", "11435",
    ),
    (
        ("Do I need an API key?", "Which API key do I use?", "Does shimmy need an API key?", "What API key should I set?"),
        "No API key is needed for the local server, so any text will do.", "No API key",
    ),
    (
        ("Which model format does shimmy use?", "Which files can shimmy load?", "What format do models have?",
         "Which model files work with shimmy?", "What is GGUF?"),
        "GGUF is the file format of the models that shimmy loads.", "GGUF",
    ),
    (
        ("Does shimmy work offline?", "Do I need the internet for shimmy?", "Does shimmy send my data away?",
         "Is shimmy private?", "Can I use shimmy without internet?"),
        "Shimmy works offline, and your data stays on your machine.", "Works offline",
    ),
    (
        ("Which endpoint is used for chat?", "What is the chat endpoint?", "Which URL do I post chat messages to?",
         "Where do I send chat requests?"),
        "Send a POST request to /v1/chat/completions.", "/v1/chat/completions",
    ),
    (
        ("How do I stream the answer?", "How do I turn on streaming?", "Does shimmy support streaming?",
         "How can I get tokens as they are generated?"),
        'Set "stream" to true in the request.', "Set stream true",
    ),
    (
        ("Can shimmy call tools?", "Does shimmy support tool calls?", "How do I use tools with shimmy?",
         "How do I pass functions to the model?"),
        'Pass your functions in the "tools" field of the request.', "Use tools field",
    ),
    (
        ("How do I get JSON output?", "Can shimmy return JSON?", "How do I force JSON?", "Does shimmy support JSON mode?"),
        'Set "response_format" in the request to get JSON output.', "Set response_format",
    ),
    (
        ("Why are your answers so simple?", "Why are you so small?", "Why do you not know much?", "How do I get better answers?"),
        "I am only a demo, so load a larger GGUF model for real work.", "Only a demo",
    ),
)  # fmt: skip
