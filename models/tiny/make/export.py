"""Writes model.onnx (one graph for prefill and decoding, fp32, opset 16), tokenizer.json and model.json from a checkpoint.

    python3 export.py --from /tmp/tiny --to ..
"""
import argparse
import json
import shutil

import torch

from network import CONTEXT, Step, Tiny


def load(folder):
    saved = torch.load(f"{folder}/checkpoint.pt")
    model = Tiny(**saved["shape"])
    model.load_state_dict(saved["state"], strict=False)
    return model.eval(), saved["report"]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--from", dest="source", required=True)
    parser.add_argument("--to", required=True)
    options = parser.parse_args()
    model, report = load(options.source)
    shape = model.shape
    layers, heads, head_dim = shape["layers"], shape["heads"], shape["width"] // shape["heads"]
    past = torch.zeros(layers, heads, 2, head_dim)
    torch.onnx.export(Step(model), (torch.zeros(1, 3, dtype=torch.int64), past, past), f"{options.to}/model.onnx", opset_version=16,
                      input_names=["input_ids", "past_keys", "past_values"], output_names=["logits", "present_keys", "present_values"],
                      dynamic_axes={"input_ids": {1: "n"}, "past_keys": {2: "p"}, "past_values": {2: "p"}, "logits": {0: "n"},
                                    "present_keys": {2: "t"}, "present_values": {2: "t"}}, do_constant_folding=True)
    shutil.copyfile(f"{options.source}/tokenizer.json", f"{options.to}/tokenizer.json")
    card = {
        "name": "tiny", "kind": "causal-lm", "licence": "Apache-2.0", "files": ["model.onnx", "tokenizer.json"],
        "architecture": {"layers": layers, "heads": heads, "headDim": head_dim, "vocab": shape["vocab"], "context": CONTEXT},
        "template": {"kind": "role-tokens/1", "bos": 0, "system": 1, "user": 2, "assistant": 3, "end": 4},
        "defaults": {"temperature": 0, "topP": 1, "maxTokens": 160},
    }
    with open(f"{options.to}/model.json", "w") as file:
        json.dump(card, file, indent=2)
        file.write("\n")
    print(json.dumps({**shape, "parameters": sum(p.numel() for p in model.parameters()), **report}))


if __name__ == "__main__":
    main()
