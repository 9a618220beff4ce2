"""CompressAI's entropy models as the adapted codecs use them: noise can be given, steps recorded, coding ends."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

with warnings.catch_warnings():
    warnings.filterwarnings("ignore", message=".*torch.jit.*")
    from compressai.entropy_models import EntropyBottleneck, EntropyModel, GaussianConditional
    from compressai.layers import MaskedConv2d

from lic_exp.models import compressai_coding as coder
from lic_exp.models import rans, symbol_record
from lic_exp.models.near_lines import log_scales
from lic_exp.models.noise import Noise
from lic_exp.models.portable import as_weights_of, near_lines
from lic_exp.private_interfaces import coding_tables, density_likelihoods


class CodedAsArrays(EntropyModel):
    """The same strings, without lists of Python between tensors and the coder."""

    def compress(self, inputs: Tensor, indexes: Tensor, means: Tensor | None = None) -> list[bytes]:
        """One string for each of `inputs` (B, ...), by the table rows that `indexes` (B, ...) names."""
        symbols, tables = self.quantize(inputs, "symbols", means), self._row_tables()
        images = zip(symbols, indexes, strict=True)
        return [rans.encode(coder.array_of(own), coder.array_of(rows), tables) for own, rows in images]

    def decompress(
        self, strings: list[bytes], indexes: Tensor, dtype: torch.dtype = torch.float, means: Tensor | None = None
    ) -> Tensor:
        """The values (B, ...) of what `compress` coded by the same rows. Raises CodingError as `coder.check_whole`."""
        tables = self._row_tables()
        readers = [rans.reader(string, tables, rows.numel()) for string, rows in zip(strings, indexes, strict=True)]
        read = [coder.read_by(reader, rows) for reader, rows in zip(readers, indexes, strict=True)]
        values: Tensor = self.dequantize(torch.stack(read), means, dtype)
        for string, reader in zip(strings, readers, strict=True):
            coder.check_whole(reader.comes_back(), string)
        return values

    def stands_for(self, string: bytes, symbols: Tensor, indexes: Tensor) -> bool:
        """Whether symbols of the rows that `indexes` names, coded, are the string."""
        return rans.stands_for(string, coder.array_of(symbols), coder.array_of(indexes), self._row_tables())

    def _row_tables(self) -> rans.RowTables:
        tables = coder.Tables(*coding_tables(self))
        if not tables.cdf.numel():
            raise ValueError("there are no coding tables yet: call the codec's update() first")
        return coder.row_tables(tables)


class Bottleneck(EntropyBottleneck, CodedAsArrays):
    """The same numbers, in a form that can be captured as a graph: CompressAI's permutes by the values of a tensor.

    noise: where it is given, it is added before, to (B, C, h, w), where images can be told apart.
    """

    noise: Noise

    def forward(self, x: Tensor, training: bool | None = None) -> tuple[Tensor, Tensor]:
        """What becomes of x (B, C, h, w), noisy or rounded around the medians, and its likelihoods."""
        noisy = self.training if training is None else training
        if noisy and self.noise.bound:
            x = x + self.noise(x)
        channels_first = x.transpose(0, 1).contiguous()
        values = self.quantize(
            channels_first.flatten(1).unsqueeze(1), "noise" if noisy else "dequantize", self.quantiles[:, :, 1:2]
        )
        likelihoods = density_likelihoods(self, values)
        if self.use_likelihood_bound:
            likelihoods = self.likelihood_lower_bound(likelihoods)
        first, second = (found.reshape(channels_first.shape).transpose(0, 1) for found in (values, likelihoods))
        return first.contiguous(), second.contiguous()

    def quantize(self, inputs: Tensor, mode: str, means: Tensor | None = None) -> Tensor:
        if mode == "noise" and self.noise.bound:
            return inputs
        values: Tensor = super().quantize(inputs, mode, means)
        return values


class Conditional(GaussianConditional, CodedAsArrays):
    """CompressAI's, whose noise can be given."""

    noise: Noise

    def quantize(self, inputs: Tensor, mode: str, means: Tensor | None = None) -> Tensor:
        if mode == "noise" and self.noise.bound:
            noisy: Tensor = inputs + self.noise(inputs)
            return noisy
        values: Tensor = super().quantize(inputs, mode, means)
        return values


class Masked(MaskedConv2d):
    """The same numbers, masked where they are: CompressAI's weight has new memory after every forward pass."""

    def forward(self, x: Tensor) -> Tensor:
        self.weight.data.mul_(self.mask)
        return nn.Conv2d.forward(self, x)


@contextmanager
def read_to_its_end(model: Conditional, string: bytes) -> Iterator[None]:
    """Inside, CompressAI's loop reads one string, position by position. Raises CodingError as `coder.check_whole`."""
    symbols, rows = list[Tensor](), list[Tensor]()
    own: Any = model
    build_indexes, dequantize = own.build_indexes, own.dequantize

    def noted_rows(scales: Tensor) -> Tensor:
        rows.append(build_indexes(scales))
        return rows[-1]

    def noted_symbols(inputs: Tensor, *means: Any, **options: Any) -> Tensor:
        symbols.append(inputs.clone())  # the means are added where they are
        values: Tensor = dequantize(inputs, *means, **options)
        return values

    own.build_indexes, own.dequantize = noted_rows, noted_symbols
    try:
        yield
    finally:
        for name in ("build_indexes", "dequantize"):
            vars(own).pop(name, None)
    whole = (torch.cat([part.flatten() for part in parts]) for parts in (symbols, rows))
    coder.check_whole(model.stands_for(string, *whole), string)


def adopt_entropy_models(codec: nn.Module) -> None:
    """Make the entropy models and contexts of a codec, in place, the kinds above, with all that they hold."""
    kinds: dict[type, type] = {EntropyBottleneck: Bottleneck, GaussianConditional: Conditional, MaskedConv2d: Masked}
    for model in [module for module in codec.modules() if type(module) in kinds]:
        model.__class__ = kinds[type(model)]
        if isinstance(model, EntropyModel):
            model.noise = Noise()


SCALE_TABLE = 0.11, 256.0, 64
"""Smallest, largest and number of the scales for which CompressAI's `update` makes tables."""


@contextmanager
def each_in_its_own_numbers(*networks: nn.Module) -> Iterator[None]:
    """Inside, networks take what has other numbers than their weights: one predicts in float64, the next does not."""
    handles = [network.register_forward_pre_hook(_converted) for network in networks]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _converted(network: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return tuple(as_weights_of(network, x) for x in inputs)


@contextmanager
def entropy_models_on_cpu(codec: nn.Module) -> Iterator[None]:
    """Inside, a codec's entropy models are on the CPU, whose tables other machines make too."""
    models = [module for module in codec.modules() if isinstance(module, EntropyModel)]
    homes = [next(iter((*model.parameters(), *model.buffers()))).device for model in models]
    try:
        for model in models:
            model.cpu()
        yield
    finally:
        for model, home in zip(models, homes, strict=True):
            model.to(home)


@contextmanager
def refusing_what_never_ends(codec: nn.Module) -> Iterator[list[Tensor]]:
    """Inside, the entropy models of a codec raise CodingError instead of handing such to CompressAI's coder.

    As floating-point numbers: those beyond int32 become any symbols, and NaN becomes one that passes for a finite one.
    Gives what is coded, in this order, as a decoder will have it.
    """
    models = [module for module in codec.modules() if isinstance(module, EntropyModel)]
    try:
        coded: list[Tensor] = []
        strings = [_check_what_is_coded(model, coded) for model in models]
        yield coded
        for string in strings:
            symbol_record.finished(string)
    finally:
        for model in models:
            for name in ("quantize", "dequantize", "build_indexes"):
                vars(model).pop(name, None)


def _check_what_is_coded(model: Any, coded: list[Tensor]) -> symbol_record.Part:
    """Let one entropy model, until its attributes are removed, check what goes into symbols and table rows.

    coded: gets what a decoder will have. The symbols are recorded as those of one string, which is returned, in
    whatever parts they come.
    """
    quantize, dequantize, string = model.quantize, model.dequantize, object()

    def checked(inputs: Tensor, mode: str, means: Tensor | None = None) -> Tensor:
        if mode == "symbols":
            coder.check_symbols(inputs if means is None else inputs - means)
        symbols: Tensor = quantize(inputs, mode, means)
        if mode == "symbols":
            symbol_record.encoded(symbols, string)
            coded.append(dequantize(symbols, means))
        return symbols

    def restored(inputs: Tensor, means: Tensor | None = None, dtype: torch.dtype = torch.float) -> Tensor:
        if means is not None:
            coder.check_moments(means, "means")
        symbol_record.decoded(inputs, string)
        if isinstance(model, EntropyBottleneck):  # it has all of them at once, and others follow
            symbol_record.finished(string)
        values: Tensor = dequantize(inputs, means, dtype)
        return values

    model.quantize, model.dequantize = checked, restored
    if isinstance(model, GaussianConditional):
        build_indexes: Any = model.build_indexes

        def rows(scales: Tensor) -> Tensor:
            coder.check_moments(scales, "scales")
            lists = near_lines()
            if lists is not None:
                return lists.rows(scales, log_scales(*SCALE_TABLE)[:-1], string)
            indexes: Tensor = build_indexes(scales)
            return indexes

        model.build_indexes = rows
    return string
