"""`python -m cleanlens.training`: train the embedded models anew."""

import argparse
from dataclasses import replace
from pathlib import Path

import torch

from cleanlens.training import formats, recipes


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(
        prog="python -m cleanlens.training",
        description="Train the embedded models from nothing but a seed. On two CPU cores attn-only-2l-demo takes "
        "about twenty minutes and gpt2-demo about fifty.",
    )
    p.add_argument("model", nargs="?", default="all", choices=["attn-only-2l-demo", "gpt2-demo", "all"])
    p.add_argument("--steps", type=int, help="train for this many steps instead of the recipe's")
    p.add_argument(
        "--seed", type=int, help="another seed: other weights, other documents, the same tokenizer"
    )
    p.add_argument(
        "--out", type=Path, default=Path("trained"), help="where the model folders go (default: trained)"
    )
    p.add_argument(
        "--resume", action="store_true", help="go on from the state that an interrupted run left in --out"
    )
    p.add_argument("--threads", type=int, help="CPU threads for torch")
    p.add_argument(
        "--float32",
        action="store_true",
        help="multiply in float32 throughout; faster on a CPU without bfloat16 instructions",
    )
    return p


def main(argv: list[str] | None = None) -> None:
    args = parser().parse_args(argv)
    if args.threads:
        torch.set_num_threads(args.threads)
    changes = {"steps": args.steps, "seed": args.seed}
    changes["bfloat16"] = False if args.float32 else None
    changes = {name: value for name, value in changes.items() if value is not None}
    attn_only = args.out / "attn-only-2l-demo"
    if args.model in ("attn-only-2l-demo", "all"):
        recipes.make_attn_only(replace(recipes.ATTN_ONLY, **changes), attn_only, args.resume)
        print(f"attn-only-2l-demo is in {attn_only}")
    if args.model in ("gpt2-demo", "all"):
        # Grown from the weights trained here if there are any, else from the ones that ship.
        here, shipped = (
            recipes.starting_point(attn_only),
            recipes.starting_point(recipes.EMBEDDED / attn_only.name),
        )
        small = formats.read_weights(here if here.exists() else shipped)
        recipes.make_gpt2(replace(recipes.GPT2, **changes), args.out / "gpt2-demo", small, args.resume)
        print(f"gpt2-demo is in {args.out / 'gpt2-demo'}")


if __name__ == "__main__":
    main()
