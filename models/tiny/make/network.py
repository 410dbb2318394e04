"""The network of tiny: a decoder with RMSNorm, rotary positions and a gated feed-forward, written with simple operations only."""
import torch
import torch.nn as nn
import torch.nn.functional as F

CONTEXT = 384
ROPE_BASE = 10000.0
EPSILON = 1e-5


class Norm(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.gain = nn.Parameter(torch.ones(width))

    def forward(self, x):
        return x / torch.sqrt((x * x).mean(-1, keepdim=True) + EPSILON) * self.gain


class Layer(nn.Module):
    def __init__(self, width, heads, hidden):
        super().__init__()
        self.heads, self.head_dim = heads, width // heads
        self.norm1, self.norm2 = Norm(width), Norm(width)
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.out = nn.Linear(width, width, bias=False)
        self.up = nn.Linear(width, 2 * hidden, bias=False)
        self.down = nn.Linear(hidden, width, bias=False)

    def forward(self, x, cos, sin, mask, past=None):
        b, n, w = x.shape
        q, k, v = self.qkv(self.norm1(x)).view(b, n, 3, self.heads, self.head_dim).permute(2, 0, 3, 1, 4).unbind(0)
        q, k = rotate(q, cos, sin), rotate(k, cos, sin)
        if past is not None:
            k, v = torch.cat([past[0], k], 2), torch.cat([past[1], v], 2)
        scores = q @ k.transpose(2, 3) * self.head_dim**-0.5 + mask
        x = x + self.out((torch.softmax(scores, -1) @ v).transpose(1, 2).reshape(b, n, w))
        gate, up = self.up(self.norm2(x)).chunk(2, -1)
        return x + self.down(gate * torch.sigmoid(gate) * up), k, v


def rotate(x, cos, sin):
    half = x.shape[-1] // 2
    a, b = x[..., :half], x[..., half:]
    return torch.cat([a * cos - b * sin, b * cos + a * sin], -1)


class Tiny(nn.Module):
    def __init__(self, vocab, width=128, layers=4, heads=4, hidden=320):
        super().__init__()
        self.shape = {"vocab": vocab, "width": width, "layers": layers, "heads": heads, "hidden": hidden}
        self.embed = nn.Embedding(vocab, width)
        self.layers = nn.ModuleList(Layer(width, heads, hidden) for _ in range(layers))
        self.norm = Norm(width)
        head_dim = width // heads
        angle = torch.arange(CONTEXT).float()[:, None] * ROPE_BASE ** (-torch.arange(0, head_dim, 2).float() / head_dim)
        self.register_buffer("cos", angle.cos(), persistent=False)
        self.register_buffer("sin", angle.sin(), persistent=False)
        for parameter in self.parameters():
            if parameter.dim() == 2:
                nn.init.normal_(parameter, std=0.02 if parameter.shape[0] == vocab else parameter.shape[1] ** -0.5 * 0.7)
        for layer in self.layers:
            layer.out.weight.data /= (2 * layers) ** 0.5
            layer.down.weight.data /= (2 * layers) ** 0.5

    def hidden(self, ids):
        n = ids.shape[1]
        mask = torch.full((n, n), -1e9).triu(1)
        x = self.embed(ids) * self.shape["width"] ** 0.5
        for layer in self.layers:
            x, _, _ = layer(x, self.cos[:n], self.sin[:n], mask)
        return self.norm(x)

    def loss(self, ids, wanted):
        """Mean cross entropy of the next token where `wanted` is true for the target; other logits are never computed."""
        keep = wanted[:, 1:]
        states = self.hidden(ids[:, :-1])[keep]
        return F.cross_entropy(states @ self.embed.weight.T, ids[:, 1:][keep])


class Step(nn.Module):
    """The exported graph: input_ids [1,n], past_keys and past_values [layers, heads, p, headDim]."""

    def __init__(self, tiny):
        super().__init__()
        self.tiny = tiny

    def forward(self, input_ids, past_keys, past_values):
        tiny, p, n = self.tiny, past_keys.shape[2], input_ids.shape[1]
        at = torch.arange(n) + p
        mask = (torch.arange(n + p)[None, :] > at[:, None]).float() * -1e9
        x = tiny.embed(input_ids) * tiny.shape["width"] ** 0.5
        keys, values = [], []
        for i, layer in enumerate(tiny.layers):
            x, k, v = layer(x, tiny.cos[at], tiny.sin[at], mask, (past_keys[i][None], past_values[i][None]))
            keys.append(k[0])
            values.append(v[0])
        return tiny.norm(x)[0] @ tiny.embed.weight.T, torch.stack(keys), torch.stack(values)
