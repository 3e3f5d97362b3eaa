"""Attention of torch.nn with fused softmax and dropout."""

import torch
from torch import Tensor, nn

from fastnn.torch import functional as F
from fastnn.torch.autograd import fits, is_large, is_narrowed


class MultiheadAttention(nn.MultiheadAttention):
    """torch.nn.MultiheadAttention that trains with fused softmax and dropout; see
    `fastnn.torch.functional.scaled_dot_product_attention`.

    This applies to training with dropout, need_weights=False and, if any, an attn_mask (L, S) that masks no row fully.
    Everything else, including evaluation, runs torch's code.
    """

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Tensor | None = None,
        need_weights: bool = True,
        attn_mask: Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """As torch.nn.MultiheadAttention."""
        plain = not need_weights and key_padding_mask is None and (attn_mask is not None or not is_causal)
        plain = plain and is_large("attention", query)
        if not (plain and self._is_usual(query, key, value)) or not (
            attn_mask is None or self._is_usual_mask(attn_mask, query, key)
        ):
            torchs: tuple[Tensor, Tensor | None] = super().forward(
                query, key, value, key_padding_mask, need_weights, attn_mask, average_attn_weights, is_causal
            )
            return torchs
        q, k, v = self._heads(query, key, value)
        if is_causal:  # torch takes the mask for a causal one then, without a look at it
            attn_mask = None
        elif attn_mask is not None and attn_mask.dtype == torch.bool:
            attn_mask = ~attn_mask  # True means the opposite in torch's two masks
        y = F.scaled_dot_product_attention(q, k, v, attn_mask, self.dropout, is_causal)  # (N, H, L, D)
        y = nn.functional.linear(y.permute(2, 0, 1, 3).flatten(2), self.out_proj.weight, self.out_proj.bias)
        return y.transpose(0, 1) if self.batch_first else y, None

    def _is_usual(self, query: Tensor, key: Tensor, value: Tensor) -> bool:
        batch = 0 if self.batch_first else 1
        return (
            self.training
            and 0 < self.dropout <= 1
            and self._qkv_same_embed_dim
            and self.bias_k is None
            and not self.add_zero_attn
            and all(
                isinstance(t, Tensor) and t.dim() == 3 and t.shape[-1] == self.embed_dim for t in (query, key, value)
            )
            and key.shape == value.shape
            and query.shape[batch] == key.shape[batch]
            and not is_narrowed()
            and fits(query, key, value, self.in_proj_weight, self.in_proj_bias, self.out_proj.weight)
        )

    def _is_usual_mask(self, mask: Tensor, query: Tensor, key: Tensor) -> bool:
        """Return whether a mask is (L, S), bool or of the query's dtype, and hides no row completely."""
        length = 1 if self.batch_first else 0
        shape = query.shape[length], key.shape[length]
        return tuple(mask.shape) == shape and F.is_usual_mask(~mask if mask.dtype is torch.bool else mask, query)

    def _heads(self, *inputs: Tensor) -> list[Tensor]:
        """Return the projected query, key and value, (N, H, length, D)."""
        weight, bias = self.in_proj_weight, self.in_proj_bias
        if all(t is inputs[0] for t in inputs):
            projected = nn.functional.linear(inputs[0], weight, bias).chunk(3, -1)
        else:
            biases = (None, None, None) if bias is None else bias.chunk(3)
            parts = zip(inputs, weight.chunk(3), biases, strict=True)
            projected = tuple(nn.functional.linear(*part) for part in parts)
        order = (0, 2, 1, 3) if self.batch_first else (1, 2, 0, 3)
        return [t.unflatten(-1, (self.num_heads, self.head_dim)).permute(order) for t in projected]
