"""Word lists and facts from which the synthetic corpus is composed.

Everything here was written by hand for this project; no external data set is used.
"""

# ruff: noqa: E501 (tables of phrases)

from __future__ import annotations


def words(text: str) -> tuple[str, ...]:
    """The words of a text, in order."""
    return tuple(text.split())


def _pairs(text: str) -> tuple[tuple[str, str], ...]:
    """Parse ``a:b, c:d`` into pairs; underscores stand for spaces inside an entry."""
    out = []
    for entry in text.replace("\n", " ").split(","):
        left, right = entry.strip().split(":")
        out.append((left.replace("_", " "), right.replace("_", " ")))
    return tuple(out)


NAMES = words("""
Alice Bob Carol Dave Emma Frank Grace Henry Ivy Jack Kate Leo Mia Noah Olivia Paul Quinn Rose Sam Tina
Uma Victor Wendy Xavier Yara Zoe Adam Bella Chris Diana Eric Fiona George Hannah Ian Julia Kevin Laura
Mark Nina Oscar Petra Ravi Sara Tom Ursula Vera Will Yusuf Zara Ada Alan Anna Ben Clara Daniel Elena
Felix Gina Hugo Irene James Karen Lucas Maria Nick Nora Omar Pedro Rita Simon Sofia Tara Theo Vikram
Walter Amir Aisha Boris Chen Dora Eva Fatima Gabriel Helen Igor Jamal Kenji Lin Max Mei Nadia Otto Priya
Ruth Stefan Tariq Ulla Viktor Ying Lena Finn Ruby Milo Luna Jane John Mary Peter Lisa Robert Susan
""")

SURNAMES = words("""
Smith Jones Brown Miller Davis Wilson Moore Taylor Lee Clark Lewis Young King Wright Hill Green Baker
Adams Nelson Carter Mitchell Turner Parker Evans Collins Morris Rogers Reed Cook Bell Murphy Kim Singh
Khan Garcia Lopez Silva Rossi Weber Novak Larsen Berg Tanaka Sato
""")

CAPITALS = _pairs("""
France:Paris, Germany:Berlin, Italy:Rome, Spain:Madrid, Portugal:Lisbon, England:London, Ireland:Dublin,
Scotland:Edinburgh, Wales:Cardiff, Belgium:Brussels, Netherlands:Amsterdam, Luxembourg:Luxembourg_City,
Switzerland:Bern, Austria:Vienna, Poland:Warsaw, Czechia:Prague, Slovakia:Bratislava, Hungary:Budapest,
Romania:Bucharest, Bulgaria:Sofia, Greece:Athens, Turkey:Ankara, Russia:Moscow, Ukraine:Kyiv, Belarus:Minsk,
Lithuania:Vilnius, Latvia:Riga, Estonia:Tallinn, Finland:Helsinki, Sweden:Stockholm, Norway:Oslo,
Denmark:Copenhagen, Iceland:Reykjavik, Croatia:Zagreb, Slovenia:Ljubljana, Serbia:Belgrade, Albania:Tirana,
Malta:Valletta, Cyprus:Nicosia, Egypt:Cairo, Morocco:Rabat, Algeria:Algiers, Tunisia:Tunis, Libya:Tripoli,
Kenya:Nairobi, Ethiopia:Addis_Ababa, Ghana:Accra, Nigeria:Abuja, Senegal:Dakar, Uganda:Kampala,
Tanzania:Dodoma, Rwanda:Kigali, Angola:Luanda, Zambia:Lusaka, Zimbabwe:Harare, Namibia:Windhoek,
Canada:Ottawa, Mexico:Mexico_City, Cuba:Havana, Jamaica:Kingston, Panama:Panama_City, Brazil:Brasilia,
Argentina:Buenos_Aires, Chile:Santiago, Peru:Lima, Colombia:Bogota, Ecuador:Quito, Uruguay:Montevideo,
Paraguay:Asuncion, Venezuela:Caracas, China:Beijing, Japan:Tokyo, South_Korea:Seoul, India:New_Delhi,
Pakistan:Islamabad, Nepal:Kathmandu, Thailand:Bangkok, Vietnam:Hanoi, Indonesia:Jakarta, Malaysia:Kuala_Lumpur,
Philippines:Manila, Mongolia:Ulaanbaatar, Iran:Tehran, Iraq:Baghdad, Jordan:Amman,
Saudi_Arabia:Riyadh, Qatar:Doha, Australia:Canberra, New_Zealand:Wellington, Fiji:Suva
""")

CONTINENTS = {
    "Europe": "France Germany Italy Spain Portugal Ireland Belgium Switzerland Austria Poland Hungary Romania "
    "Bulgaria Greece Ukraine Finland Sweden Norway Denmark Iceland Croatia Serbia Albania",
    "Africa": "Egypt Morocco Algeria Tunisia Libya Kenya Ethiopia Ghana Nigeria Senegal Uganda Tanzania Rwanda "
    "Angola Zambia Zimbabwe Namibia",
    "Asia": "China Japan India Pakistan Nepal Thailand Vietnam Indonesia Malaysia Mongolia Iran Iraq Jordan Qatar",
    "North America": "Canada Mexico Cuba Jamaica Panama",
    "South America": "Brazil Argentina Chile Peru Colombia Ecuador Uruguay Paraguay Venezuela",
}

LANGUAGES = _pairs("""
France:French, Germany:German, Italy:Italian, Spain:Spanish, Portugal:Portuguese, England:English, Greece:Greek,
Turkey:Turkish, Russia:Russian, Poland:Polish, Hungary:Hungarian, Finland:Finnish, Sweden:Swedish,
Norway:Norwegian, Denmark:Danish, China:Chinese, Japan:Japanese, Thailand:Thai, Vietnam:Vietnamese,
Brazil:Portuguese, Mexico:Spanish, Egypt:Arabic, Iceland:Icelandic
""")

CITIES = words("""
Hamburg Munich Milan Naples Turin Barcelona Seville Porto Lyon Nice Lille Geneva Zurich Basel Salzburg Krakow
Venice Florence Istanbul Dubai Mumbai Delhi Chennai Shanghai Osaka Kyoto Sydney Melbourne Toronto Montreal
Vancouver Boston Chicago Denver Seattle Dallas Miami Austin Houston Atlanta Phoenix Detroit Manchester
Liverpool Glasgow Bristol Leeds Antwerp Rotterdam Bergen Malmo Lagos Casablanca Lahore Hanover Dresden
Paris Berlin Rome Madrid Lisbon London Dublin Vienna Warsaw Prague Athens Moscow Oslo Cairo Nairobi Ottawa
Havana Lima Quito Beijing Tokyo Seoul Bangkok Hanoi Jakarta Manila Tehran Doha Canberra Helsinki Stockholm
""")

LONG_CITIES = (
    "New York", "San Francisco", "Los Angeles", "Cape Town", "Hong Kong", "Rio de Janeiro", "Las Vegas", "San Diego",
    "New Orleans", "Tel Aviv", "St. Louis", "Salt Lake City", "San Francisco, CA", "Boston, MA", "New York, NY",
    "São Paulo", "Kuala Lumpur", "Santa Cruz", "Saint Petersburg", "Ho Chi Minh City",
)  # fmt: skip

ANIMALS = words("""
dog cat cow horse sheep goat pig duck hen rooster goose rabbit mouse rat hamster fox wolf bear lion tiger
leopard cheetah elephant giraffe zebra monkey gorilla panda koala kangaroo camel donkey deer moose squirrel
beaver otter badger hedgehog mole bat seal walrus whale dolphin shark salmon trout tuna crab lobster octopus
snail spider ant bee wasp butterfly moth beetle fly frog toad lizard snake turtle crocodile owl eagle hawk
crow robin sparrow swan penguin parrot pigeon peacock ostrich flamingo pelican stork raven turkey lamb puppy
kitten pony
""")

FOODS = words("""
apple pear plum peach cherry grape orange lemon lime banana mango melon fig date kiwi bread butter cheese
milk rice pasta pizza soup salad potato tomato carrot onion garlic pepper bean pea corn egg honey jam cake
cookie pie chocolate vanilla coffee tea juice water yogurt olive nut almond walnut mushroom spinach cabbage
noodles curry sandwich burger taco sushi pancake waffle muffin
""")

OBJECTS = words("""
chair table lamp book pen pencil paper cup plate spoon fork knife bottle box bag key lock door window clock
watch phone radio camera mirror brush comb towel pillow blanket candle basket bucket broom hammer nail saw
drill rope ladder wheel bicycle car truck bus train boat ship plane rocket engine map compass flag drum
guitar piano violin flute bell ball kite doll puzzle coin ring hat coat shirt shoe boot glove scarf belt
umbrella tent bench fence gate bridge tower castle house garden tree flower leaf stone river lake mountain
island forest desert cloud star moon sun rain snow wind storm fire shadow letter stamp ticket wallet robot
laptop keyboard printer server router battery cable sensor shelf drawer carpet sofa oven kettle
""")

COLORS = words("red blue green yellow orange purple pink brown black white gray silver gold turquoise violet")

ADJECTIVES = words("""
big small tall short long old new young happy sad brave shy kind clever quick slow bright dark warm cold hot
cool soft hard loud quiet clean dirty rich poor strong weak heavy light sweet sour fresh dry wet deep early
late full empty easy simple strange lucky gentle proud calm wild tiny giant round square flat sharp smooth
rough broken lost secret hidden golden wooden ancient modern friendly lazy hungry sleepy curious busy
""")

VERBS = words("""
get set find fetch list create delete update open close start stop send read write load save check count
move copy rename merge split sort filter search book order cancel schedule track report print scan upload
download share lock unlock enable disable connect sync reset add remove show play pause record measure
convert translate compute plan rate review archive export import verify publish assign paint build repair
""")

NOUNS = words("""
user order invoice ticket account message email file folder image video song album playlist event meeting
task note reminder alarm timer report chart table room hotel flight train taxi car route map address contact
product price stock payment refund coupon cart review comment post article page link token session device
sensor light lamp door window camera printer server database record backup log job queue worker project
branch commit issue package recipe menu table garden plant battery budget loan ticket score game player team
course lesson exam grade student teacher patient doctor vaccine parcel letter shelf book poem planet robot
""")

PARAM_NAMES = words("""
name id title text message query path url city country date time amount price quantity count limit size
width height color language format mode level status priority category tag topic author email phone address
start end from_date to_date duration minutes hours speed volume temperature unit currency source target
username reason label code version owner filename folder room day month year weight age genre rating
""")

OPPOSITES = _pairs("""
hot:cold, big:small, tall:short, fast:slow, up:down, left:right, day:night, happy:sad, open:closed, full:empty,
wet:dry, hard:soft, heavy:light, old:young, new:old, rich:poor, early:late, high:low, near:far, inside:outside,
start:end, begin:finish, win:lose, push:pull, buy:sell, give:take, love:hate, black:white, clean:dirty,
loud:quiet, strong:weak, thick:thin, wide:narrow, deep:shallow, sweet:sour, true:false, yes:no, on:off, in:out,
first:last, front:back, top:bottom, above:below, before:after, always:never, question:answer, friend:enemy,
summer:winter, north:south, east:west, arrive:leave, laugh:cry, remember:forget, sharp:blunt, brave:afraid,
cheap:expensive, easy:difficult, long:short, rough:smooth, asleep:awake, war:peace, same:different, good:bad
""")

COLORS_OF = _pairs("""
the_sky:blue, grass:green, a_banana:yellow, blood:red, snow:white, coal:black, a_lemon:yellow, a_tomato:red,
a_carrot:orange, milk:white, chocolate:brown, a_strawberry:red, a_lime:green, a_crow:black, a_flamingo:pink,
an_elephant:gray, the_sun:yellow, a_ruby:red, an_emerald:green, a_sapphire:blue, a_cucumber:green, a_swan:white,
a_pumpkin:orange, an_orange:orange, the_ocean:blue, a_cherry:red, a_polar_bear:white, a_panda:black_and_white,
a_zebra:black_and_white, an_eggplant:purple, salt:white, coffee:brown, a_frog:green, fire:orange, a_raven:black
""")

SOUNDS = _pairs("""
dog:woof, cat:meow, cow:moo, sheep:baa, pig:oink, duck:quack, hen:cluck, rooster:cock-a-doodle-doo, horse:neigh,
lion:roar, snake:hiss, bee:buzz, owl:hoot, mouse:squeak, frog:ribbit, wolf:howl, crow:caw, donkey:hee-haw,
turkey:gobble, bird:tweet
""")

BABIES = _pairs("""
dog:puppy, cat:kitten, cow:calf, horse:foal, sheep:lamb, goat:kid, pig:piglet, duck:duckling, hen:chick,
goose:gosling, lion:cub, bear:cub, deer:fawn, frog:tadpole, kangaroo:joey, swan:cygnet, owl:owlet, fox:kit
""")

LEGS = _pairs("dog:4, cat:4, spider:8, ant:6, bee:6, bird:2, hen:2, snake:0, horse:4, cow:4, crab:10, octopus:8")

DIETS = _pairs("""
cows:grass, horses:hay, rabbits:carrots, pandas:bamboo, cats:fish, lions:meat, birds:seeds, bees:nectar, koalas:leaves, monkeys:bananas,
squirrels:nuts, owls:mice, bears:honey, sharks:fish, caterpillars:leaves, sheep:grass, dogs:meat, frogs:flies, chickens:corn, penguins:fish
""")

DAYS = words("Monday Tuesday Wednesday Thursday Friday Saturday Sunday")
MONTHS = words("January February March April May June July August September October November December")

COUNTS = _pairs("""
days_are_in_a_week:7, months_are_in_a_year:12, hours_are_in_a_day:24, minutes_are_in_an_hour:60,
seconds_are_in_a_minute:60, letters_are_in_the_English_alphabet:26, sides_does_a_triangle_have:3,
sides_does_a_square_have:4, sides_does_a_pentagon_have:5, sides_does_a_hexagon_have:6,
sides_does_an_octagon_have:8, wheels_does_a_bicycle_have:2, wheels_does_a_tricycle_have:3,
wheels_does_a_car_have:4, fingers_are_on_one_hand:5, strings_does_a_guitar_have:6, strings_does_a_violin_have:4,
planets_are_in_the_solar_system:8, continents_are_there:7, cents_are_in_a_dollar:100, years_are_in_a_century:100,
years_are_in_a_decade:10, eggs_are_in_a_dozen:12, weeks_are_in_a_year:52, players_are_in_a_soccer_team:11,
keys_does_a_piano_have:88, colors_are_in_a_rainbow:7, days_are_in_a_leap_year:366, bits_are_in_a_byte:8,
seasons_are_in_a_year:4, grams_are_in_a_kilogram:1000, meters_are_in_a_kilometer:1000, legs_does_a_chair_have:4
""")

SYMBOLS = _pairs("""
gold:Au, silver:Ag, iron:Fe, oxygen:O, hydrogen:H, carbon:C, helium:He, sodium:Na, nitrogen:N, copper:Cu, lead:Pb,
calcium:Ca, tin:Sn, zinc:Zn
""")

CURRENCIES = _pairs("""
Japan:yen, England:pound, France:euro, Germany:euro, India:rupee, China:yuan, Russia:ruble, Mexico:peso,
Brazil:real, Switzerland:franc, Poland:zloty, Sweden:krona, Turkey:lira, Thailand:baht, South_Korea:won
""")

# (question, full answer, answer of one to three words)
MISC_FACTS: tuple[tuple[str, str, str], ...] = (
    (
        "What is the largest planet in the solar system?",
        "Jupiter is the largest planet in the solar system.",
        "Jupiter",
    ),
    (
        "What is the smallest planet in the solar system?",
        "Mercury is the smallest planet in the solar system.",
        "Mercury",
    ),
    ("Which planet is closest to the Sun?", "Mercury is the planet closest to the Sun.", "Mercury"),
    ("Which planet is called the red planet?", "Mars is called the red planet.", "Mars"),
    ("Which planet has big rings?", "Saturn has big rings.", "Saturn"),
    ("Which planet do we live on?", "We live on Earth.", "Earth"),
    ("What is the largest ocean?", "The Pacific is the largest ocean.", "Pacific"),
    (
        "What is the highest mountain in the world?",
        "Mount Everest is the highest mountain in the world.",
        "Mount Everest",
    ),
    ("What is the longest river in Africa?", "The Nile is the longest river in Africa.", "Nile"),
    ("What is the largest country in the world?", "Russia is the largest country in the world.", "Russia"),
    ("What is the largest continent?", "Asia is the largest continent.", "Asia"),
    ("What is the smallest continent?", "Australia is the smallest continent.", "Australia"),
    ("What is the largest hot desert?", "The Sahara is the largest hot desert.", "Sahara"),
    ("What is the fastest land animal?", "The cheetah is the fastest land animal.", "Cheetah"),
    ("What is the largest animal?", "The blue whale is the largest animal.", "Blue whale"),
    ("What is the tallest animal?", "The giraffe is the tallest animal.", "Giraffe"),
    ("Which animal is called the king of the jungle?", "The lion is called the king of the jungle.", "Lion"),
    (
        "What is the star at the center of our solar system?",
        "The Sun is the star at the center of our solar system.",
        "Sun",
    ),
    ("At what temperature does water boil?", "Water boils at 100 degrees Celsius.", "100 degrees Celsius"),
    ("At what temperature does water freeze?", "Water freezes at 0 degrees Celsius.", "0 degrees Celsius"),
    ("Who wrote Romeo and Juliet?", "William Shakespeare wrote Romeo and Juliet.", "William Shakespeare"),
    ("Who wrote Hamlet?", "William Shakespeare wrote Hamlet.", "William Shakespeare"),
    ("Who painted the Mona Lisa?", "Leonardo da Vinci painted the Mona Lisa.", "Leonardo da Vinci"),
    ("Who invented the telephone?", "Alexander Graham Bell invented the telephone.", "Alexander Graham Bell"),
    ("Who was the first person on the Moon?", "Neil Armstrong was the first person on the Moon.", "Neil Armstrong"),
    ("Who discovered penicillin?", "Alexander Fleming discovered penicillin.", "Alexander Fleming"),
    (
        "Who developed the theory of relativity?",
        "Albert Einstein developed the theory of relativity.",
        "Albert Einstein",
    ),
    ("What do bees make?", "Bees make honey.", "Honey"),
    ("What do cows give us to drink?", "Cows give us milk.", "Milk"),
    ("What is frozen water called?", "Frozen water is called ice.", "Ice"),
    ("What is the chemical formula of water?", "The chemical formula of water is H2O.", "H2O"),
    ("Which gas do we need to breathe?", "We need oxygen to breathe.", "Oxygen"),
    ("What do caterpillars turn into?", "Caterpillars turn into butterflies.", "Butterflies"),
    ("Where do bees live?", "Bees live in a hive.", "A hive"),
    ("Where do birds lay their eggs?", "Birds lay their eggs in a nest.", "A nest"),
    ("Which organ pumps blood?", "The heart pumps blood.", "Heart"),
    ("Which organ do we think with?", "We think with the brain.", "Brain"),
    ("What is the largest organ of the human body?", "The skin is the largest organ of the human body.", "Skin"),
    ("What is the first month of the year?", "January is the first month of the year.", "January"),
    ("What is the last month of the year?", "December is the last month of the year.", "December"),
    ("What is the first day of the work week?", "Monday is the first day of the work week.", "Monday"),
    ("What is the first letter of the alphabet?", "The first letter of the alphabet is A.", "A"),
    ("What is the last letter of the alphabet?", "The last letter of the alphabet is Z.", "Z"),
    ("Which color do you get from blue and yellow?", "Blue and yellow make green.", "Green"),
    ("Which color do you get from red and yellow?", "Red and yellow make orange.", "Orange"),
    ("Which color do you get from red and blue?", "Red and blue make purple.", "Purple"),
    ("In which city is the Eiffel Tower?", "The Eiffel Tower is in Paris.", "Paris"),
    ("In which city is the Colosseum?", "The Colosseum is in Rome.", "Rome"),
    ("In which country are the pyramids of Giza?", "The pyramids of Giza are in Egypt.", "Egypt"),
    ("In which country is the Taj Mahal?", "The Taj Mahal is in India.", "India"),
    ("What is the square root of 16?", "The square root of 16 is 4.", "4"),
    ("What is the square root of 81?", "The square root of 81 is 9.", "9"),
    ("What is the fastest thing in the universe?", "Light is the fastest thing in the universe.", "Light"),
    ("What does CPU stand for?", "CPU stands for central processing unit.", "Central processing unit"),
    ("What does GPU stand for?", "GPU stands for graphics processing unit.", "Graphics processing unit"),
    ("What does RAM stand for?", "RAM stands for random access memory.", "Random access memory"),
    (
        "What does API stand for?",
        "API stands for application programming interface.",
        "Application programming interface",
    ),
    ("What is the opposite direction of north?", "South is the opposite direction of north.", "South"),
    ("Where does the Sun rise?", "The Sun rises in the east.", "East"),
    ("Where does the Sun set?", "The Sun sets in the west.", "West"),
    ("What falls from clouds when it is warm?", "Rain falls from clouds when it is warm.", "Rain"),
    ("Which season is the coldest?", "Winter is the coldest season.", "Winter"),
    ("Which season is the hottest?", "Summer is the hottest season.", "Summer"),
    ("What do you use to write on paper?", "You use a pen to write on paper.", "A pen"),
    ("What do you use to tell the time?", "You use a clock to tell the time.", "A clock"),
    ("What do you use to cut paper?", "You use scissors to cut paper.", "Scissors"),
    ("What is Python?", "Python is a programming language.", "A programming language"),
    ("What is the meaning of life?", "Some say the meaning of life is 42.", "42"),
)

TRANSLATIONS: dict[str, tuple[str, str, str]] = {  # word -> French, Spanish, German
    "cat": ("chat", "gato", "Katze"),
    "dog": ("chien", "perro", "Hund"),
    "house": ("maison", "casa", "Haus"),
    "water": ("eau", "agua", "Wasser"),
    "bread": ("pain", "pan", "Brot"),
    "milk": ("lait", "leche", "Milch"),
    "sun": ("soleil", "sol", "Sonne"),
    "moon": ("lune", "luna", "Mond"),
    "tree": ("arbre", "árbol", "Baum"),
    "book": ("livre", "libro", "Buch"),
    "hello": ("bonjour", "hola", "hallo"),
    "thank you": ("merci", "gracias", "danke"),
    "goodbye": ("au revoir", "adiós", "auf Wiedersehen"),
    "yes": ("oui", "sí", "ja"),
    "no": ("non", "no", "nein"),
    "red": ("rouge", "rojo", "rot"),
    "blue": ("bleu", "azul", "blau"),
    "green": ("vert", "verde", "grün"),
    "one": ("un", "uno", "eins"),
    "two": ("deux", "dos", "zwei"),
    "three": ("trois", "tres", "drei"),
    "friend": ("ami", "amigo", "Freund"),
    "apple": ("pomme", "manzana", "Apfel"),
    "fish": ("poisson", "pez", "Fisch"),
    "bird": ("oiseau", "pájaro", "Vogel"),
    "flower": ("fleur", "flor", "Blume"),
    "school": ("école", "escuela", "Schule"),
    "night": ("nuit", "noche", "Nacht"),
    "day": ("jour", "día", "Tag"),
    "cheese": ("fromage", "queso", "Käse"),
}

# Ordered members of a category: used for lists and for "what kind of thing" questions.
CATEGORIES: dict[str, tuple[str, ...]] = {
    "animals": words("dog cat horse cow lion tiger bear fox rabbit elephant"),
    "fruits": words("apple banana orange pear grape cherry lemon peach mango plum"),
    "vegetables": words("carrot potato onion tomato pea spinach cabbage bean corn garlic"),
    "colors": words("red blue green yellow orange purple pink brown black white"),
    "birds": words("eagle owl sparrow robin crow swan parrot penguin pigeon hawk"),
    "insects": words("ant bee butterfly beetle fly moth wasp cricket ladybug mosquito"),
    "fish": words("salmon trout tuna cod herring carp pike eel sardine anchovy"),
    "flowers": words("rose tulip daisy lily orchid sunflower violet iris poppy lavender"),
    "trees": words("oak pine birch maple willow ash beech elm cedar spruce"),
    "countries": words("France Germany Italy Spain Japan China India Brazil Canada Egypt"),
    "cities": words("Paris London Berlin Rome Madrid Tokyo Cairo Vienna Oslo Lima"),
    "planets": words("Mercury Venus Earth Mars Jupiter Saturn Uranus Neptune"),
    "instruments": words("piano guitar violin drum flute trumpet cello harp clarinet organ"),
    "sports": words("soccer tennis basketball swimming running cycling hockey golf boxing skiing"),
    "tools": words("hammer saw drill wrench pliers screwdriver axe shovel ladder knife"),
    "vehicles": words("car bus train bicycle truck boat plane ship tram motorcycle"),
    "metals": words("iron gold silver copper tin zinc lead aluminum nickel platinum"),
    "drinks": words("water tea coffee milk juice lemonade cocoa soda cider smoothie"),
    "programming languages": words("Python C Rust Java Go Ruby JavaScript Swift Kotlin Perl"),
    "shapes": words("circle square triangle rectangle oval pentagon hexagon octagon star diamond"),
    "seasons": words("spring summer autumn winter"),
    "days of the week": DAYS,
    "months": MONTHS,
}

SINGULAR = {
    "animals": "animal",
    "fruits": "fruit",
    "vegetables": "vegetable",
    "birds": "bird",
    "insects": "insect",
    "fish": "fish",
    "flowers": "flower",
    "trees": "tree",
    "instruments": "musical instrument",
    "tools": "tool",
    "vehicles": "vehicle",
    "metals": "metal",
    "drinks": "drink",
    "planets": "planet",
    "sports": "sport",
}

PLACES = words("forest valley village city island mountain desert castle garden farm harbor river meadow cave jungle")

UNICODE_WORDS = words("""
café naïve Zürich São über garçon señor crème brûlée jalapeño piñata façade résumé Málaga Göteborg Łódź Kraków
Praha Żółć smörgås ångström привет мир спасибо друг Москва γειά κόσμος αθήνα 你好 世界 谢谢 日本語 東京 こんにちは
ありがとう 안녕하세요 서울 שלום مرحبا नमस्ते
""")

EMOJI = words("🙂 😀 😂 😍 😎 😢 👍 👋 🎉 🚀 🔥 ⭐ ❤️ 🐱 🐶 🦊 🐢 🌍 🌞 🌙 🌈 🍎 🍌 🍕 ☕ ⚡ ✅ ❌ 🎵 📚")

EMOJI_OF = _pairs("""
smiley:🙂, rocket:🚀, cat:🐱, dog:🐶, fox:🦊, turtle:🐢, sun:🌞, moon:🌙, rainbow:🌈, apple:🍎, banana:🍌, pizza:🍕,
coffee:☕, star:⭐, heart:❤️, fire:🔥, party:🎉, book:📚, thumbs_up:👍, wave:👋, globe:🌍
""")
