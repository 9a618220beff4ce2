"""How a cell's end is named."""

import pytest

from lic_exp.sweeps.exit_status import diagnose

MEMORY = "lower data.batch_size, split the batch with trainer.accumulate"

LIBRARY = "a library could not be loaded, which no smaller batch mends"
TLS = "cannot allocate memory in static TLS block"


@pytest.mark.parametrize(
    ("code", "asked", "reason", "log", "killed", "expected", "said"),
    [
        (0, None, "", "", False, "done", ""),
        (75, None, "SIGTERM: stopped after step 3", "", False, "preempted", "stopped after step 3"),
        (75, "time_limit", "SIGTERM", "", False, "time_limit", "it reached its time limit"),
        (-15, "cancelled", "", "", False, "cancelled", "newest checkpoint"),
        (1, None, "RuntimeError: x\ny", "", False, "failed", "RuntimeError: x y"),
        (1, None, "OutOfMemoryError: CUDA out of memory. Tried", "", False, "out_of_memory", MEMORY),
        (1, None, "RuntimeError: [enforce fail] can't allocate memory: you tried", "", False, "out_of_memory", MEMORY),
        (
            1,
            None,
            "",
            "ImportError: libtorch.so: failed to map segment from shared object\n",
            False,
            "failed",
            LIBRARY,
        ),
        (1, None, f"ImportError: libgomp.so.1: {TLS}", "", False, "failed", LIBRARY),
        (127, None, "", f"python: libc10.so: {TLS}\n", False, "failed", LIBRARY),
        (1, None, "OSError: libcuda.so: failed to map segment: Cannot allocate memory", "", False, "failed", LIBRARY),
        (1, None, "RuntimeError: x", f"warning: libgomp.so.1: {TLS}\n", False, "failed", "RuntimeError: x"),
        (1, None, "", f"warning: libgomp.so.1: {TLS}\nMemoryError\n", False, "out_of_memory", MEMORY),
        (1, None, "RuntimeError: unable to mmap 90 bytes from file <best.pt>", "", False, "out_of_memory", MEMORY),
        (1, None, "", "Traceback\nMemoryError\n", False, "out_of_memory", MEMORY),
        (-6, None, "", "what():  std::bad_alloc\n", False, "out_of_memory", MEMORY),
        (-9, None, "", "", True, "out_of_memory", "the kernel killed it for memory"),
        (-9, None, "", "", False, "killed", "SIGKILL"),
        (-11, None, "", "step 3\n", False, "killed", "SIGSEGV: step 3"),
        (2, None, "", "2 errors\n  1. data: gone\n  2. seed: bad\n", False, "refused", "data: gone seed: bad"),
        (3, None, "loss not finite in step 7", "", False, "diverged", "loss not finite in step 7"),
        (None, None, "", "", False, "dead", "nobody saw how it ended"),
    ],
)
def test_every_end_has_its_name(code, asked, reason, log, killed, expected, said):
    state, text = diagnose(code, asked, {"reason": reason}, log, kernel_killed=killed)
    assert state == expected
    assert said in text
    assert (MEMORY in text) == (expected == "out_of_memory" or said == "SIGKILL")
