"""Who listens hears what the program is at; nobody else pays for it."""

import pytest

from lic_exp.sections import Section, heard_by


class Notes(list):
    def enter(self, name):
        self.append(name)

    def leave(self):
        self.append("end")


@Section("outer")
def work(fail=False):
    with Section("inner"):
        if fail:
            raise KeyError("broken")
    return "done"


@pytest.mark.parametrize("fail", [False, True])
def test_sections_lie_in_one_another_like_brackets_whatever_happens(fail):
    heard, late = Notes(), Notes()
    with heard_by(heard):
        if fail:
            with pytest.raises(KeyError):
                work(fail)
        else:
            assert work() == "done"
        with heard_by(late):
            work()
    work()
    assert late == ["outer", "inner", "end", "end"]
    assert heard == 2 * late


def test_a_listener_that_fails_is_heard_of_and_gone():
    notes = Notes()
    with pytest.raises(ZeroDivisionError), heard_by(notes):
        raise ZeroDivisionError
    work()
    assert notes == []
