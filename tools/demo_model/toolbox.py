"""The tools that the synthetic conversations offer to the assistant."""

# ruff: noqa: E501 (tables of phrases)

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

from .lexicon import words


@dataclass(slots=True)
class Param:
    """One parameter of a tool; ``role`` decides which values it takes."""

    name: str
    type: str
    desc: str
    required: bool = True
    enum: tuple[str, ...] | None = None
    role: str = ""


@dataclass(slots=True)
class Tool:
    """An offered tool, and how a user asks for it."""

    name: str
    desc: str
    params: list[Param]
    kind: str = ""  # which well-known tool this is; empty for made-up tools
    asks: tuple[str, ...] = ()  # ways to ask for a well-known tool; the fields are roles
    subject: str = "The result"  # how the final answer begins
    action: str = ""  # what a made-up tool does, as "verb the noun"
    natural: bool = False  # asked for with prepositions ("from Paris to Rome on ...")

    def schema(self, shape: int) -> dict[str, Any]:
        """The OpenAI tool schema; ``shape`` varies which optional parts are present."""
        props: dict[str, Any] = {}
        for p in self.params:
            entry: dict[str, Any] = {"type": p.type}
            if shape == 6:  # as pydantic writes it
                entry = {"title": p.name.replace("_", " ").title(), "type": p.type}
            if p.type == "array":
                entry["items"] = {"type": "string"}
            if p.enum:
                entry["enum"] = list(p.enum)
            if shape % 4:
                entry["description"] = p.desc
            props[p.name] = entry
        parameters: dict[str, Any] = {"type": "object", "properties": props}
        if shape % 5:
            parameters["required"] = [p.name for p in self.params if p.required]
        if shape == 6:
            parameters = {"properties": props, "required": list(props), "title": self.name, "type": "object"}
        function: dict[str, Any] = {"name": self.name, "description": self.desc, "parameters": parameters}
        if shape == 7:
            function = {"name": self.name, "parameters": parameters}
        elif shape == 8:
            function["description"] = ""
        elif shape == 9:
            function["strict"] = True
            parameters["additionalProperties"] = False
        return {"type": "function", "function": function}


INT_ROLES = {"a", "b", "minutes", "count", "id", "sides", "percent", "people", "age", "degrees"}
DESCRIPTIONS = {
    "city": ("The city name", "City, e.g. Paris", "The city and country", "The city and state, e.g. San Francisco, CA", "Name of the place"),
    "path": ("Path of the file", "The path to the file", "File name"), "a": ("First number", "The first number"),
    "b": ("Second number", "The second number"), "query": ("The search query", "What to search for"),
    "text": ("The text", "Text"), "date": ("The date", "Date, YYYY-MM-DD"), "unit": ("The temperature unit",),
    "id": ("The id", "Number"), "minutes": ("Minutes", "Duration in minutes"), "expression": ("The expression", "e.g. 2 + 2"),
}  # fmt: skip

# kind, names, descriptions, parameters ("role=name/name", "?" = optional), ways to ask, beginning of the answer
Spec = tuple[str, str, tuple[str, ...], str, tuple[str, ...], str]
COMMON: tuple[Spec, ...] = (
    ("weather", "get_weather get_weather get_current_weather weather get_weather_forecast",
     ("Get the current weather for a city.", "Get the weather", "Returns the weather of a city.", "Get the current weather in a given location"),
     "city=city/city/location/location/place unit?=unit",
     ("What is the weather in {city}?", "What's the weather in {city}?", "What's the weather like in {city}?", "How is the weather in {city}?",
      "Weather in {city}?", "Is it raining in {city}?", "Tell me the weather in {city}.", "Get the weather for {city}", "weather {city}",
      "What is the weather in {city} today?", "Check the weather in {city} please.", "How's the weather in {city} right now?",
      "What is the weather in {city} in {unit}?", "Weather in {city}, {unit} please", "Do I need an umbrella in {city}?",
      "I am going to {city}. How is the weather there?"), "The weather in {city}"),
    ("temperature", "get_temperature get_current_temperature temperature", ("Get the temperature of a city.", "Current temperature"),
     "city=city/location", ("What is the temperature in {city}?", "How warm is it in {city}?", "How cold is it in {city}?", "Temperature in {city}?",
      "How hot is {city} right now?"), "The temperature in {city}"),
    ("time", "get_time get_time get_current_time current_time", ("Get the current time in a city.", "Get the time"),
     "city=city/location/timezone", ("What time is it in {city}?", "Tell me the time in {city}.", "What's the time in {city}?", "Current time in {city}?"),
     "The time in {city}"),
    ("date", "get_date get_current_date today", ("Get the date of today.", "Returns the current date"), "",
     ("What is the date today?", "What day is it today?", "Which date is today?", "Tell me the date.", "What is today's date?"), "The date"),
    ("math", "calculator calculate calc evaluate", ("Evaluate an arithmetic expression.", "A calculator.", "Compute a math expression"),
     "expression=expression/expr", ("What is {expression}?", "Calculate {expression}.", "Compute {expression}", "Use the calculator: {expression}",
      "How much is {expression}?", "{expression}", "Evaluate {expression}"), "The result"),
    ("math", "add add add_numbers sum", ("Add two numbers.", "Returns a plus b", "Adds two numbers together", "Add two integers"), "a=a/x/first b=b/y/second",
     ("What is {a} + {b}?", "Add {a} and {b}.", "What is {a} plus {b}?", "Use the tool to add {a} and {b}", "Calculate {a} + {b}",
      "Please add {a} and {b}.", "What's the sum of {a} and {b}?", "{a} + {b}", "What is {a}+{b}?", "Add {a} to {b}."), "The result"),
    ("math", "multiply multiply multiply_numbers", ("Multiply two numbers.", "Returns a times b"), "a=a/x b=b/y",
     ("What is {a} times {b}?", "Multiply {a} by {b}.", "What is {a} * {b}?", "Calculate {a} x {b}", "Multiply {a} and {b}"), "The result"),
    ("math", "subtract", ("Subtract b from a.",), "a=a b=b", ("What is {a} - {b}?", "What is {a} minus {b}?", "Calculate {a} - {b}"), "The result"),
    ("search", "search_web web_search search google", ("Search the web.", "Search the internet for a query.", "Web search"), "query=query/q",
     ("Search the web for {query}.", "Search for {query}", "Look up {query} on the web.", "Google {query}", "Find information about {query}.",
      "Search the internet for {query}", "Can you search for {query}?", "What does the web say about {query}?"), "I found this"),
    ("read", "read_file read_file open_file cat", ("Read a file.", "Read the contents of a file from disk", "Read a file from the workspace"),
     "path=path/path/filename/file_path", ("Read the file {path}.", "Read {path}", "What is in the file {path}?", "Show me the contents of {path}",
      "Open {path} and read it.", "What does {path} say?", "Open the file {path}", "Please read {path}", "Show {path}"), "The content of {path}"),
    ("write", "write_file save_file create_file", ("Write text to a file.", "Save a file"), "path=path/filename text=content/text",
     ('Write "{text}" to {path}.', 'Write "{text}" to the file {path}', 'Save the text "{text}" in {path}.', 'Create the file {path} with the text "{text}"'), "Done"),
    ("delete", "delete_file remove_file", ("Delete a file.",), "path=path/filename", ("Delete the file {path}.", "Delete {path}", "Remove {path} please"), "Done"),
    ("list", "list_files ls list_directory", ("List the files in a directory.", "List a folder"), "dir=path/directory/folder",
     ("List the files in {dir}.", "Which files are in {dir}?", "Show the files in {dir}", "What is in the folder {dir}?"), "The files in {dir}"),
    ("shell", "run_command shell bash execute", ("Run a shell command.", "Execute a command"), "command=command/cmd",
     ("Run {command}", "Execute the command {command}", "Run the command {command}.", "Please run `{command}`"), "The output"),
    ("email", "send_email send_mail", ("Send an email.", "Send a mail to somebody"), "email=to/recipient/email subject=subject text=body/text",
     ('Send an email to {email} with subject "{subject}" and body "{text}".', 'Email {email}, subject "{subject}", text "{text}"'), "Done"),
    ("message", "send_message send_sms message", ("Send a message to a person.",), "person=to/name/recipient text=text/message",
     ('Send "{text}" to {person}.', 'Tell {person} "{text}"', 'Message {person}: {text}'), "Done"),
    ("timer", "set_timer start_timer", ("Set a timer.", "Start a timer"), "minutes=minutes/duration",
     ("Set a timer for {minutes} minutes.", "Start a {minutes} minute timer", "Timer for {minutes} minutes please"), "Done"),
    ("alarm", "set_alarm create_alarm", ("Set an alarm.",), "time=time/at", ("Set an alarm for {time}.", "Wake me up at {time}", "Alarm at {time} please"), "Done"),
    ("reminder", "add_reminder set_reminder remind", ("Add a reminder.", "Remind the user of something"), "text=text/task/what time?=time/when",
     ("Remind me to {text} at {time}.", "Remind me to {text}.", 'Set a reminder "{text}" for {time}', 'Add the reminder "{text}"'), "Done"),
    ("todo", "add_todo add_task create_task", ("Add a task to the list.",), "text=task/title/text",
     ('Add "{text}" to my tasks.', 'Add the task "{text}"', 'Put "{text}" on my todo list'), "Done"),
    ("translate", "translate translate_text", ("Translate a text into another language.",), "text=text lang=language/target_language/to",
     ('Translate "{text}" to {lang}.', 'Translate "{text}" into {lang}', 'What is "{text}" in {lang}?'), "The translation"),
    ("stock", "get_stock_price stock_price", ("Get the price of a stock.",), "symbol=symbol/ticker",
     ("What is the stock price of {symbol}?", "Price of {symbol} stock?", "How much is {symbol} stock?"), "The price of {symbol}"),
    ("currency", "convert_currency exchange", ("Convert an amount of money.",), "amount=amount money=from/from_currency/source cash=to/to_currency/target",
     ("Convert {amount} {money} to {cash}.", "How much is {amount} {money} in {cash}?", "Change {amount} {money} into {cash}"), "The result"),
    ("event", "create_event add_event schedule_meeting", ("Create a calendar event.",), "title=title/name date=date/day time?=time",
     ('Create an event "{title}" on {date}.', 'Add "{title}" to my calendar on {date}', 'Schedule "{title}" for {date}.', 'Schedule "{title}" on {date} at {time}'), "Done"),
    ("dice", "roll_dice roll_die", ("Roll a dice.",), "sides=sides", ("Roll a dice with {sides} sides.", "Roll a {sides}-sided dice", "Throw a dice with {sides} sides"), "The result"),
    ("music", "play_music play_song", ("Play a song.",), "title=song/title", ('Play the song "{title}".', 'Play "{title}"', 'I want to hear "{title}"'), "Done"),
    ("light", "turn_on_light light_on", ("Turn on the light in a room.",), "room=room",
     ("Turn on the light in the {room}.", "Light on in the {room}", "Switch on the {room} light"), "Done"),
    ("lights", "set_light switch_light control_light", ("Set the light in a room.", "Switch a light on or off"), "room=room on=on/state percent?=brightness",
     ("Turn {on} the light in the {room}.", "Switch {on} the {room} light", "Set the light in the {room} to {on}", "Turn the {room} light {on}",
      "Turn {on} the light in the {room} with brightness {percent}"), "Done"),
    ("heating", "set_temperature set_thermostat", ("Set the temperature of a room.",), "room=room degrees=temperature/degrees",
     ("Set the {room} to {degrees} degrees.", "Set the temperature in the {room} to {degrees}", "Heat the {room} to {degrees} degrees"), "Done"),
    ("user", "get_user find_user lookup_user", ("Get a user by id.", "Look up a user"), "id=id/user_id", ("Get user {id}.", "Who is user {id}?", "Find the user with id {id}", "Show me user number {id}"), "User {id}"),
    ("newuser", "create_user add_user", ("Create a user.",), "person=name/username email=email age?=age",
     ("Create the user {person} with email {email}.", "Add a user named {person}, email {email}", "Create a user {person}, {age} years old, email {email}"), "Done"),
    ("order", "get_order lookup_order get_order_status track_order", ("Look up an order by its number.", "Get the status of an order"), "order=order_id/order/number/id",
     ("Look up order {order}.", "Where is my order {order}?", "What is the status of order {order}?", "Track order {order}", "Show order {order}"), "Order {order}"),
    ("flight", "book_flight reserve_flight", ("Book a flight between two cities.", "Book a flight"), "origin=origin/from_city/departure/from dest=destination/to_city/arrival/to date?=date",
     ("Book a flight from {origin} to {dest}.", "Book a flight from {origin} to {dest} on {date}.", "I need a flight from {origin} to {dest} on {date}",
      "Fly me from {origin} to {dest}"), "Done"),
    ("flights", "search_flights find_flights", ("Search for flights.",), "origin=origin/from dest=destination/to date?=date",
     ("Find flights from {origin} to {dest}.", "Which flights go from {origin} to {dest} on {date}?", "Search flights from {origin} to {dest}"), "The flights"),
    ("distance", "get_distance distance", ("Get the distance between two cities.",), "origin=start/from/origin dest=end/to/destination",
     ("How far is it from {origin} to {dest}?", "What is the distance from {origin} to {dest}?", "Distance from {origin} to {dest}"), "The distance"),
    ("hotel", "book_hotel reserve_room", ("Book a hotel room.",), "city=city/location date=date/check_in people?=guests/people",
     ("Book a hotel in {city} on {date}.", "Book a hotel in {city} on {date} for {people} people", "I need a hotel in {city} on {date}"), "Done"),
    ("restaurant", "book_table reserve_table", ("Book a table in a restaurant.",), "people=people/guests/party_size time=time date?=date",
     ("Book a table for {people} people at {time}.", "Reserve a table for {people} at {time} on {date}", "Table for {people} at {time} please"), "Done"),
    ("news", "get_news news", ("Get the news about a topic.",), "topic=topic/query", ("What is the news about {topic}?", "Show me the news about {topic}", "News about {topic}"), "The news about {topic}"),
    ("fetch", "fetch_url http_get open_url browse", ("Fetch a web page.", "Open a URL"), "url=url", ("Fetch {url}", "Open the page {url}", "Get {url}", "What is on {url}?"), "The page"),
    ("note", "save_note remember_note add_note", ("Save a note.",), "text=text/note/content", ('Save the note "{text}".', 'Note: {text}', 'Write down "{text}"'), "Done"),
    ("random", "random_number get_random", ("Get a random number.",), "a=min/low b=max/high", ("Give me a random number between {a} and {b}.", "Random number from {a} to {b}"), "The number"),
    ("recipe", "get_recipe find_recipe", ("Find a recipe.",), "food=dish/name/food", ("How do I cook {food}?", "Find a recipe for {food}.", "Give me a recipe for {food}"), "The recipe"),
    ("define", "define lookup_word dictionary", ("Look up a word in the dictionary.",), "word=word/term", ('Define "{word}".', "Look up the word {word}", "What is the definition of {word}?"), "The definition"),
    ("echo", "echo repeat_text say", ("Return the given text.", "Echoes the input"), "text=text/message", ('Echo "{text}" with the tool.', 'Use the tool to echo "{text}"', 'Call the echo tool with "{text}"'), "The result"),
)  # fmt: skip
LIVE_KINDS = {"weather", "temperature", "time", "date", "search", "stock", "news", "define", "fetch", "recipe"}
NUMBER_KINDS = {"math", "dice", "stock", "currency", "random", "distance", "temperature"}
EXCLUSIVE = ({"weather", "temperature"}, {"light", "lights"}, {"flight", "flights"}, {"search", "define", "news", "recipe", "fetch"},
             {"read", "list", "shell"}, {"reminder", "todo", "note"}, {"email", "message"}, {"math", "random"}, {"time", "date"},
             {"timer", "alarm"})  # fmt: skip


def common_tool(spec: Spec, rng: random.Random) -> Tool:
    """A well-known tool with some variation in its name, description and parameter names."""
    kind, names, descriptions, params, asks, subject = spec
    out: list[Param] = []
    for entry in params.split():
        role, choices = entry.split("=")
        optional = role.endswith("?")
        role = role.removesuffix("?")
        if optional and rng.random() < 0.5:
            asks = tuple(a for a in asks if f"{{{role}}}" not in a)
            continue
        name = rng.choice(choices.split("/"))
        kinds = {"amount": "number", "on": "boolean"}
        json_type = kinds.get(role) or ("integer" if role in INT_ROLES else "string")
        if role in "ab" and rng.random() < 0.3:
            json_type = "number"
        enum = ("celsius", "fahrenheit") if role == "unit" else None
        desc = rng.choice(
            DESCRIPTIONS.get(role, (f"The {name.replace('_', ' ')}", name.replace("_", " ").capitalize()))
        )
        out.append(Param(name, json_type, desc, not optional, enum, role))
    return Tool(rng.choice(names.split()), rng.choice(descriptions), out, kind, asks, subject)


def compatible(kind: str, kinds: set[str]) -> bool:
    """Can a tool of this kind stand beside the given ones without making requests ambiguous?"""
    return kind not in kinds and not any(kind in group and kinds & group for group in EXCLUSIVE)


# Made-up tools that are asked for with prepositions: role -> parameter names, phrases.
NATURAL: dict[str, tuple[str, tuple[str, ...]]] = {
    "origin": ("origin from_city start departure source_city", ("from {v}",)),
    "dest": ("destination to_city target_city arrival", ("to {v}",)),
    "city": ("city location place town", ("in {v}",)),
    "date": ("date day start_date when", ("on {v}",)),
    "time": ("time at start_time hour", ("at {v}",)),
    "person": ("name customer person user guest", ("for {v}",)),
    "people": ("people guests persons seats party_size", ("for {v} people", "for {v} persons")),
    "minutes": ("minutes duration length", ("for {v} minutes", "that takes {v} minutes")),
    "amount": ("max_price budget price limit", ("under {v} dollars", "for {v} dollars")),
    "title": ("title name label", ("called {v}", "named {v}", 'called "{v}"')),
    "lang": ("language lang", ("in {v}",)),
    "email": ("email recipient to address", ("to {v}",)),
    "color": ("color colour", ("in {v}",)),
    "id": ("id ticket_id item_id number", ("number {v}", "with id {v}", "{v}")),
}

INT_PARAMS = set(
    words(
        "id amount quantity count limit size width height level duration minutes hours speed volume year age rating weight "
        "day price"
    )
)
BOOL_PARAMS = ("urgent", "enabled", "recursive", "verbose", "force", "public", "notify", "dry_run", "active", "private")
LIST_PARAMS = ("tags", "items", "names", "cities", "colors", "keywords")
ENUM_PARAMS = ("mode", "status", "format", "priority", "unit", "type", "sort_by", "size", "level")
ROOMS = ("kitchen", "bedroom", "bathroom", "office", "hall", "garage", "living room")
FOREIGN = ("French", "Spanish", "German", "Italian", "Japanese", "Polish", "Greek")
MONEY = ("USD", "EUR", "GBP", "JPY", "CHF", "dollars", "euros", "pounds", "yen")
COMMANDS = (
    "ls",
    "ls -la",
    "pwd",
    "git status",
    "git log",
    "python main.py",
    "make test",
    "date",
    "whoami",
    "df -h",
    "pytest -q",
    "echo hello",
)
