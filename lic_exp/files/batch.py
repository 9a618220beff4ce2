"""Many files coded, one after another or by several processes; one that cannot be does not stop the others."""

import ctypes
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

from lic_exp.atomic import write_atomically
from lic_exp.data.workers import end_with_parent, job_signals_blocked, worker_context
from lic_exp.files.coding import decode_picture, encode_picture
from lic_exp.files.memory import DEFAULT_BYTES
from lic_exp.files.pairs import Pair
from lic_exp.files.parsing import parse
from lic_exp.files.partial import PartOfPicture, decode_partially
from lic_exp.files.picture_files import save_picture
from lic_exp.files.reading import read_picture
from lic_exp.files.targets import FileTarget, encode_for
from lic_exp.models.base import Codec
from lic_exp.processes import usable_cores

FILES_PER_PROCESS = 4
"""Of fewer, starting a process takes longer than it saves."""


@dataclass(frozen=True)
class CodedFile:
    """What became of a pair.

    error: why there is no target; None where there is. pixels: of the picture. file_bytes, string_bytes: of the .lic
    file and of its strings. notes: what was left out.
    """

    pair: Pair
    error: str | None = None
    pixels: int = 0
    file_bytes: int = 0
    string_bytes: int = 0
    notes: tuple[str, ...] = ()


FileWork = Callable[[Codec, Pair], CodedFile]
"""Makes the target of a pair. Raises ValueError or OSError."""


def compress_file(
    codec: Codec,
    pair: Pair,
    *,
    quality: float | None = None,
    target: FileTarget | None = None,
    portable: bool | None = None,
    memory: int = DEFAULT_BYTES,
) -> CodedFile:
    """Code a picture's file to a .lic file, at a quality or where that meets a target."""
    picture = read_picture(pair.source.read_bytes())
    notes = [*picture.notes]
    if target is None:
        data = encode_picture(picture, codec, quality=quality, portable=portable, memory=memory)
    else:
        made = encode_for(picture, codec, target, portable=portable, memory=memory)
        data = made.data
        if not made.met:
            notes.append(f"{made.reached:.4g} is nearest to {target}, past which this codec jumps")
    pair.target.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(pair.target, data)
    pixels = picture.height * picture.width
    return CodedFile(pair, None, pixels, len(data), parse(data).string_bytes, tuple(notes))


def decompress_file(codec: Codec, pair: Pair, *, max_pixels: int, partial: bool = False) -> CodedFile:
    """Decode a .lic file to a picture's file; partial: what is whole of it."""
    data = pair.source.read_bytes()
    file = parse(data, max_pixels=max_pixels, partial=partial)
    part = decode_partially(file, codec) if partial else PartOfPicture(decode_picture(file, codec), ())
    pair.target.parent.mkdir(parents=True, exist_ok=True)
    save_picture(part.picture, pair.target)
    return CodedFile(pair, None, file.height * file.width, len(data), file.string_bytes, part.notes)


class ManyFiles:
    """What becomes of pairs, in their order.

    load: makes the codec, here and in every process. jobs: how many processes; None: as many as there are cores, and no
    more than the files are worth. A codec on a GPU works in one.
    """

    def __init__(self, pairs: Sequence[Pair], load: Callable[[], Codec], work: FileWork, jobs: int | None) -> None:
        self.pairs, self.load, self.work = pairs, load, work
        self.codec = load()
        self.jobs = jobs or self._worth()

    def __len__(self) -> int:
        return len(self.pairs)

    def __iter__(self) -> Iterator[CodedFile]:
        if self.jobs == 1:
            return (_done(self.codec, self.work, pair) for pair in self.pairs)
        return self._by_processes()

    def _worth(self) -> int:
        on_cpu = all(weight.device.type == "cpu" for weight in self.codec.parameters())
        return max(1, min(usable_cores(), len(self.pairs) // FILES_PER_PROCESS)) if on_cpu else 1

    def _by_processes(self) -> Iterator[CodedFile]:
        context, began = worker_context(__name__), 0
        stopping = context.RawValue(ctypes.c_bool, False)  # without a lock, which a process that is killed would keep
        with ProcessPoolExecutor(self.jobs, context, _begin, (self.load, self.work, stopping)) as pool:
            with job_signals_blocked():
                coming = pool.map(_work, self.pairs)
            try:
                for done in coming:
                    began += 1
                    yield done
            except BrokenProcessPool:
                why = "a process that coded was killed, as for its memory: fewer --jobs take less"
                yield from (CodedFile(pair, why) for pair in self.pairs[began:])
            finally:
                stopping.value = True


def _done(codec: Codec, work: FileWork, pair: Pair) -> CodedFile:
    try:
        return work(codec, pair)
    except OSError as error:
        return CodedFile(pair, f"{error.filename or pair.source}: {error.strerror or error}")
    except MemoryError:
        return CodedFile(pair, "there is not memory enough for it")
    except (ValueError, RuntimeError) as error:
        return CodedFile(pair, str(error))


def _begin(load: Callable[[], Codec], work: FileWork, stopping: Any) -> None:
    """What a process does first. It computes with one thread: there are as many processes as cores.

    stopping: whether nobody waits any more for what was not begun, as after Ctrl-C.
    """
    end_with_parent(os.getpid())
    torch.set_num_threads(1)
    done = partial(_done, load(), work)
    _of_this_process.append(lambda pair: CodedFile(pair, "not begun") if stopping.value else done(pair))


def _work(pair: Pair) -> CodedFile:
    (done,) = _of_this_process
    return done(pair)


_of_this_process: list[Callable[[Pair], CodedFile]] = []
