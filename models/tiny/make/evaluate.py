"""Asks tiny what it was never trained on and counts: other ways to ask, sums kept back, look-ups, stories, strangers, names.

    python3 evaluate.py --model .. --out figures.json        (needs onnxruntime and numpy; one thread)

Text counts as right when it equals the expected answer exactly. Sums and look-ups: the same. Stories: the hero (and the name) asked for
appear, the model stops by itself. Strangers: the fixed "I do not know" text.
"""
import argparse
import json
import random

import numpy
import onnxruntime

import corpus
import facts
import questions
import stories
from terms import TERMS
from tokenizer import Tokenizer


class Model:
    def __init__(self, folder):
        with open(f"{folder}/model.json") as file:
            self.card = json.load(file)
        self.tokenizer = Tokenizer.load(f"{folder}/tokenizer.json")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(f"{folder}/model.onnx", options, providers=["CPUExecutionProvider"])

    def answer(self, turns, limit=200):
        """Greedy decoding. Returns (text, whether it stopped by itself)."""
        shape = self.card["architecture"]
        keys = values = numpy.zeros((shape["layers"], shape["heads"], 0, shape["headDim"]), numpy.float32)
        ids, out = self.tokenizer.prompt(turns), []
        while len(out) < limit and keys.shape[2] + len(ids) <= shape["context"]:
            logits, keys, values = self.session.run(None, {"input_ids": numpy.array([ids], numpy.int64), "past_keys": keys, "past_values": values})
            ids = [int(logits[-1].argmax())]
            if ids[0] == 4:
                return self.tokenizer.decode(out), True
            out += ids
        return self.tokenizer.decode(out), False


def plain(text):
    return text.lower().rstrip("?.!")


def cases():
    """(group, turns, test of the answer, what was expected)."""
    rng = random.Random(99)

    def exact(group, question, answer, before=()):
        return group, [*before, ("user", question)], lambda text, a=answer: text == a, answer

    for entry in TERMS:
        for form in corpus.HELD_TERM_ASKS:
            parts = entry[0][0].split("|")
            yield exact("terms, held-out forms", form.format(a=parts[0], p=parts[1 % len(parts)], s=parts[-1]), entry[1])
        if entry[2]:
            question = rng.choice(corpus.TERM_ASKS[:20]).format(a=entry[0][0].split("|")[0], s=entry[0][0].split("|")[-1])
            yield exact("tell me more (second turn)", "Tell me more.", entry[2], [("user", question), ("assistant", entry[1])])
    trained = {plain(way) for table in (questions.ASSAY, questions.SELF, questions.CHAT) for ways, _ in table for way in (ways[:-1] if len(ways) >= 4 else ways)}
    for name, table in (("questions about Assay, held-out ways", questions.ASSAY), ("about itself and small talk, held-out ways", questions.SELF + questions.CHAT)):
        for ways, answer in table:
            if len(ways) >= 4 and plain(ways[-1]) not in trained:
                yield exact(name, ways[-1], answer)
    for name, table in (("questions about Assay, trained ways", questions.ASSAY), ("about itself and small talk, trained ways", questions.SELF + questions.CHAT)):
        for ways, answer in table:
            for way in ways[:-1]:
                yield exact(name, way, answer)
    for _ in range(200):
        question, answer = corpus.sum_pair(rng, held=True)
        yield exact("two-digit sums kept back, " + ("+" if "+" in answer else "-"), question, answer)
    for _ in range(120):
        op = rng.choice("+-")
        a, b = rng.randrange(10), rng.randrange(10)
        yield exact("single-digit sums, held-out forms", rng.choice(corpus.HELD_SUM_ASKS).format(e=f"{a} {op} {b}"), (corpus.add if op == "+" else corpus.subtract)(a, b))
    for op in "+-":
        for a in range(10):
            for b in range(10):
                yield exact(f"all single-digit sums, trained form, {op}", f"What is {a} {op} {b}?", (corpus.add if op == "+" else corpus.subtract)(a, b))
    for a in range(11):
        for b in range(11):
            yield exact("times table 0 to 10, trained form", f"What is {a} times {b}?", f"{a} times {b} is {a * b}.")
    for kind, forms, thing, answer in corpus.FACT_ROWS:
        for form in forms:
            yield exact("look-ups, trained forms", form.format(x=thing), answer)
    for kind, _, thing, answer in corpus.FACT_ROWS:
        for form in facts.HELD.get(kind, []):
            yield exact("look-ups, held-out forms", form.format(x=thing), answer)
    for heroes, name in ((stories.HEROES, "stories, known hero"), (["koala", "zebra", "nurse", "plumber", "violin", "kangaroo", "parrot", "judge", "moth", "otter", "cactus", "gardener"], "stories, hero never seen")):
        for hero in heroes:
            form = rng.choice(stories.HELD_ASKS_ABOUT)
            yield name, [("user", form.format(a=stories.article(hero)))], lambda text, h=hero: f" {h} " in text.split(".")[0] and len(text) > 150, f"a story about {hero}"
    for thing in ["the Eiffel tower", "my dentist", "basketball", "Haskell", "Mozart", "the French revolution", "a sandwich", "my taxes", "electricity", "volcanoes", "Instagram", "a haiku", "machine learning", "the pyramids", "jazz"]:
        for form in rng.sample(corpus.STRANGE[:-1], 4):
            yield exact("things outside, never seen", form.format(n=thing), questions.DECLINE)
    for name in stories.NAMES[:12] + ["Zoe", "Marta", "Ivan", "Kofi", "Yuki", "Priya", "Bruno", "Elif"]:
        turns = [("user", f"My name is {name}."), ("assistant", f"Nice to meet you, {name}! What would you like to know?")]
        yield exact("names told, " + ("known" if name in stories.NAMES else "never seen"), "What is my name?", f"Your name is {name}.", turns)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", default="..")
    parser.add_argument("--out")
    parser.add_argument("--failures", type=int, default=4)
    options = parser.parse_args()
    model, groups = Model(options.model), {}
    for group, turns, right, expected in cases():
        text, stopped = model.answer(turns)
        entry = groups.setdefault(group, {"right": 0, "of": 0, "failures": []})
        entry["of"] += 1
        if right(text) and stopped:
            entry["right"] += 1
        else:
            entry["failures"].append({"question": turns[-1][1], "expected": expected, "got": text})
    for group, entry in groups.items():
        print(f"{entry['right']:4}/{entry['of']:<4} {group}")
        for failure in entry["failures"][: options.failures]:
            print("          ", failure["question"], "->", failure["got"][:140])
    if options.out:
        with open(options.out, "w") as file:
            json.dump(groups, file, indent=1)
            file.write("\n")


if __name__ == "__main__":
    main()
