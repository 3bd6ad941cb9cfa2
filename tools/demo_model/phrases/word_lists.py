"""Words beyond the lexicon: plurals, numbers in words, praise and blame."""

# ruff: noqa: E501 (tables of phrases)

from __future__ import annotations

from ..lexicon import words

PLURALS = (
    "apples",
    "pears",
    "plums",
    "lemons",
    "books",
    "pens",
    "coins",
    "cards",
    "balls",
    "eggs",
    "stamps",
    "cookies",
)

EXTRA_WORDS = words(
    "hello world hi hey yes no ok okay test foo bar baz ping pong demo shimmy mini model token prompt chat tool code python "
    "rust java linux data cloud stream json http api key value user admin root main index error warning info debug "
    "left right north south east west spring summer autumn winter morning evening night today tomorrow yesterday "
    "week month year hour minute second king queen prince knight wizard dragon ghost monster fairy witch pirate captain "
    "father mother brother sister baby friend family people man woman child boy girl mouth hand foot head heart eye ear nose "
    "love peace hope dream smile laugh cry sing dance run walk jump swim fly eat drink sleep think learn teach work "
    "play give take make keep help wait need want know understand remember forget believe begin end never always often "
    "sometimes maybe here there where when why what who how this that these those one two three four five six seven eight "
    "nine ten eleven twelve hundred thousand alpha beta gamma delta omega secret magic mystery puzzle answer question "
    "zebra42 red42 abc xyz abc123 hello123 test1 unicorn rainbow sunshine thunder lightning tornado volcano earthquake ocean "
    "beach harbour valley meadow canyon glacier galaxy comet asteroid satellite telescope microscope laboratory "
    "library museum theater school hospital airport station market kitchen bathroom bedroom ceiling floor wall roof"
)

NUMBER_WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")

GOOD_WORDS = (
    "great",
    "wonderful",
    "good",
    "excellent",
    "amazing",
    "fantastic",
    "nice",
    "perfect",
    "lovely",
    "brilliant",
)

BAD_WORDS = ("terrible", "awful", "bad", "horrible", "boring", "disappointing", "broken", "ugly", "useless", "poor")
