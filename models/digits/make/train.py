"""Trains digits (64-32-10, ReLU) with plain NumPy on the UCI 8x8 digits that scikit-learn carries, and writes the folder's files.

    OMP_NUM_THREADS=1 python3 train.py --to ..          (needs numpy, scikit-learn and onnx; about 10 seconds)

Split: one permutation of the 1,797 samples, seed 20261122; the first 1,437 train, the last 360 are held out.
"""
import argparse
import json
import pathlib

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from sklearn.datasets import load_digits

SEED = 20261122
TRAIN = 1437
HIDDEN = 32
EPOCHS = 300
BATCH = 32


def split():
    """Returns train images, train labels, held-out images, held-out labels and the held-out samples' places in the data set."""
    data = load_digits()
    order = np.random.default_rng(SEED).permutation(len(data.target))
    x, y = data.data.astype(np.float32), data.target
    train, held = order[:TRAIN], order[TRAIN:]
    return x[train], y[train], x[held], y[held], held


def shifted(images, rng):
    """Moves each image by up to one pixel: handwriting is not centred, and it keeps the network from learning places by heart."""
    out = np.zeros_like(images).reshape(-1, 8, 8)
    for i, image in enumerate(images.reshape(-1, 8, 8)):
        dy, dx = rng.integers(-1, 2, 2) if rng.random() < 0.5 else (0, 0)
        out[i, max(dy, 0) : 8 + min(dy, 0), max(dx, 0) : 8 + min(dx, 0)] = image[max(-dy, 0) : 8 + min(-dy, 0), max(-dx, 0) : 8 + min(-dx, 0)]
    return out.reshape(-1, 64)


def fit(x, y):
    """Adam with weight decay and a falling rate. Returns W1, b1, W2, b2 for inputs scaled to 0..1."""
    rng = np.random.default_rng(SEED + 1)
    params = [rng.normal(0, (2 / 64) ** 0.5, (64, HIDDEN)), np.zeros(HIDDEN), rng.normal(0, (2 / HIDDEN) ** 0.5, (HIDDEN, 10)), np.zeros(10)]
    m, v, t = [np.zeros_like(p) for p in params], [np.zeros_like(p) for p in params], 0
    for epoch in range(EPOCHS):
        rate = 4e-3 * 0.5 * (1 + np.cos(np.pi * epoch / EPOCHS))
        images, order = shifted(x, rng) / 16, rng.permutation(len(y))
        for at in range(0, len(y), BATCH):
            pick = order[at : at + BATCH]
            w1, b1, w2, b2 = params
            z = images[pick] @ w1 + b1
            h = np.maximum(z, 0)
            s = h @ w2 + b2
            p = np.exp(s - s.max(1, keepdims=True))
            p /= p.sum(1, keepdims=True)
            p[np.arange(len(pick)), y[pick]] -= 1
            p /= len(pick)
            dh = p @ w2.T * (z > 0)
            t += 1
            for i, g in enumerate([images[pick].T @ dh, dh.sum(0), h.T @ p, p.sum(0)]):
                m[i] = 0.9 * m[i] + 0.1 * g
                v[i] = 0.999 * v[i] + 0.001 * g * g
                decay = 0.01 * params[i] if params[i].ndim == 2 else 0
                params[i] = params[i] - rate * (m[i] / (1 - 0.9**t) / (np.sqrt(v[i] / (1 - 0.999**t)) + 1e-8) + decay)
    return [p.astype(np.float32) for p in params]


def graph(params):
    nodes = [helper.make_node("Mul", ["image", "scale"], ["scaled"]), helper.make_node("MatMul", ["scaled", "w1"], ["m1"]),
             helper.make_node("Add", ["m1", "b1"], ["z1"]), helper.make_node("Relu", ["z1"], ["h1"]),
             helper.make_node("MatMul", ["h1", "w2"], ["m2"]), helper.make_node("Add", ["m2", "b2"], ["scores"])]
    values = dict(zip(["w1", "b1", "w2", "b2"], params), scale=np.array(1 / 16, np.float32))
    made = helper.make_model(
        helper.make_graph(nodes, "digits", [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", 64])],
                          [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["n", 10])], [numpy_helper.from_array(v, k) for k, v in values.items()]),
        opset_imports=[helper.make_opsetid("", 16)], ir_version=8, producer_name="assay-digits")
    onnx.checker.check_model(made)
    return made


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--to", default="..")
    to = parser.parse_args().to
    x, y, held_x, held_y, places = split()
    params = fit(x, y)

    def predict(images):
        w1, b1, w2, b2 = params
        return (np.maximum(images / 16 @ w1 + b1, 0) @ w2 + b2).argmax(1)

    onnx.save(graph(params), f"{to}/model.onnx")
    got = predict(held_x)
    confusion = np.zeros((10, 10), int)
    np.add.at(confusion, (held_y, got), 1)
    figures = {"train": f"{(predict(x) == y).sum()}/{len(y)}", "heldOut": f"{(got == held_y).sum()}/{len(held_y)}", "confusion": confusion.tolist(),
               "wrong": [{"place": int(places[i]), "label": int(held_y[i]), "got": int(got[i])} for i in np.flatnonzero(got != held_y)]}
    with open(pathlib.Path(__file__).parent / "figures.json", "w") as file:
        json.dump(figures, file)
        file.write("\n")
    # two held-out samples of each digit, the first ones in split order, whether the network reads them right or not
    chosen = sorted((i for d in range(10) for i in np.flatnonzero(held_y == d)[:2]), key=lambda i: (held_y[i], i))
    rows = [json.dumps({"label": int(held_y[i]), "place": int(places[i]), "image": [int(v) for v in held_x[i]]}) for i in chosen]
    with open(f"{to}/samples.json", "w") as file:
        file.write("[\n  " + ",\n  ".join(rows) + "\n]\n")
    print(json.dumps(figures, indent=None))


if __name__ == "__main__":
    main()
