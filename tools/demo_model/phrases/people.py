"""Jobs, hobbies and people, and a glossary of things that users ask about."""

# ruff: noqa: E501 (tables of phrases)

from __future__ import annotations

JOBS = ("baker", "teacher", "doctor", "nurse", "pilot", "farmer", "painter", "writer", "cook", "driver", "singer", "lawyer",
        "plumber", "gardener", "waiter", "programmer", "scientist", "judge", "tailor", "sailor")  # fmt: skip

HOBBIES = ("swimming", "running", "chess", "reading", "cooking", "hiking", "painting", "dancing", "fishing", "singing",
           "tennis", "skiing", "gardening", "cycling", "yoga")  # fmt: skip

GLOSSARY: tuple[tuple[str, str, str], ...] = (
    (
        "machine learning",
        "Machine learning means that a computer learns from examples instead of fixed rules.",
        "Learning from examples",
    ),
    (
        "a neural network",
        "A neural network is a program with many numbers that are tuned with examples.",
        "A tuned program",
    ),
    ("a language model", "A language model is a program that predicts the next token of a text.", "A text predictor"),
    ("a token", "A token is a small piece of text, such as a word or a part of a word.", "A text piece"),
    ("a tokenizer", "A tokenizer splits text into tokens.", "A text splitter"),
    (
        "quantization",
        "Quantization stores the weights of a model with fewer bits, so that the model gets smaller.",
        "Fewer bits",
    ),
    ("a context window", "The context window is the number of tokens that a model can see at once.", "Visible tokens"),
    ("a KV cache", "A KV cache keeps the work done for earlier tokens, so that new tokens come faster.", "Saved work"),
    (
        "speculative decoding",
        "In speculative decoding a small draft model guesses tokens and the main model checks them.",
        "Guess and check",
    ),
    ("a chat template", "A chat template turns a list of messages into one prompt.", "Messages to prompt"),
    (
        "temperature",
        "The temperature says how random the next token is: at 0 the model always takes the best one.",
        "Randomness",
    ),
    ("a prompt", "A prompt is the text that you give to a model.", "Input text"),
    ("an API", "An API is a set of rules that lets programs talk to each other.", "Program rules"),
    ("a server", "A server is a program that answers requests of other programs.", "A program"),
    ("JSON", "JSON is a simple text format for data.", "Data format"),
    ("HTTP", "HTTP is the protocol of the web.", "Web protocol"),
    ("recursion", "Recursion means that a function calls itself.", "Self calling"),
    ("an algorithm", "An algorithm is a list of steps that solves a problem.", "Solving steps"),
    ("a GPU", "A GPU is a chip that does many calculations at the same time.", "A fast chip"),
    ("a CPU", "A CPU is the main chip of a computer.", "Main chip"),
    ("a computer", "A computer is a machine that runs programs.", "A machine"),
    ("the internet", "The internet is a network that connects computers all over the world.", "A network"),
    ("gravity", "Gravity is the force that pulls things to the ground.", "A force"),
    ("the Sun", "The Sun is the star at the center of our solar system.", "A star"),
    ("the Moon", "The Moon goes around the Earth.", "Earth's satellite"),
)

PEOPLE: tuple[tuple[str, str, str], ...] = (
    ("Albert Einstein", "Albert Einstein was a physicist who developed the theory of relativity.", "A physicist"),
    ("Isaac Newton", "Isaac Newton was a scientist who described gravity.", "A scientist"),
    ("Marie Curie", "Marie Curie was a scientist who studied radioactivity.", "A scientist"),
    ("Leonardo da Vinci", "Leonardo da Vinci was an artist who painted the Mona Lisa.", "An artist"),
    ("William Shakespeare", "William Shakespeare was a writer who wrote Hamlet.", "A writer"),
    ("Wolfgang Amadeus Mozart", "Wolfgang Amadeus Mozart was a composer from Austria.", "A composer"),
    ("Charles Darwin", "Charles Darwin was a scientist who described evolution.", "A scientist"),
    ("Ada Lovelace", "Ada Lovelace was the first computer programmer.", "A programmer"),
    ("Alan Turing", "Alan Turing was a pioneer of computer science.", "A computer pioneer"),
    ("Neil Armstrong", "Neil Armstrong was the first person on the Moon.", "An astronaut"),
    ("Napoleon", "Napoleon was an emperor of France.", "An emperor"),
    ("Cleopatra", "Cleopatra was a queen of Egypt.", "A queen"),
)
