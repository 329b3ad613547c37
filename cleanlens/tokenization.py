"""Text to tokens and back. BOS and padding are handled on token ids, never by editing the text."""

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor

from cleanlens.utils import InputError

if TYPE_CHECKING:
    from cleanlens.hooked_transformer import HookedTransformer

PaddingSide = Literal["left", "right"]


def pad(
    rows: Sequence[Sequence[int]], pad_id: int, side: PaddingSide
) -> tuple[Int[Tensor, "batch pos"], Int[Tensor, "batch pos"]]:
    """Rows filled up to the longest, and the mask that tells padding (0) from tokens (1)."""
    if side not in ("left", "right"):
        raise ValueError(f"padding_side = {side!r}; it must be 'left' or 'right'")
    width = max(len(row) for row in rows)
    tokens = torch.full((len(rows), width), pad_id)
    mask = torch.zeros(len(rows), width, dtype=torch.int64)
    for i, row in enumerate(rows):
        place = slice(width - len(row), width) if side == "left" else slice(0, len(row))
        tokens[i, place] = torch.tensor(row, dtype=torch.int64)
        mask[i, place] = 1
    return tokens, mask


def infer_mask(
    tokens: Int[Tensor, "batch pos"], pad_id: int, side: PaddingSide
) -> Int[Tensor, "batch pos"] | None:
    """Which tokens are padding, judged from the ids alone; None when none is.

    Padding makes rows equally long, so the longest row has none: a run of `pad_id` that every row has at
    that end is text. This keeps a BOS that is also the padding token (GPT-2's are one), and never finds
    padding in a single row.
    """
    from_end = tokens if side == "left" else tokens.flip(1)
    run = (from_end == pad_id).long().cumprod(dim=1).sum(dim=1)
    n_padding = run - run.min()
    if not n_padding.any():
        return None
    mask = (torch.arange(tokens.shape[1], device=tokens.device) >= n_padding[:, None]).long()
    return mask if side == "left" else mask.flip(1)


def named_tokenizer(name: str) -> Any:
    """A Hugging Face tokenizer by its name or folder; None, with a warning, when it can not be had."""
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(name, trust_remote_code=False)
    except (OSError, ValueError) as error:
        reason = (str(error).splitlines() or [""])[0][:100]
        warnings.warn(
            f"the tokenizer {name!r}, which the config names, is not on this machine and could not be fetched "
            f"({reason}). The model reads tokens; for texts call model.set_tokenizer(...)",
            stacklevel=3,
        )
        return None


class Tokenization:
    """The methods of a HookedTransformer that turn text into tokens and tokens into text."""

    def set_tokenizer(
        self: "HookedTransformer", tokenizer: Any, default_padding_side: PaddingSide | None = None
    ) -> None:
        """Use this Hugging Face tokenizer from now on; sets `d_vocab` when the config left it open."""
        self.tokenizer = tokenizer
        if default_padding_side is not None:
            self.cfg.default_padding_side = default_padding_side
        self.cfg.tokenizer_name = getattr(tokenizer, "name_or_path", None)
        self.cfg.tokenizer_prepends_bos = tokenizer("")["input_ids"][:1] == [tokenizer.bos_token_id]
        # A tokenizer without BOS or padding of its own gets the end-of-text token for both, as GPT-2's has.
        for name in ("bos_token", "pad_token"):
            if getattr(tokenizer, name) is None and tokenizer.eos_token is not None:
                setattr(tokenizer, name, tokenizer.eos_token)
        if self.cfg.d_vocab == -1:
            self.cfg.d_vocab = len(tokenizer)
        if self.cfg.d_vocab_out == -1:
            self.cfg.d_vocab_out = self.cfg.d_vocab

    def _tokenizer(self: "HookedTransformer", what: str) -> Any:
        if self.tokenizer is None:
            raise InputError(
                f"{what} needs a tokenizer and this model has none; call model.set_tokenizer(...) or pass tokens"
            )
        return self.tokenizer

    def _encode(
        self: "HookedTransformer", texts: str | Sequence[str], prepend_bos: bool | None, truncate: bool
    ) -> list[list[int]]:
        """Token ids of each text, BOS in front, without padding."""
        tokenizer = self._tokenizer("turning text into tokens")
        texts = [texts] if isinstance(texts, str) else list(texts)
        if not texts:
            raise ValueError("got an empty list of texts; give at least one")
        prepend_bos = self.cfg.default_prepend_bos if prepend_bos is None else prepend_bos
        rows = []
        for text in texts:
            if not isinstance(text, str):
                raise TypeError(f"expected a text (str), got a {type(text).__name__}")
            ids = list(tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])
            if prepend_bos and ids[:1] != [tokenizer.bos_token_id]:
                ids = [tokenizer.bos_token_id, *ids]
            if not ids:
                raise ValueError("an empty text has no tokens; give prepend_bos=True to start from BOS alone")
            if truncate and len(ids) > self.cfg.n_ctx:
                warnings.warn(
                    f"a text of {len(ids)} tokens was cut to its first {self.cfg.n_ctx} (n_ctx); "
                    "truncate=False keeps it whole",
                    stacklevel=4,
                )
                ids = ids[: self.cfg.n_ctx]
            rows.append(ids)
        return rows

    def _to_tokens_and_mask(
        self: "HookedTransformer",
        texts: str | Sequence[str],
        prepend_bos: bool | None = None,
        padding_side: PaddingSide | None = None,
        truncate: bool = True,
    ) -> tuple[Int[Tensor, "batch pos"], Int[Tensor, "batch pos"]]:
        rows = self._encode(texts, prepend_bos, truncate)
        pad_id = self._tokenizer("padding").pad_token_id
        return pad(rows, 0 if pad_id is None else pad_id, padding_side or self.cfg.default_padding_side)

    def to_tokens(
        self: "HookedTransformer",
        input: str | Sequence[str],
        prepend_bos: bool | None = None,
        padding_side: PaddingSide | None = None,
        move_to_device: bool = True,
        truncate: bool = True,
    ) -> Int[Tensor, "batch pos"]:
        """Tokens of one text or several, shorter ones padded.

        Args:
            prepend_bos: put BOS in front unless the text starts with it; None: cfg.default_prepend_bos.
            padding_side: None: cfg.default_padding_side.
            truncate: cut what is longer than n_ctx, with a warning.

        Raises:
            ValueError: no tokenizer, no texts, or a text without tokens.
        """
        tokens, _ = self._to_tokens_and_mask(input, prepend_bos, padding_side, truncate)
        return tokens.to(self.cfg.device) if move_to_device else tokens

    def to_string(
        self: "HookedTransformer", tokens: Int[Tensor, "..."] | np.ndarray | Sequence[int] | int
    ) -> str | list[str]:
        """The text of one sequence of tokens, or a list of texts for a batch. Special tokens are kept."""
        tokenizer = self._tokenizer("turning tokens into text")
        ids = torch.as_tensor(tokens)
        if ids.ndim > 2:
            raise ValueError(
                f"to_string: tokens have shape {list(ids.shape)}; expected [], [pos] or [batch pos]"
            )
        rows = [tokenizer.decode(row.reshape(-1).tolist()) for row in (ids if ids.ndim == 2 else ids[None])]
        return rows if ids.ndim == 2 else rows[0]

    def to_str_tokens(
        self: "HookedTransformer",
        input: str | Sequence[str] | Int[Tensor, "..."] | np.ndarray,
        prepend_bos: bool | None = None,
        padding_side: PaddingSide | None = None,
    ) -> list[str] | list[list[str]]:
        """Every token as its own piece of text; a list of lists for a list of texts. Nothing is padded."""
        if isinstance(input, str):
            ids = self._encode(input, prepend_bos, truncate=False)[0]
        elif isinstance(input, (Tensor, np.ndarray)):
            flat = torch.as_tensor(input)
            flat = flat.squeeze(0) if flat.ndim == 2 else flat
            if flat.ndim > 1:
                raise ValueError(
                    f"to_str_tokens: tokens have shape {list(flat.shape)}; expected [pos] or [1 pos]. "
                    "For a batch: [model.to_str_tokens(row) for row in tokens]"
                )
            ids = flat.reshape(-1).tolist()
        else:
            return [self.to_str_tokens(text, prepend_bos, padding_side) for text in input]  # type: ignore[return-value]
        tokenizer = self._tokenizer("turning tokens into text")
        return [tokenizer.decode([i], clean_up_tokenization_spaces=False) for i in ids]

    def to_single_token(self: "HookedTransformer", string: str) -> int:
        """The id of a text that is exactly one token; " Mary" and "Mary" are different ones.

        Raises:
            ValueError: it is not one token; the message shows its pieces.
        """
        ids = self._encode(string, prepend_bos=False, truncate=False)[0]
        if len(ids) != 1:
            pieces = self.to_str_tokens(string, prepend_bos=False)
            raise ValueError(f"{string!r} is not a single token but {len(ids)}: {pieces}")
        return ids[0]

    def to_single_str_token(self: "HookedTransformer", int_token: int) -> str:
        """The text of one token."""
        return str(self.to_str_tokens(torch.tensor([int_token]))[0])

    def get_token_position(
        self: "HookedTransformer",
        single_token: str | int,
        input: str | Int[Tensor, "pos"] | Int[Tensor, "1 pos"],
        mode: Literal["first", "last"] = "first",
        prepend_bos: bool | None = None,
        padding_side: PaddingSide | None = None,
    ) -> int:
        """The index of a token in a text or its tokens, BOS counted.

        Raises:
            ValueError: the token does not occur, or `mode` is neither "first" nor "last".
        """
        tokens = self.to_tokens(input, prepend_bos) if isinstance(input, str) else input
        tokens = tokens.squeeze(0) if tokens.ndim == 2 else tokens
        if tokens.ndim != 1:
            raise ValueError(
                f"get_token_position: tokens have shape {list(tokens.shape)}; expected [pos] or [1 pos]"
            )
        token = self.to_single_token(single_token) if isinstance(single_token, str) else int(single_token)
        places = (tokens == token).nonzero()[:, 0].tolist()
        if not places:
            raise ValueError(f"the token {single_token!r} does not occur in {tokens.tolist()}")
        if mode not in ("first", "last"):
            raise ValueError(f"mode = {mode!r}; it must be 'first' or 'last'")
        return places[0 if mode == "first" else -1]

    def tokens_to_residual_directions(
        self: "HookedTransformer", tokens: str | int | Int[Tensor, "..."]
    ) -> Float[Tensor, "... d_model"]:
        """The direction of the final residual stream that each token's logit reads: its column of W_U.

        Exact for a model with folded LayerNorm; otherwise the gain of ln_final is still to be applied.
        """
        if isinstance(tokens, str):
            tokens = self.to_single_token(tokens)
        return rearrange(self.W_U[:, torch.as_tensor(tokens)], "d_model ... -> ... d_model")
