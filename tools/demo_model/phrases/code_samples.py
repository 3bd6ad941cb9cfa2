"""Python functions, names and code shapes."""

# ruff: noqa: E501 (tables of phrases)

from __future__ import annotations

from ..lexicon import words

PY_FUNCTIONS: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("add", "def {f}(a, b):\n    return a + b", ("adds two numbers", "returns the sum of two numbers")),
    ("subtract", "def {f}(a, b):\n    return a - b", ("subtracts two numbers", "returns the difference of two numbers")),
    ("multiply", "def {f}(a, b):\n    return a * b", ("multiplies two numbers", "returns the product of two numbers")),
    ("divide", "def {f}(a, b):\n    return a / b", ("divides two numbers", "returns the quotient of two numbers")),
    ("square", "def {f}(x):\n    return x * x", ("squares a number", "returns the square of a number")),
    ("is_even", "def {f}(n):\n    return n % 2 == 0", ("checks if a number is even", "tells whether a number is even")),
    ("is_odd", "def {f}(n):\n    return n % 2 == 1", ("checks if a number is odd", "tells whether a number is odd")),
    ("factorial", "def {f}(n):\n    result = 1\n    for i in range(2, n + 1):\n        result *= i\n    return result",
     ("computes the factorial of a number", "returns n factorial")),
    ("fibonacci", "def {f}(n):\n    a, b = 0, 1\n    for _ in range(n):\n        a, b = b, a + b\n    return a",
     ("computes the n-th Fibonacci number", "returns a Fibonacci number")),
    ("reverse_string", "def {f}(text):\n    return text[::-1]", ("reverses a string", "returns a string backwards")),
    ("is_palindrome", "def {f}(text):\n    return text == text[::-1]",
     ("checks if a string is a palindrome", "tells whether a word is a palindrome")),
    ("maximum", "def {f}(items):\n    best = items[0]\n    for item in items:\n        if item > best:\n"
     "            best = item\n    return best", ("finds the largest item of a list", "returns the maximum of a list")),
    ("minimum", "def {f}(items):\n    best = items[0]\n    for item in items:\n        if item < best:\n"
     "            best = item\n    return best", ("finds the smallest item of a list", "returns the minimum of a list")),
    ("total", "def {f}(items):\n    result = 0\n    for item in items:\n        result += item\n    return result",
     ("sums a list", "returns the sum of a list of numbers")),
    ("average", "def {f}(items):\n    return sum(items) / len(items)",
     ("computes the average of a list", "returns the mean of a list of numbers")),
    ("count_words", "def {f}(text):\n    return len(text.split())", ("counts the words in a text", "returns the number of words")),
    ("count_vowels", "def {f}(text):\n    return sum(1 for c in text.lower() if c in \"aeiou\")",
     ("counts the vowels in a string", "returns the number of vowels")),
    ("greet", "def {f}(name):\n    print(\"Hello, \" + name + \"!\")", ("greets a person", "prints a greeting")),
    ("hello_world", "def {f}():\n    print(\"Hello, world!\")", ("prints hello world", "says hello world")),
    ("unique", "def {f}(items):\n    return list(dict.fromkeys(items))",
     ("removes duplicates from a list", "returns the unique items of a list")),
    ("flatten", "def {f}(rows):\n    return [item for row in rows for item in row]",
     ("flattens a list of lists", "joins a list of lists into one list")),
    ("read_lines", "def {f}(path):\n    with open(path) as file:\n        return file.read().splitlines()",
     ("reads the lines of a file", "returns the lines of a text file")),
    ("clamp", "def {f}(x, low, high):\n    return max(low, min(x, high))",
     ("clamps a number to a range", "limits a number to a range")),
    ("to_celsius", "def {f}(f):\n    return (f - 32) * 5 / 9",
     ("converts Fahrenheit to Celsius", "turns degrees Fahrenheit into Celsius")),
    ("sort_list", "def {f}(items):\n    return sorted(items)", ("sorts a list", "returns a sorted list")),
    ("absolute", "def {f}(x):\n    return -x if x < 0 else x", ("returns the absolute value of a number",
     "computes the absolute value")),
    ("power", "def {f}(x, n):\n    return x ** n", ("raises a number to a power", "computes x to the power of n")),
    ("is_prime", "def {f}(n):\n    if n < 2:\n        return False\n    for d in range(2, n):\n        if n % d == 0:\n            return False\n    return True",
     ("checks if a number is prime", "tells whether a number is prime")),
    ("gcd", "def {f}(a, b):\n    while b:\n        a, b = b, a % b\n    return a",
     ("computes the greatest common divisor", "returns the greatest common divisor of two numbers")),
    ("word_count", "def {f}(text):\n    counts = {{}}\n    for word in text.split():\n        counts[word] = counts.get(word, 0) + 1\n    return counts",
     ("counts how often each word occurs", "returns the frequency of each word")),
    ("fizzbuzz", "def {f}(n):\n    for i in range(1, n + 1):\n        if i % 15 == 0:\n            print(\"FizzBuzz\")\n        elif i % 3 == 0:\n"
     "            print(\"Fizz\")\n        elif i % 5 == 0:\n            print(\"Buzz\")\n        else:\n            print(i)",
     ("plays FizzBuzz", "prints FizzBuzz up to n")),
    ("swap", "def {f}(a, b):\n    return b, a", ("swaps two values", "returns two values in swapped order")),
)  # fmt: skip

IDENTIFIERS = words(
    "a b c x y z n i total count value item result price left right first last name data size index limit score "
    "number width height length start end step rate amount speed text line word key total_price user_id max_value "
    "min_value file_name tmp acc current previous low high sum_value row col offset level target source"
)

CODE_SHAPES = (
    "def {f}({a}, {b}):\n    {c} = {a} + {b}\n    return {c}",
    "def {f}({a}, {b}):\n    {c} = {a} * {n}\n    {d} = {b} - {m}\n    return {c} + {d}",
    "def {f}({a}):\n    {b} = {n}\n    for {c} in {a}:\n        {b} += {c}\n    return {b}",
    "def {f}({a}, {b}):\n    if {a} > {b}:\n        return {a}\n    return {b}",
    "{a} = {n}\n{b} = {m}\n{c} = {a} + {b}\nprint({c})",
    "{a} = {n}\nwhile {a} < {m}:\n    {a} = {a} + 1\nprint({a})",
    "for {a} in range({n}):\n    {b} = {a} * {m}\n    print({a}, {b})",
    "def {f}({a}):\n    {b} = []\n    for {c} in {a}:\n        if {c} > {n}:\n            {b}.append({c})\n    return {b}",
    "class {F}:\n    def __init__(self, {a}, {b}):\n        self.{a} = {a}\n        self.{b} = {b}\n\n"
    "    def {f}(self):\n        return self.{a} + self.{b}",
    "def {f}({a}, {b}={n}):\n    {c} = {a} % {b}\n    if {c} == 0:\n        return {b}\n    {d} = {a} - {c}\n    return {d}",
    "{a} = [{n}, {m}]\n{b} = max({a})\n{c} = min({a})\nprint({b} - {c})",
    "def {f}({a}):\n    {b} = {a}.split()\n    {c} = len({b})\n    return {c} > {n}",
)
