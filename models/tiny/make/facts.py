"""Closed look-ups: a few capitals, opposites, colours, sounds, days and months. Asked in several ways, answered in one."""

CAPITALS = {"France": "Paris", "Germany": "Berlin", "Italy": "Rome", "Spain": "Madrid", "Portugal": "Lisbon", "Austria": "Vienna",
            "Poland": "Warsaw", "Greece": "Athens", "Norway": "Oslo", "Sweden": "Stockholm", "Finland": "Helsinki", "Denmark": "Copenhagen",
            "Ireland": "Dublin", "Hungary": "Budapest", "Belgium": "Brussels", "Japan": "Tokyo", "China": "Beijing", "India": "New Delhi",
            "Egypt": "Cairo", "Kenya": "Nairobi", "Canada": "Ottawa", "Mexico": "Mexico City", "Cuba": "Havana", "Peru": "Lima",
            "Chile": "Santiago", "Brazil": "Brasilia", "Argentina": "Buenos Aires", "Australia": "Canberra", "Russia": "Moscow",
            "Turkey": "Ankara", "Iceland": "Reykjavik", "Thailand": "Bangkok", "England": "London", "Switzerland": "Bern",
            "the Netherlands": "Amsterdam", "the United States": "Washington", "the United Kingdom": "London", "South Korea": "Seoul"}
OPPOSITES = [("hot", "cold"), ("big", "small"), ("fast", "slow"), ("old", "young"), ("up", "down"), ("left", "right"), ("day", "night"),
             ("black", "white"), ("open", "closed"), ("true", "false"), ("happy", "sad"), ("full", "empty"), ("hard", "soft"), ("high", "low"),
             ("early", "late"), ("light", "dark"), ("loud", "quiet"), ("near", "far"), ("rich", "poor"), ("strong", "weak"), ("wet", "dry"),
             ("long", "short"), ("good", "bad"), ("first", "last"), ("inside", "outside"), ("begin", "end"), ("win", "lose"), ("yes", "no"),
             ("hidden", "disclosed"), ("before", "after"), ("thick", "thin"), ("wide", "narrow"), ("clean", "dirty"), ("easy", "difficult")]
COLOURS = {"the sky": "blue", "grass": "green", "snow": "white", "a banana": "yellow", "the sun": "yellow", "a tomato": "red", "blood": "red",
           "coal": "black", "a carrot": "orange", "an orange": "orange", "milk": "white", "a lemon": "yellow", "a leaf": "green",
           "chocolate": "brown", "the sea": "blue", "a strawberry": "red", "an elephant": "grey", "a frog": "green"}
SOUNDS = {"cat": "meow", "dog": "woof", "cow": "moo", "sheep": "baa", "duck": "quack", "horse": "neigh", "pig": "oink", "bee": "buzz",
          "owl": "hoot", "lion": "roar", "mouse": "squeak", "rooster": "cock-a-doodle-doo", "frog": "croak", "wolf": "howl"}
DAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
MONTHS = ["January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"]

CAPITAL_ASKS = ["What is the capital of {x}?", "what's the capital of {x}", "Name the capital of {x}.", "Which city is the capital of {x}?",
                "capital of {x}", "Do you know the capital of {x}?", "{x}: capital?", "Tell me the capital of {x}."]
OPPOSITE_ASKS = ["What is the opposite of {x}?", "opposite of {x}", "Name the opposite of {x}.", "What's the opposite of {x}?",
                 "Tell me the opposite of {x}.", "Which word is the opposite of {x}?"]
COLOUR_ASKS = ["What colour is {x}?", "What color is {x}?", "which colour has {x}", "Tell me the colour of {x}.", "What is the colour of {x}?",
               "What is the color of {x}?"]
SOUND_ASKS = ["What does a {x} say?", "What sound does a {x} make?", "What noise does a {x} make?", "Which sound does a {x} make?"]
HELD = {"capital": ["Can you tell me the capital of {x}?", "Which is the capital of {x}?"], "opposite": ["Give me the opposite of {x}."],
        "colour": ["Which colour is {x}?"], "sound": ["How does a {x} sound?"]}


def upper_first(text):
    return text[0].upper() + text[1:]


def table():
    """All closed facts as (kind, training questions' forms, thing, answer)."""
    rows = [("capital", CAPITAL_ASKS, c, f"The capital of {c} is {t}.") for c, t in CAPITALS.items()]
    for a, b in OPPOSITES:
        rows.append(("opposite", OPPOSITE_ASKS, a, f"The opposite of {a} is {b}."))
        rows.append(("opposite", OPPOSITE_ASKS, b, f"The opposite of {b} is {a}."))
    rows += [("colour", COLOUR_ASKS, x, f"{upper_first(x)} is {c}.") for x, c in COLOURS.items()]
    rows += [("sound", SOUND_ASKS, x, f"{upper_first('an ' + x if x[0] in 'aeiou' else 'a ' + x)} says {s}.") for x, s in SOUNDS.items()]
    for names, unit in ((DAYS, "day"), (MONTHS, "month")):
        for i, n in enumerate(names):
            after = names[(i + 1) % len(names)]
            before = names[i - 1]
            rows.append(("next", ["Which {u} comes after {x}?".replace("{u}", unit), "What {u} comes after {x}?".replace("{u}", unit), "What comes after {x}?"], n, f"After {n} comes {after}."))
            rows.append(("next", ["Which {u} comes before {x}?".replace("{u}", unit), "What {u} comes before {x}?".replace("{u}", unit), "What comes before {x}?"], n, f"Before {n} comes {before}."))
    return rows
