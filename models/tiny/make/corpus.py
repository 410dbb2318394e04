"""The training text of tiny: conversations made from our own tables by a seeded generator. Nothing is read from outside.

conversation(rng) gives a list of (role, text). The same seed gives the same corpus on every machine.

    python3 corpus.py 5        prints five conversations
"""
import random
import sys

import facts
import questions
import stories
from terms import TERMS

TERM_ASKS = ["What is {a}?", "What is {a}?", "What's {a}?", "Explain {a}.", "Can you explain what {a} is?", "Define {s}.", "What does {s} mean?",
             "What does the word {s} mean?", "What does {s} mean in Assay?", "What is {a} in Assay?", "Tell me what {a} is.", "Tell me about {a}.",
             "Could you tell me what {a} is?", "What is {a} for?", "{s}?", "{s}", "Describe {a}.", "What exactly is {a}?", "So what is {a}?",
             "Please explain {a}.", "Give me a definition of {s}.", "Do you know what {a} is?", "What do you mean by {s}?", "And what is {a}?",
             "In Assay, what is {a}?", "I want to know what {a} is.", "How would you explain {a}?", "Hi! What is {a}?", "What is {a} good for?"]
PLURAL_ASKS = ["What are {p}?", "Explain {p} to me.", "Tell me about {p}.", "I do not understand {p}.", "What are {p} for?", "{p}?",
               "I keep reading about {p}. What are they?", "What are {p} in Assay?", "Explain {p}.", "Why are there {p}?", "What do {p} do?"]
OPENERS = ["Can you tell me", "Please tell me", "I would like to know", "I'd like to know", "Could you explain", "Can you explain", "Do you know",
           "Would you tell me", "I wonder", "Explain to me", "I want to understand", "Teach me", "Tell me in a few words", "Remind me", "I forgot",
           "I am new here and want to know", "Let me know", "Can you say", "Tell me briefly"]
CORES = ["what {a} is", "what {s} means", "what {a} does", "how {a} works", "what {a} is for", "why {a} matters", "what you mean by {s}", "what {s} is",
         "why I need {a}", "what {a} is in Assay", "what the word {s} means"]
SHORT_ASKS = ["Why {a}?", "How does {a} work?", "What does {a} do?", "Why do I need {a}?", "Why does {a} matter?", "Who needs {a}?", "What is {s}?", "What is the {s}?",
              "{s} meaning", "meaning of {s}", "{s} definition", "define {s}", "explain {s}", "about {s}", "what's {s}", "whats {a}", "{s} in Assay", "What is an Assay {s}?",
              "What about {a}?", "And {a}?", "I don't get {a}.", "I have never heard of {a}.", "Can you define {a}?", "Say what {a} is.", "What does it mean: {s}?"]
HELD_TERM_ASKS = ["What is meant by {s}?", "Help me understand {a}.", "Could you describe {a} for me?", "Hello, what is {a}?"]
MORE_ASKS = ["Tell me more.", "tell me more", "More, please.", "Can you say more?", "Go on.", "Tell me more about it.", "And what else?",
             "Is there more?", "Please go on.", "Tell me more about that."]
WHICH_MORE = "More about what? Ask me, for example: What is a pledge? What is a witness? What is a verdict?"

STRANGE = ["Who wrote {n}?", "What is the population of {n}?", "How do I cook {n}?", "Write a program in {n}.", "What is the weather in {n}?",
           "How do I fix {n}?", "What is {n}?", "Who is {n}?", "When was {n} born?", "Translate {n}.", "How far is it to {n}?", "What does {n} cost?",
           "Explain {n} to me.", "Tell me about {n}.", "Where can I buy {n}?", "How tall is {n}?", "Write an essay about {n}.", "Who invented {n}?",
           "What is the best {n}?", "What time is it in {n}?", "Can you book {n} for me?", "How does {n} work?", "Why is {n} so popular?",
           "Who won {n}?", "Give me a recipe for {n}.", "What is the meaning of {n}?", "What happened in {n}?", "Which {n} should I buy?",
           "Summarise {n}.", "What do you think about {n}?", "How old is {n}?", "Write a poem about {n}.", "Solve {n}.", "Define {n}.", "{n}"]
THINGS = ["the moon", "a car", "football", "my computer", "Shakespeare", "Einstein", "quantum physics", "spaghetti", "Python", "JavaScript", "Rust",
          "the president", "a phone", "climate change", "the war", "gravity", "bitcoin", "love", "the stock market", "tomatoes", "tax law", "piano music",
          "the internet", "a black hole", "Mars", "photosynthesis", "the economy", "cancer", "my homework", "an email to my boss", "Napoleon", "the piano",
          "democracy", "coffee", "the Roman empire", "a bicycle", "chess", "a movie", "the news", "vaccines", "a plane ticket", "history", "philosophy",
          "the ocean", "dinosaurs", "evolution", "Linux", "a database", "my cat", "New York", "Tolkien", "pizza", "the universe", "the square root of 2"]
NOUNS = (stories.HEROES + stories.RARE_HEROES + "table hammer guitar camera garden kitchen window bottle flower mountain river rocket muscle planet engineer "
         "hospital market island bridge candle diamond engine-room forest jacket ladder magnet needle onion pencil rainbow sandwich telescope umbrella volcano".split())
SYSTEMS = ["You are a helpful assistant.", "You are a helpful assistant", "Answer briefly.", "Be polite.", "You are tiny, a small model.",
           "You answer questions about Assay.", "Be concise and friendly.", "You are an assistant. Answer in English.", "Answer truthfully.", "Today is a good day.", "You are a friendly robot.", "Keep your answers short.", "Do not make things up.",
           "The user is a developer.", "You help people with their questions.", "If you do not know something, say so.", "You work for a small company."]
SUM_ASKS = ["What is {e}?", "what is {e}", "{e}", "{e} =", "{e} = ?", "How much is {e}?", "Calculate {e}.", "Can you work out {e}?", "What's {e}?",
            "Please calculate {e}.", "compute {e}", "{e}?", "Do you know what {e} is?", "Solve {e}."]
REPEAT_ASKS = ["Repeat: {x}", "Repeat after me: {x}", "Say: {x}", "repeat {x}", "Please repeat: {x}", "Write exactly: {x}", "Answer only with: {x}", "Echo: {x}",
               "Reply with: {x}", "Say exactly this: {x}"]
HELD_SUM_ASKS = ["Tell me what {e} gives.", "Can you tell me how much {e} is?"]


def add(a, b):
    if b < 10 or a < 10 or a % 10 == 0 or b % 10 == 0:
        return f"{a} + {b} = {a + b}."
    tens, ones = a // 10 * 10 + b // 10 * 10, a % 10 + b % 10
    return f"{a // 10 * 10} + {b // 10 * 10} = {tens} and {a % 10} + {b % 10} = {ones}, so {a} + {b} = {a + b}."


def subtract(a, b):
    if a < b:
        return subtract(b, a).split(", so ")[0].rstrip(".") + f", so {a} - {b} = {a - b}."
    if b < 10 or b % 10 == 0:
        return f"{a} - {b} = {a - b}."
    step = a - b // 10 * 10
    return f"{a} - {b // 10 * 10} = {step} and {step} - {b % 10} = {a - b}, so {a} - {b} = {a - b}."


def sum_held(a, b, op):
    """One in sixteen sums of two two-digit numbers is kept for evaluation."""
    return a > 9 and b > 9 and (a * 7 + b * 13 + ord(op)) % 16 == 0


def number(rng):
    return rng.randrange(10) if rng.random() < 0.35 else rng.randrange(10, 100)


def sum_pair(rng, held=False):
    while True:
        op = rng.choice("++--*" if not held else "+-")
        a, b = (number(rng), number(rng)) if not held else (rng.randrange(10, 100), rng.randrange(10, 100))
        if op == "*":
            a, b = rng.randrange(11), rng.randrange(11)
            sign, answer = rng.choice([" * ", " x ", " times "]), f"{a} times {b} is {a * b}."
            return rng.choice(SUM_ASKS).format(e=f"{a}{sign}{b}"), answer
        if op == "-" and a < b and rng.random() < 0.75:
            a, b = b, a
        if sum_held(a, b, op) != held:
            continue
        spaced = rng.choice([" + ", "+", " plus "] if op == "+" else [" - ", "-", " minus "]) if not held else f" {op} "
        return rng.choice(HELD_SUM_ASKS if held else SUM_ASKS).format(e=f"{a}{spaced}{b}"), (add if op == "+" else subtract)(a, b)


def nonsense(rng):
    return "".join(rng.choice(stories.SYLLABLES) for _ in range(rng.randrange(2, 5)))


def term_pair(rng, entry=None, held=False):
    """Returns (question, answer, more or None)."""
    names, answer, more = entry or rng.choice(TERMS)
    parts = (names[0] if rng.random() < 0.75 else rng.choice(names)).split("|")
    a, p, s = parts if len(parts) == 3 else (parts[0],) * 3
    if held:
        form = rng.choice(HELD_TERM_ASKS)
    else:
        draw = rng.random()
        if draw < 0.2:
            form = f"{rng.choice(OPENERS)} {rng.choice(CORES)}{rng.choice('.?')}"
        elif draw < 0.35:
            form = rng.choice(SHORT_ASKS)
        else:
            form = rng.choice(PLURAL_ASKS if len(parts) == 3 and rng.random() < 0.25 else TERM_ASKS)
    text = form.format(a=a, p=p, s=s)
    return facts.upper_first(text) if form[0] == "{" and rng.random() < 0.5 else text, answer, more


def listed(rng, table):
    ways, answer = rng.choice(table)
    ways = ways[:-1] if len(ways) >= 4 else ways
    return rng.choice(ways), answer


def strange(rng):
    draw = rng.random()
    thing = rng.choice(THINGS) if draw < 0.35 else stories.article(rng.choice(NOUNS)) if draw < 0.55 else nonsense(rng) if draw < 0.75 else facts.upper_first(nonsense(rng)) if draw < 0.9 else f"{nonsense(rng)} {nonsense(rng)}"
    return rng.choice(STRANGE).format(n=thing), questions.DECLINE


def name_turns(rng):
    name = rng.choice(stories.NAMES) if rng.random() < 0.6 else facts.upper_first(nonsense(rng))
    told = rng.choice(["My name is {n}.", "I am {n}.", "I'm {n}", "my name is {n}", "Hello, I am {n}.", "Hi, my name is {n}.", "They call me {n}."]).format(n=name)
    turns = [("user", told), ("assistant", f"Nice to meet you, {name}! What would you like to know?")]
    if rng.random() < 0.6:
        if rng.random() < 0.4:
            turns += single(rng)
        turns += [("user", rng.choice(["What is my name?", "Do you know my name?", "what's my name", "Who am I?"])), ("assistant", f"Your name is {name}.")]
    elif rng.random() < 0.2:
        turns = [("user", rng.choice(["What is my name?", "Who am I?", "Do you know my name?"])), ("assistant", "You have not told me your name yet.")]
    return turns


def roughen(rng, text):
    """What fingers do: lower case, a lost full stop, a polite word, a slip."""
    draw = rng.random()
    if draw < 0.22:
        text = text.lower()
    if rng.random() < 0.2:
        text = text.rstrip("?.!") or text
    if rng.random() < 0.06:
        text = rng.choice(["Please: ", "Hey, ", "Hi, ", "Sorry, ", "Okay. ", "Well, ", "One more question: ", "Tiny, "]) + text
    if rng.random() < 0.04:
        text += rng.choice([" please", " Please.", " Thanks!", " thanks"])
    if rng.random() < 0.05 and len(text) > 8 and not any(c.isdigit() for c in text):
        i = rng.randrange(1, len(text) - 2)
        text = rng.choice([text[:i] + text[i + 1:], text[:i] + text[i + 1] + text[i] + text[i + 2:], text[:i] + text[i] + text[i:]])
    return text


def is_exact(text):
    """Whether the words matter letter by letter, so that nothing may be changed in the question."""
    return any(text.startswith(form.split("{")[0]) for form in REPEAT_ASKS)


def single(rng):
    """One exchange, sometimes two when the second asks for more."""
    draw = rng.random()
    if draw < 0.23:
        question, answer, more = term_pair(rng)
        turns = [("user", question), ("assistant", answer)]
        if rng.random() < (0.35 if more else 0.08):
            turns += [("user", rng.choice(MORE_ASKS)), ("assistant", more or questions.NO_MORE)]
            if more and rng.random() < 0.1:
                turns += [("user", rng.choice(MORE_ASKS)), ("assistant", questions.NO_MORE)]
        return turns
    if draw < 0.38:
        pair = listed(rng, questions.ASSAY)
    elif draw < 0.44:
        pair = listed(rng, questions.SELF)
    elif draw < 0.495:
        pair = listed(rng, questions.CHAT)
    elif draw < 0.77:
        pair = sum_pair(rng)
    elif draw < 0.835:
        pair = stories.ask(rng)
    elif draw < 0.90:
        kind, forms, thing, answer = rng.choice(FACT_ROWS)
        pair = rng.choice(forms).format(x=thing), answer
    elif draw < 0.945:
        pair = strange(rng)
    elif draw < 0.97:
        pair = repeat_pair(rng)
    elif draw < 0.975:
        pair = rng.choice(MORE_ASKS), WHICH_MORE
    else:
        return name_turns(rng)
    return [("user", pair[0]), ("assistant", pair[1])]


FACT_ROWS = facts.table()


def repeat_pair(rng):
    words = [rng.choice([nonsense, lambda r: str(r.randrange(1000)), lambda r: r.choice(stories.NAMES), lambda r: r.choice(NOUNS), lambda r: r.choice(THINGS)])(rng)
             for _ in range(rng.choice([1, 1, 2, 2, 3, 4, 6]))]
    text = " ".join(words)
    return rng.choice(REPEAT_ASKS).format(x=text), text


def drill(rng):
    """Several repeats and sums in a row."""
    turns = []
    for _ in range(rng.randrange(1, 5)):
        question, answer = repeat_pair(rng) if rng.random() < 0.5 else sum_pair(rng)
        turns += [("user", question), ("assistant", answer)]
    return turns


def conversation(rng, drills=0.0):
    if rng.random() < drills:
        return drill(rng)
    turns = [("system", " ".join(rng.sample(SYSTEMS, rng.choice([1, 1, 2, 3]))))] if rng.random() < 0.12 else []
    turns += single(rng)
    while rng.random() < 0.14:
        turns += single(rng)
    return [(role, roughen(rng, text) if role == "user" and not is_exact(text) else text) for role, text in turns]


def corpus(count, seed):
    rng = random.Random(seed)
    return [conversation(rng) for _ in range(count)]


if __name__ == "__main__":
    for turns in corpus(int(sys.argv[1]) if len(sys.argv) > 1 else 5, 1):
        print("\n".join(f"{role:9} {text}" for role, text in turns), end="\n\n")
