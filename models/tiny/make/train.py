"""Trains tiny from nothing on the generated corpus, on one core.

    OMP_NUM_THREADS=1 python3 train.py --minutes 36 --out /tmp/tiny

The number of steps follows from --steps, or is measured from the first steps to fit --minutes. Writes tokenizer.json and
checkpoint.pt to --out. Needs python3-torch (Debian 12: 1.13) and numpy.
"""
import argparse
import itertools
import json
import math
import os
import random
import time

import torch

import corpus
import tokenizer as tokenizing
from network import CONTEXT, Tiny


def encode(tokenizer, turns):
    """Token ids of a conversation and, for each, whether it is trained on (what the assistant says, and its end)."""
    ids, wanted = [0], [False]
    for role, text in turns:
        piece = tokenizer.encode(text)
        ids += [tokenizing.SPECIAL.index(f"<|{role}|>"), *piece, 4]
        wanted += [False] + [role == "assistant"] * (len(piece) + 1)
    return ids[:CONTEXT], wanted[:CONTEXT]


DRILL_POOLS = 14


def batches(tokenizer, rng, tokens):
    """Endless batches of about `tokens` tokens; each pool of fresh conversations is sorted by length so that little is padding.

    In the first pools half of the conversations are drills (repeat this, add these): they teach the network to copy, which it
    learns late or never from the other texts.
    """
    for number in itertools.count():
        drills = 0.5 if number < DRILL_POOLS else 0.0
        pool = sorted((encode(tokenizer, corpus.conversation(rng, drills)) for _ in range(4000)), key=lambda item: len(item[0]))
        groups, group = [], []
        for item in pool:
            if group and len(item[0]) * (len(group) + 1) > tokens:
                groups.append(group)
                group = []
            group.append(item)
        groups.append(group)
        rng.shuffle(groups)
        for group in groups:
            n = max(len(ids) for ids, _ in group)
            yield (torch.tensor([ids + [4] * (n - len(ids)) for ids, _ in group]), torch.tensor([w + [False] * (n - len(w)) for _, w in group]),
                   sum(len(ids) for ids, _ in group))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", required=True)
    parser.add_argument("--minutes", type=float, default=28)
    parser.add_argument("--steps", type=int, default=0)
    parser.add_argument("--seed", type=int, default=20261122)
    parser.add_argument("--tokens", type=int, default=2000)
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--hidden", type=int, default=320)
    parser.add_argument("--learned", type=int, default=763)
    options = parser.parse_args()
    os.makedirs(options.out, exist_ok=True)
    torch.set_num_threads(1)
    torch.manual_seed(options.seed)
    tokenizer = tokenizing.learn((text for turns in corpus.corpus(12000, options.seed) for _, text in turns), options.learned, options.learned + 500)
    tokenizer.save(f"{options.out}/tokenizer.json")
    model = Tiny(tokenizer.size, options.width, options.layers, 4, options.hidden)
    matrices = [p for p in model.parameters() if p.dim() == 2]
    gains = [p for p in model.parameters() if p.dim() != 2]
    optimizer = torch.optim.AdamW([{"params": matrices, "weight_decay": 0.05}, {"params": gains, "weight_decay": 0.0}], lr=options.rate, betas=(0.9, 0.98))
    print("parameters", sum(p.numel() for p in model.parameters()), "vocabulary", tokenizer.size, flush=True)
    source = batches(tokenizer, random.Random(options.seed + 1), options.tokens)
    started, cpu, seen, step, total, smooth = time.time(), time.process_time(), 0, 0, options.steps, None

    def save():
        torch.save({"shape": model.shape, "state": model.state_dict(), "report": {"seed": options.seed, "steps": step, "tokens": seen, "wallSeconds": round(time.time() - started), "cpuSeconds": round(time.process_time() - cpu), "loss": smooth}}, f"{options.out}/checkpoint.pt")

    while not total or step < total:
        done = step / total if total else 0.0
        factor = min(1, (step + 1) / 100) * (1 if done < 0.3 else 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * (done - 0.3) / 0.7)))
        for group in optimizer.param_groups:
            group["lr"] = options.rate * factor
        ids, wanted, count = next(source)
        loss = model.loss(ids, wanted)
        model.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        step, seen = step + 1, seen + count
        smooth = loss.item() if smooth is None else 0.98 * smooth + 0.02 * loss.item()
        if not options.steps and step >= 60 and step % 60 == 0:  # keep to the time asked for, whatever else the machine does
            spent = time.time() - started
            total = int(step + (options.minutes * 60 - spent) / (spent / step)) if spent < options.minutes * 60 else step
        if step % 60 == 0:
            print(json.dumps({"step": step, "of": total, "loss": round(smooth, 4), "tokens": seen, "seconds": round(time.time() - started), "cpu": round(time.process_time() - cpu)}), flush=True)
        if step % 600 == 0:
            save()
    save()


if __name__ == "__main__":
    main()
