"""Shapes of stories and poems."""

# ruff: noqa: E501 (tables of phrases)

from __future__ import annotations

STORIES = (
    "Once upon a time, there was a {adj} {animal} named {name}. {name} lived in a {place} near a tall {tree}. One day, "
    '{name} found a {obj} under the leaves. "Whose {obj} is this?" asked {name}. {name} walked a long way and asked '
    'everyone. At last a little {friend} came and said, "That is my {obj}! Thank you for finding it." {name} was happy, '
    "and the {friend} became a good friend. From that day on, they played together in the {place} every day. The end.",
    "In a quiet {place} there lived a {animal} called {name}. {name} was very {adj} and loved to eat {food}. One morning "
    "the {food} was gone! {name} looked behind the {tree}, under the {obj} and inside the house. There was a {friend} with "
    'a full belly. "I am sorry," said the {friend}, "I was so hungry." {name} smiled and said, "Next time, please ask '
    'me, and we will share." So they made new {food} and ate it together. The end.',
    "{name} was a {adj} {animal} who wanted to see the world. One day {name} left the {place} with a {obj} and a bag of "
    '{food}. The road was long, and the night was dark. Then {name} met a {friend} who knew the way. "Follow me," said '
    'the {friend}, "and do not be afraid." Together they walked until the sun came up over the hills. The world was big '
    "and beautiful, but {name} was glad to come home again. The end.",
    "There was once a {animal} named {name} who could not sleep. The {place} was too quiet and the moon was too bright. "
    "{name} counted every star and every {tree}, but it did not help. Then a {adj} {friend} came by and began to sing a "
    'soft song about a {obj}. Slowly {name} closed both eyes. In the morning {name} said, "Thank you, my friend. Your song '
    'was better than {food}!" Since then the {friend} sings every night. The end.',
    "It was a cold winter day in the {place}. A {adj} {animal} named {name} saw a small {friend} who was shaking in the "
    'snow. "Come with me," said {name}, "my home is warm." They sat by the fire, and {name} shared some {food} and a '
    '{obj} to keep warm. When spring came, the {friend} brought a flower from the old {tree}. "This is for you," said '
    'the {friend}, "because you were kind to me." {name} never forgot that day. The end.',
)

TREES = ("tree", "oak", "pine", "willow", "bush")

ANY_STORY_Q = (
    "Tell me a story.", "Write a story.", "Write a short story.", "Tell me a short story", "Can you tell me a story?", "I want a story.",
    "Once upon a time", "A story please", "Make up a story.", "Read me a story.",
)  # fmt: skip

LONG_STORY_Q = (
    "Write a long story about a {animal}.",
    "Tell me a long story about a {animal}.",
    "I want a long story about a {animal}",
)

STORY_Q = (
    "Tell me a story about a {animal}.", "Write a short story about a {animal}.", "Tell me a short story about a {animal}",
    "Can you tell me a story about a {animal}?", "Write a story about a {animal}", "I want a story about a {animal}.",
    "Make up a story about a {animal}.", "Story about a {animal}, please.",
)  # fmt: skip

BEINGS = ("robot", "dragon", "wizard", "knight", "pirate", "princess", "king", "queen", "ghost", "boy", "girl", "witch", "monster",
          "unicorn", "giant", "sailor", "farmer", "baker", "doctor", "teacher", "computer", "snowman", "tree", "star", "cloud")  # fmt: skip

POEM = "The {x} is here, the day is new,\nThe sky above is wide and blue.\nI see the {x} and I sing,\nOf all the joy that it will bring."

HAIKU = "A quiet {x}\nThe morning sun is rising\nThe world is awake"

POEM_Q = (
    "Write a poem about {x}.",
    "Write a short poem about {x}.",
    "Can you write a poem about {x}?",
    "A poem about {x}, please.",
)

HAIKU_Q = ("Write a haiku about {x}.", "Make a haiku about {x}", "A haiku about {x}, please.")
