"""Writing text one token at a time."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Int
from torch import Tensor
from tqdm.auto import tqdm

from cleanlens.key_value_cache import HookedTransformerKeyValueCache
from cleanlens.tokenization import PaddingSide, infer_mask
from cleanlens.utils import InputError, sample_logits

if TYPE_CHECKING:
    from cleanlens.hooked_transformer import HookedTransformer


class Generation:
    """The methods of a HookedTransformer that continue a text."""

    @torch.no_grad()
    def generate(
        self: "HookedTransformer",
        input: str | Sequence[str] | Int[Tensor, "..."] = "",
        max_new_tokens: int = 10,
        stop_at_eos: bool = True,
        eos_token_id: int | Sequence[int] | None = None,
        do_sample: bool = True,
        top_k: int | None = None,
        top_p: float | None = None,
        temperature: float = 1.0,
        freq_penalty: float = 0.0,
        use_past_kv_cache: bool = True,
        prepend_bos: bool | None = None,
        padding_side: PaddingSide | None = None,
        return_type: Literal["input", "str", "tokens"] = "input",
        verbose: bool = True,
    ) -> Any:
        """Continue a text, texts, or tokens.

        Args:
            max_new_tokens: how many tokens to add at most.
            stop_at_eos: a row that reaches an end-of-text token is finished and filled up with it; all ends
                when every row has.
            eos_token_id: one or several; None: the tokenizer's.
            do_sample: draw each token; False takes the most likely one.
            top_k, top_p, temperature, freq_penalty: see `utils.sample_logits`.
            use_past_kv_cache: keep keys and values instead of reading the text again for every token. The
                result is the same.
            padding_side: shorter texts of a batch are padded on the left, so that all end together; for
                tokens with padding, where it is (only "left" can be continued).
            return_type: "str", "tokens" (prompt included, `[batch pos]`) or "input": as the input came.
            verbose: show a progress bar.

        Raises:
            ValueError: prompt and new tokens do not fit into n_ctx; no end-of-text token is known.
        """
        tokens, mask = self._read_prompt(input, prepend_bos, padding_side, max_new_tokens)
        steps = self._steps(
            tokens,
            mask,
            max_new_tokens,
            self._eos_ids(stop_at_eos, eos_token_id),
            use_past_kv_cache,
            dict(top_k=top_k, top_p=top_p, freq_penalty=freq_penalty, temperature=temperature * do_sample),
        )
        new = list(tqdm(steps, total=max_new_tokens, desc="generating", unit="token", disable=not verbose))
        tokens = torch.cat([tokens, *(token[:, None] for token in new)], dim=1)
        return self._as_return_type(tokens, mask, input, return_type)

    def generate_stream(
        self: "HookedTransformer",
        input: str | Sequence[str] | Int[Tensor, "..."] = "",
        max_new_tokens: int = 10,
        max_tokens_per_yield: int = 1,
        stop_at_eos: bool = True,
        eos_token_id: int | Sequence[int] | None = None,
        do_sample: bool = True,
        top_k: int | None = None,
        top_p: float | None = None,
        temperature: float = 1.0,
        freq_penalty: float = 0.0,
        use_past_kv_cache: bool = True,
        prepend_bos: bool | None = None,
        padding_side: PaddingSide | None = None,
        return_type: Literal["input", "str", "tokens"] = "input",
    ) -> Iterator[Any]:
        """As `generate`, but yields the new tokens (or their text) as they come, without the prompt."""
        tokens, mask = self._read_prompt(input, prepend_bos, padding_side, max_new_tokens)
        steps = self._steps(
            tokens,
            mask,
            max_new_tokens,
            self._eos_ids(stop_at_eos, eos_token_id),
            use_past_kv_cache,
            dict(top_k=top_k, top_p=top_p, freq_penalty=freq_penalty, temperature=temperature * do_sample),
        )
        return self._chunks(steps, max_tokens_per_yield, input, return_type)

    def _chunks(
        self: "HookedTransformer", steps: Iterator[Tensor], size: int, input: Any, return_type: str
    ) -> Iterator[Any]:
        chunk: list[Tensor] = []
        for token in steps:
            chunk.append(token)
            if len(chunk) == size:
                yield self._as_return_type(torch.stack(chunk, dim=1), None, input, return_type)
                chunk = []
        if chunk:
            yield self._as_return_type(torch.stack(chunk, dim=1), None, input, return_type)

    def _read_prompt(
        self: "HookedTransformer",
        input: Any,
        prepend_bos: bool | None,
        padding_side: PaddingSide | None,
        max_new_tokens: int,
    ) -> tuple[Tensor, Tensor | None]:
        """The prompt's tokens and mask, once it is clear that the continuation fits behind them."""
        if padding_side == "right":
            raise ValueError("generate: padding on the right would stand between a text and its continuation")
        mask = None
        if isinstance(input, Tensor) and input.ndim == 2 and self.tokenizer is not None:
            mask = infer_mask(input, self.tokenizer.pad_token_id, "left")
            mask = torch.ones_like(input) if mask is None else mask  # nothing to infer on the right either
        tokens, mask = self._read_tokens(input, prepend_bos, "left", mask)
        longest = tokens.shape[1] + max_new_tokens - 1  # the last new token is not read any more
        if longest > self.cfg.n_ctx:
            room = self.cfg.n_ctx - tokens.shape[1] + 1
            raise ValueError(
                f"generate: {tokens.shape[1]} prompt tokens and {max_new_tokens} new ones do not fit into n_ctx = "
                f"{self.cfg.n_ctx}; there is room for {max(room, 0)} new tokens"
            )
        return tokens, None if mask is None or mask.all() else mask

    def _eos_ids(
        self: "HookedTransformer", stop_at_eos: bool, eos_token_id: int | Sequence[int] | None
    ) -> list[int]:
        if not stop_at_eos:
            return []
        if eos_token_id is None:
            eos_token_id = getattr(self.tokenizer, "eos_token_id", None)
        if eos_token_id is None:
            raise InputError(
                "stop_at_eos needs an eos_token_id or a tokenizer that has one; or stop_at_eos=False"
            )
        return [eos_token_id] if isinstance(eos_token_id, int) else list(eos_token_id)

    @torch.no_grad()
    def _steps(
        self: "HookedTransformer",
        tokens: Int[Tensor, "batch pos"],
        mask: Int[Tensor, "batch pos"] | None,
        max_new_tokens: int,
        eos_ids: list[int],
        use_past_kv_cache: bool,
        sampling: dict[str, Any],
    ) -> Iterator[Int[Tensor, "batch"]]:
        """The next token of every row, again and again."""
        cache = None
        if use_past_kv_cache:
            cache = HookedTransformerKeyValueCache.init_cache(
                self.cfg, None, len(tokens), tokens.shape[1] + max_new_tokens
            )
        finished = torch.zeros(len(tokens), dtype=torch.bool, device=tokens.device)
        mask = torch.ones_like(tokens) if mask is None else mask
        unread, unread_mask = tokens, mask
        for _ in range(max_new_tokens):
            resid = self(
                unread,
                attention_mask=unread_mask,
                stop_at_layer=self.cfg.n_layers,
                past_kv_cache=cache,
            )
            logits = self.unembed(self.ln_final(resid[:, -1:]))[:, 0]  # only the last position is read
            token = sample_logits(logits, tokens=tokens, attention_mask=mask, **sampling)
            if eos_ids:
                token = torch.where(finished, eos_ids[0], token)
                finished |= torch.isin(token, torch.tensor(eos_ids, device=token.device))
            yield token
            if eos_ids and finished.all():
                return
            tokens = torch.cat([tokens, token[:, None]], dim=1)
            mask = F.pad(mask, (0, 1), value=1)
            new = 0 if cache is None else -1
            unread, unread_mask = tokens[:, new:], mask[:, new:]

    def _as_return_type(
        self: "HookedTransformer", tokens: Tensor, mask: Tensor | None, input: Any, return_type: str
    ) -> Any:
        if return_type not in ("input", "str", "tokens"):
            raise ValueError(f"return_type = {return_type!r}; it must be 'input', 'str' or 'tokens'")
        if return_type == "tokens" or (return_type == "input" and isinstance(input, Tensor)):
            return tokens
        tokenizer = self._tokenizer("turning tokens into text")
        special = {tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id}
        texts = [str(self.to_string([i for i in row if i not in special])) for row in tokens.tolist()]
        return texts[0] if isinstance(input, str) or len(texts) == 1 else texts
