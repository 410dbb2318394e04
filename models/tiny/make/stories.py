"""Short stories from a small grammar: one hero, one place, one wish, one trouble, one helper, one ending."""

HEROES = ["fox", "cat", "dog", "rabbit", "bear", "owl", "mouse", "frog", "duck", "horse", "robot", "girl", "boy", "king", "queen",
          "dragon", "bird", "turtle", "hedgehog", "wolf", "sailor", "baker", "bee", "goat", "penguin", "elephant", "lion", "snail",
          "squirrel", "whale", "wizard", "farmer", "teacher", "fish", "sheep", "cow", "monkey", "spider", "giant", "ghost"]
RARE_HEROES = ["unicorn", "pirate", "princess", "tiger", "astronaut", "doctor", "clock", "tree", "cloud", "train", "witch", "knight", "crow", "pig",
               "hen", "bat", "crab", "computer", "soldier", "painter", "star", "river", "lamp", "deer", "camel", "seal", "worm", "ant"]
NAMES = ["Ada", "Ben", "Clara", "David", "Emma", "Finn", "Greta", "Hugo", "Ida", "Jonas", "Kira", "Leo", "Mia", "Nora", "Otto",
         "Paul", "Rosa", "Sam", "Tom", "Vera", "Anna", "Max", "Lily", "Oscar"]
TRAITS = ["small", "young", "curious", "shy", "brave", "friendly", "quiet", "clever", "lazy", "old", "cheerful", "hungry"]
PLACES = ["in a green forest", "by the sea", "on a high hill", "in a small village", "near a quiet lake", "at the edge of a big town",
          "under an old tree", "on a little island", "in a warm valley", "beside a slow river"]
# each: wish, trouble, help, ending
PLOTS = [
    ("wanted to see the stars from the top of the mountain", "the path was dark and {name} was afraid",
     "lit a lantern and walked ahead", "they sat on the top, counted the stars and were not afraid any more"),
    ("found a golden key in the grass", "no door near the house fitted the key",
     "remembered a tiny door behind the waterfall", "the door opened, and inside was a garden that belonged to everybody"),
    ("wanted to bake the biggest cake in the land", "the oven was much too small",
     "said that ten small cakes are as good as a big one", "everybody got a cake, and nobody asked for a bigger one"),
    ("lost a red hat in the wind", "the wind carried it over the river",
     "knew a bridge of stones", "the hat was found in a nest with three eggs in it, and {name} let it stay there"),
    ("wanted to learn to sing", "every song came out as a funny noise",
     "said that practice is a friend with slow feet", "after a long winter {name} sang, and the whole valley listened"),
    ("promised to bring the letter before night", "rain made the road soft and slow",
     "shared an umbrella and a short cut", "the letter came on time, and {name} learned that a promise is easier to keep together"),
    ("kept a book of everything that happened", "one morning a page was missing",
     "had written down the number of every page", "the page was found under a chair, and from then on they both kept count"),
    ("wanted to build a boat", "the first boat sank like a stone",
     "brought light wood and good advice", "the second boat floated, and they sailed to the other side and back"),
    ("wanted to win the great race", "a younger runner fell and hurt a foot",
     "stopped to help as well", "they came last, all three together, and the crowd cheered most for them"),
    ("planted one seed and waited", "nothing came out of the ground for many days",
     "said that good things grow where nobody looks", "one morning there was a green leaf, and by summer there was a tree"),
    ("heard a strange sound every night", "nobody else believed it",
     "stayed awake to listen too", "they found a lost kitten under the roof and gave it a warm home"),
    ("wanted to paint the sky", "there was no blue left in the box",
     "mixed green and purple and laughed", "the painting showed a sunset, and it was better than the plan"),
]
MORALS = ["From that day on they were friends.", "And that is a good thing to remember.", "That night they slept very well.",
          "Everybody in the place still tells this story.", "The end."]
SYLLABLES = "ba ce di fo gu ka le mi no pu ra se ti vo wa xe yo zu an er in or un el ash".split()  # made-up heroes teach copying
ASKS = ["Tell me a story.", "tell me a story", "Can you tell me a story?", "Please tell me a short story.", "I want to hear a story.",
        "Write a short story.", "Write me a story.", "Once upon a time", "A story, please!", "Do you know a story?", "story please",
        "Make up a story.", "Tell me a bedtime story."]
ASKS_ABOUT = ["Tell me a story about {a}.", "tell me a story about {a}", "Can you tell me a story about {a}?", "Write a story about {a}.",
              "Write a short story about {a}.", "I want a story about {a}.", "A story about {a}, please.", "Do you know a story about {a}?",
              "story about {a}", "Please tell me a short story about {a}."]
HELD_ASKS_ABOUT = ["Could you tell me a little story about {a}?", "Invent a story about {a}."]


def article(noun):
    return ("an " if noun[0] in "aeiou" else "a ") + noun


def story(rng, hero=None, name=None):
    hero = hero or rng.choice(HEROES)
    name = name or rng.choice(NAMES)
    helper = rng.choice([h for h in HEROES if h != hero])
    trait, second = rng.sample(TRAITS, 2)
    wish, trouble, help_, ending = rng.choice(PLOTS)
    start = rng.choice(["Once upon a time there was {t} {h} called {n} who lived {p}.", "There was once {t} {h} named {n} who lived {p}.",
                        "Long ago, {p}, there lived {t} {h} called {n}."]).format(t=article(trait), h=hero, n=name, p=rng.choice(PLACES))
    wish = rng.choice(["One day {n} ", "One morning {n} ", "One spring {n} "]).format(n=name) + wish + "."
    trouble = rng.choice(["But ", "Sadly, ", "However, "]) + trouble.format(name=name) + "."
    helped = rng.choice(["Then {a} came by. The {h} {x}.", "Luckily {a} was near. The {h} {x}."]).format(a=article(second + " " + helper), h=helper, x=help_)
    ending = rng.choice(["In the end ", "So "]) + ending.format(name=name) + "."
    return " ".join([start, wish, trouble, helped, ending, rng.choice(MORALS)])


def ask(rng, held=False):
    """Returns (question, answer)."""
    if not held and rng.random() < 0.3:
        return rng.choice(ASKS), story(rng)
    draw = rng.random()
    hero = rng.choice(HEROES if draw < 0.6 else RARE_HEROES) if draw < 0.8 else "".join(rng.choice(SYLLABLES) for _ in range(rng.randrange(2, 4)))
    what = article(hero)
    name = None
    if rng.random() < 0.25:
        name = rng.choice(NAMES)
        what += rng.choice([" called ", " named "]) + name
    return rng.choice(HELD_ASKS_ABOUT if held else ASKS_ABOUT).format(a=what), story(rng, hero, name)
