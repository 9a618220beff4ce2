"""Coverage-guided fuzzing of the parser of .lic files, by atheris, which is no dependency of ours: pip install atheris.

    python tests/fuzz_parsing.py -max_total_time=600 tests/expected/files

Every input is tried as it is, and with the checksum of its header made right, so that each field may be anything. Ends
with a traceback at what is neither read nor refused, or is not what is written of it again. The folder is where it
begins, and where it puts what it has found: give it a copy.
"""

import sys

import atheris

with atheris.instrument_imports():
    from lic_damage import sealed

    from lic_exp.files.layout import BEGIN, FileError
    from lic_exp.files.parsing import parse
    from lic_exp.files.writing import write

LONGEST_MESSAGE = 1000


def try_input(data: bytes) -> None:
    for content in (data, sealed(data)) if len(data) >= BEGIN.size else (data,):
        for partial in (False, True):
            try:
                file = parse(content, partial=partial)
            except FileError as error:
                said = str(error)
                if not said.isprintable() or len(said) > LONGEST_MESSAGE:
                    raise AssertionError(repr(said)) from error
                continue
            if not file.missing and parse(write(file)) != file:
                raise AssertionError(file)


if __name__ == "__main__":
    atheris.Setup(sys.argv, try_input)
    atheris.Fuzz()
