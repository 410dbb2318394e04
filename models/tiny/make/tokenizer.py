"""longest-match-bytes/1: at each position the longest known byte string wins. No regular expressions, no Unicode tables.

Ids: first the special tokens, then the pieces in file order. The first 256 pieces are the single bytes, so every text has an
encoding and every encoding has exactly one text. `learn` picks the other pieces from a corpus by pair merging inside words.
"""
import base64
import json
import re
from collections import Counter

SPECIAL = ["<|bos|>", "<|system|>", "<|user|>", "<|assistant|>", "<|end|>"]


class Tokenizer:
    def __init__(self, pieces):
        self.pieces = pieces
        self.ids = {piece: len(SPECIAL) + i for i, piece in enumerate(pieces)}
        self.longest = max(map(len, pieces))

    @property
    def size(self):
        return len(SPECIAL) + len(self.pieces)

    def encode(self, text):
        data, out, i = text.encode("utf-8"), [], 0
        while i < len(data):
            n = min(self.longest, len(data) - i)
            while data[i : i + n] not in self.ids:
                n -= 1
            out.append(self.ids[data[i : i + n]])
            i += n
        return out

    def decode(self, ids):
        return b"".join(self.pieces[i - len(SPECIAL)] for i in ids if i >= len(SPECIAL)).decode("utf-8", "replace")

    def prompt(self, turns):
        ids = [0]
        for role, text in turns:
            ids += [SPECIAL.index(f"<|{role}|>"), *self.encode(text), 4]
        return ids + [3]

    def save(self, path):
        with open(path, "w") as file:
            json.dump({"kind": "longest-match-bytes/1", "special": SPECIAL, "pieces": [base64.b64encode(p).decode() for p in self.pieces]}, file, indent=0)
            file.write("\n")

    @staticmethod
    def load(path):
        with open(path) as file:
            return Tokenizer([base64.b64decode(p) for p in json.load(file)["pieces"]])


def learn(texts, learned, merges):
    """Merges `merges` pairs (never across a word's border, never digits), then keeps the `learned` pieces that save most."""
    counts = Counter(chunk for text in texts for chunk in re.findall(r" ?[A-Za-z]+|[^A-Za-z0-9 ]+ ?", text))
    words = [([bytes([b]) for b in chunk.encode()], n) for chunk, n in sorted(counts.items())]
    found = []
    for _ in range(merges):
        pairs = Counter()
        for parts, n in words:
            for pair in zip(parts, parts[1:]):
                pairs[pair] += n
        if not pairs:
            break
        (a, b), _ = max(pairs.items(), key=lambda item: (item[1], item[0]))
        found.append(a + b)
        for parts, _ in words:
            i = 0
            while i < len(parts) - 1:
                if parts[i] == a and parts[i + 1] == b:
                    parts[i : i + 2] = [a + b]
                else:
                    i += 1
    bytes_only = [bytes([b]) for b in range(256)]
    trial = Tokenizer(bytes_only + found)
    used = Counter()
    for chunk, n in counts.items():
        for i in trial.encode(chunk):
            used[i] += n
    worth = sorted(found, key=lambda p: (-used[trial.ids[p]] * (len(p) - 1), p))
    return Tokenizer(bytes_only + sorted(worth[:learned]))
