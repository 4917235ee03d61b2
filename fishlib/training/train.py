"""Trains one model of the zoo on drawn pictures.

python -m fishlib.training.train sam --out DIR --pictures 4000 --seed 1
"""

import argparse
import copy
import math
import time
from importlib import import_module
from pathlib import Path

import cv2
import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from fishlib.training import data


def save(model: torch.nn.Module, path: Path, facts: dict[str, str]) -> None:
    """Writes the state as float16 safetensors with facts in its header, atomically."""
    state = {k: v.half() if v.is_floating_point() else v for k, v in model.state_dict().items()}
    part = path.with_name(path.name + ".part")
    save_file({k: v.contiguous().clone() for k, v in state.items()}, part, metadata=facts)
    part.replace(path)


def fit(model, batch, loss, out: Path, minutes: float, rate: float, facts: dict, seed: int) -> None:
    """AdamW under a cosine over a fixed time, bf16 autocast, clipped gradients; the moving average is saved.

    batch(rng, share of the time gone) -> dict; loss(model, batch) -> (Tensor, figures to print).
    """
    torch.manual_seed(seed)
    rng, average = np.random.default_rng(seed), copy.deepcopy(model).requires_grad_(False)
    slow, fast = [], []  # the ImageNet features move at a third of the rate
    for name, p in model.named_parameters():
        if p.requires_grad:
            (slow if "backbone.blocks" in name or "features.blocks" in name else fast).append(p)
    optimizer = torch.optim.AdamW([{"params": fast, "scale": 1.0}, {"params": slow, "scale": 0.3}], weight_decay=0.02)
    start, shown, step, pace = time.monotonic(), 0.0, 0, {}
    model.train()
    while (share := (time.monotonic() - start) / (60 * minutes)) < 1:
        now = rate * min(1, (step + 1) / 100) * (0.02 + 0.49 * (1 + math.cos(math.pi * share)))
        for group in optimizer.param_groups:
            group["lr"] = now * group["scale"]
        part = batch(rng, share)
        with torch.autocast("cpu", torch.bfloat16):
            value, figures = loss(model, part)
        optimizer.zero_grad(set_to_none=True)
        value.backward()
        torch.nn.utils.clip_grad_norm_([*slow, *fast], 1.0)
        optimizer.step()
        with torch.no_grad():
            for a, b in zip(average.parameters(), model.parameters(), strict=True):
                a.lerp_(b, 1 - min(0.998, (1 + step) / (10 + step)))
        step += 1
        for k, v in {"loss": value.item(), **figures}.items():
            pace[k] = pace.get(k, v) * 0.97 + v * 0.03
        if time.monotonic() - shown > 30 or share > 1 - 1e-3:
            shown = time.monotonic()
            print(f"{shown - start:.0f} s step {step}", *(f"{k} {v:.3f}" for k, v in pace.items()), flush=True)
            save(average, out, facts | {"steps": str(step), "seconds": f"{shown - start:.0f}"})
    save(average, out, facts | {"steps": str(step), "seconds": f"{time.monotonic() - start:.0f}"})


def blend(start: Path, out: Path, share: float) -> None:
    """Puts a share of the starting checkpoint back into the one trained from it (WiSE-FT, Wortsman et al. 2022)."""
    first, last = load_file(start), load_file(out)
    with safe_open(out, "pt") as opened:
        facts = opened.metadata() | {"keep": str(share)}
    mixed = {k: torch.lerp(v.float(), first.get(k, v).float(), share).to(v.dtype) for k, v in last.items()}
    save_file(mixed, out, metadata=facts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=["sam", "gdino", "clip", "detic"])
    parser.add_argument("--out", type=Path, required=True, help="folder for the checkpoint and the drawn pictures")
    parser.add_argument("--pictures", type=int, default=4000)
    parser.add_argument("--fishless", type=float, default=0.2, help="share of the pictures drawn without a fish")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=40)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rate", type=float, help="learning rate")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--start", type=Path, help="checkpoint to go on from (for detic: that of sam)")
    parser.add_argument("--keep", type=float, default=0.0, help="share of --start to put back at the end")
    args = parser.parse_args()
    if args.keep and not args.start:
        parser.error("--keep puts a share of --start back; give one")
    torch.set_num_threads(args.threads), cv2.setNumThreads(1), torch.manual_seed(args.seed)
    folder = args.out / f"pictures-{args.pictures}-{args.fishless}-{args.seed}"
    pictures = data.Pictures(data.draw_all(folder, args.pictures, args.seed, args.threads, args.fishless))
    network = import_module(f"fishlib.zoo.{args.name}")
    module = import_module(f"fishlib.training.{args.name}")
    model, rate = network.build(imagenet=True), args.rate or module.RATE
    if args.start:
        state = {k.removeprefix("image_encoder."): v for k, v in load_file(args.start).items()}
        wanted = {k.removeprefix("image_encoder."): k for k in model.state_dict()}
        print(model.load_state_dict({wanted[k]: v.float() for k, v in state.items() if k in wanted}, strict=False))
    facts = {k: str(v) for k, v in vars(args).items() if k in ("pictures", "fishless", "seed", "minutes", "batch")}
    facts |= {"rate": str(rate), "started from": "ImageNet features"}
    if args.start:
        with safe_open(args.start, "pt") as opened:
            facts["started from"] = (
                f"{args.start.name} ({', '.join(f'{k} {v}' for k, v in sorted(opened.metadata().items()))})"
            )
    out = args.out / f"{args.name}.safetensors"
    late = 1.0 if args.start and args.start.stem.startswith(args.name) else 0.0  # goes on at full size
    get = lambda r, share: module.batch(r, pictures, args.batch, max(share, late))  # noqa: E731
    fit(model, get, module.loss, out, args.minutes, rate, facts, args.seed)
    if args.keep:
        blend(args.start, out, args.keep)
    if args.name == "detic":
        module.export(out, out.with_suffix(".onnx"))


if __name__ == "__main__":
    main()
